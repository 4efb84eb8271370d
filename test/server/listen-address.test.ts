import { describe, expect, test } from '@jest/globals';
import { addressUrl, listenProblem, parseListenAddress } from '../../src/server/address.ts';

describe('a listen address', () => {
  test.each([
    [':9656', undefined, 9656],
    ['0.0.0.0:9656', '0.0.0.0', 9656],
    ['[::1]:9656', '::1', 9656],
    ['[fe80::1%eth0]:9656', 'fe80::1%eth0', 9656],
    ['localhost:0', 'localhost', 0],
    ['exporter.example:65535', 'exporter.example', 65535],
  ])('%s is parsed', (configured, host, port) => {
    expect(parseListenAddress(configured)).toEqual({ ok: true, value: { configured, host, port } });
  });

  test.each([
    ['9656', 'write :9656'],
    ['http://localhost:9656', 'without a scheme'],
    ['unix:///run/x.sock', 'only TCP is supported'],
    ['localhost', 'write host:port'],
    ['localhost:', 'the port is missing'],
    ['localhost:http', 'write host:port'],
    [':65536', 'at most 65535'],
    ['::1:9656', 'write an IPv6 address as [::1]:9656'],
    ['[::1]', 'write an IPv6 address as [::1]:9656'],
    ['[localhost]:1', 'only an IPv6 address is written in brackets'],
    ['256.0.0.1:1', 'not an IPv4 address'],
    ['', 'write host:port'],
  ])('"%s" is rejected with a fix', (configured, fix) => {
    const parsed = parseListenAddress(configured);
    expect(parsed.ok ? '' : parsed.problem).toContain(`"${configured}"`);
    expect(parsed.ok ? '' : parsed.problem).toContain(fix);
  });

  test.each([
    ['EADDRINUSE', 'another process'],
    ['EACCES', 'above 1023'],
    ['EADDRNOTAVAIL', 'no such address'],
    ['ENOTFOUND', 'does not resolve'],
    ['EMFILE', 'EMFILE'],
  ])('that fails with %s has an explanation', (code, words) => {
    const address = { configured: 'h:80', host: 'h', port: 80 };
    const text = listenProblem(address, Object.assign(new Error('x'), { code }));
    expect(text).toContain('cannot listen on "h:80"');
    expect(text).toContain(words);
  });

  test.each([
    [undefined, 'http://localhost:1/'],
    ['0.0.0.0', 'http://localhost:1/'],
    ['::1', 'http://[::1]:1/'],
    ['db.example', 'http://db.example:1/'],
  ])('with the host %s has the URL %s', (host, url) => {
    expect(addressUrl('http', { configured: '', host, port: 0 }, 1)).toBe(url);
  });
});
