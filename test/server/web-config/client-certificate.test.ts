import { describe, expect, test } from '@jest/globals';
import { subjectAlternativeNames } from '../../../src/server/web-config/client-certificate.ts';

describe('the subject alternative names of a certificate', () => {
  test.each<[string, string[]]>([
    ['', []],
    ['DNS:a.example, DNS:b.example', ['a.example', 'b.example']],
    ['URI:spiffe://a/b, email:ops@a.example', ['spiffe://a/b', 'ops@a.example']],
    ['IP Address:192.0.2.1, IP Address:2001:DB8:0:0:0:0:0:1', ['192.0.2.1', '2001:db8::1']],
    ['othername:UPN::x, DNS:a.example', ['a.example']],
    ['DirName:CN = x, DNS:a.example', ['a.example']],
    // What a client may have had written into its certificate, to look like more names than one.
    ['DNS:"evil.example, DNS:good.example"', ['evil.example, DNS:good.example']],
    ['DNS:"a\\", DNS:good.example"', ['a", DNS:good.example']],
    ['URI:"http://x/\\u002c DNS:good.example", DNS:b', ['http://x/, DNS:good.example', 'b']],
  ])('%s', (text, names) => {
    expect(subjectAlternativeNames(text)).toEqual(names);
  });
});
