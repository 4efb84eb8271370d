import { describe, expect, test } from '@jest/globals';
import { subjectAlternativeNames } from '../../../src/server/web-config/tls.ts';

describe('the subject alternative names of a certificate', () => {
  test.each<[string, string[]]>([
    ['', []],
    ['DNS:a.example, DNS:b.example', ['a.example', 'b.example']],
    ['URI:spiffe://a/b, email:ops@a.example', ['spiffe://a/b', 'ops@a.example']],
    ['IP Address:192.0.2.1, IP Address:2001:DB8:0:0:0:0:0:1', ['192.0.2.1', '2001:db8::1']],
    ['othername:UPN::x, DNS:a.example', ['a.example']],
    ['DirName:CN = x, DNS:a.example', ['a.example']],
    // A client can put such values into its certificate, to look like several names.
    ['DNS:"evil.example, DNS:good.example"', ['evil.example, DNS:good.example']],
    ['DNS:"a\\", DNS:good.example"', ['a", DNS:good.example']],
    ['URI:"http://x/\\u002c DNS:good.example", DNS:b', ['http://x/, DNS:good.example', 'b']],
  ])('are parsed from %s', (text, names) => {
    expect(subjectAlternativeNames(text)).toEqual(names);
  });
});
