import { describe, expect, test } from '@jest/globals';
import { parseWebConfig, type WebConfig } from '../../../src/server/web-config/parse.ts';

const hash = '$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG';
const parse = (text: string) => parseWebConfig(text, '/etc/exporter');
const good = (text: string): WebConfig => {
  const parsed = parse(text);
  if (!parsed.ok) throw new Error(parsed.problems.join('\n'));
  return parsed.config;
};
const bad = (text: string): readonly string[] => {
  const parsed = parse(text);
  return parsed.ok ? [] : parsed.problems;
};

const tls = (more: string, pair = 'cert_file: s.crt\n  key_file: s.key') =>
  `tls_server_config:\n  ${pair}\n  ${more}\n`;

describe('a valid web configuration file', () => {
  test.each(['', '# only a comment\n', '{}'])('without keys disables TLS and authentication: %j', (text) => {
    expect(good(text)).toEqual({
      tls: undefined,
      isHttp2Requested: false,
      headers: new Map(),
      users: new Map(),
      rateLimit: undefined,
    });
  });

  test("has exporter-toolkit's defaults", () => {
    expect(good(tls(''))).toMatchObject({
      isHttp2Requested: false,
      tls: {
        cert: { kind: 'file', path: '/etc/exporter/s.crt' },
        key: { kind: 'file', path: '/etc/exporter/s.key' },
        clientAuthType: 'NoClientCert',
        minVersion: 'TLS12',
        maxVersion: 'TLS13',
        preferServerCipherSuites: true,
      },
    });
  });

  test('can set every key', () => {
    const config = good(`
tls_server_config:
  cert_file: /elsewhere/s.crt
  key: "-----BEGIN"
  client_ca_file: ca.crt
  client_auth_type: RequireAndVerifyClientCert
  client_allowed_sans: [prometheus.example, "2001:db8::1"]
  min_version: TLS12
  max_version: TLS13
  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_AES_128_GCM_SHA256]
  prefer_server_cipher_suites: no
  curve_preferences: [X25519, CurveP256]
http_server_config:
  http2: off
  headers:
    Content-Security-Policy: "default-src 'self'"
    X-Frame-Options: sameorigin
    X-Content-Type-Options: ""
    X-XSS-Protection: 1
    Strict-Transport-Security: max-age=31536000; includeSubDomains
basic_auth_users:
  alice: ${hash}
rate_limit: { interval: 1m30s, burst: 5 }
`);
    expect(config).toMatchObject({
      isHttp2Requested: false,
      rateLimit: { intervalMs: 90_000, burst: 5 },
      tls: {
        cert: { kind: 'file', path: '/elsewhere/s.crt' },
        key: { kind: 'inline' },
        clientCa: { kind: 'file', path: '/etc/exporter/ca.crt' },
        clientAuthType: 'RequireAndVerifyClientCert',
        clientAllowedSans: ['prometheus.example', '2001:db8::1'],
        cipherSuites: ['TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256', 'TLS_AES_128_GCM_SHA256'],
        preferServerCipherSuites: false,
        curves: ['X25519', 'CurveP256'],
      },
    });
    expect(config.headers.get('X-XSS-Protection')).toBe('1');
    expect(config.users.get('alice')?.reveal()).toBe(hash);
  });

  test.each([
    ['client_auth_type: NoClientCert', 'NoClientCert'],
    ['client_auth_type: ""', 'NoClientCert'],
    ['client_auth_type: RequestClientCert', 'RequestClientCert'],
    ['client_auth_type: RequireAnyClientCert', 'RequireAnyClientCert'],
    ['client_auth_type: RequireClientCert', 'RequireAnyClientCert'],
    ['client_auth_type: VerifyClientCertIfGiven', 'VerifyClientCertIfGiven'],
    ['client_auth_type: VerifyClientCertIfGiven\n  client_ca_file: ca.crt', 'VerifyClientCertIfGiven'],
    ['client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt', 'RequireAndVerifyClientCert'],
  ])('accepts %s', (more, type) => {
    expect(good(tls(more)).tls?.clientAuthType).toBe(type);
  });

  test.each(['500ms', '1s', '1.5s', '1h', 0])('accepts a rate limit of one request in %s', (interval) => {
    expect(() => good(`rate_limit: { interval: ${interval}, burst: 1 }`)).not.toThrow();
  });

  test.each([
    ['true', true],
    ['false', false],
  ])('accepts http2: %s', (value, isRequested) => {
    expect(good(`http_server_config: { http2: ${value} }`).isHttp2Requested).toBe(isRequested);
  });

  test('needs no cipher suite of HTTP/2', () => {
    good(tls('cipher_suites: [TLS_AES_128_GCM_SHA256]'));
    good(tls('min_version: TLS13\n  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384]'));
    good(tls('cipher_suites: [TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA]'));
  });
});

describe('an invalid web configuration file is rejected with line, key and fix', () => {
  test.each([
    'basic_auth_users: {}',
    'basic_auth_users:',
    'basic_auth_users: []',
    'x: &none {}\nbasic_auth_users: *none',
    `basic_auth_users: {__proto__: "$2b$04$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}`,
    `basic_auth_users:\n  __proto__: "$2b$04$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"\n  alice: "$2b$04$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"`,
  ])('users that would leave the exporter without a password: %j', (text) => {
    const parsed = parseWebConfig(text, '/etc');
    expect(parsed.ok).toBe(false);
  });

  test.each<[string, string]>([
    ['junk', 'the file: must be a mapping of keys'],
    ['- a\n- b', 'the file: must be a mapping of keys'],
    ['a: [', 'line 1, column 5: not valid YAML'],
    ['tls_server_config:\n\tcert_file: x', 'line 2'],
    ['http_server_config: {}\nhttp_server_config: {}', 'line 2, column 1: not valid YAML (duplicate key)'],
    [
      'tls_config: {}',
      'line 1, tls_config: unknown key; known keys here: tls_server_config, http_server_config, basic_auth_users, rate_limit',
    ],
    [
      'tls_server_config:',
      'line 1, tls_server_config: must be a mapping of keys, but it is empty, or remove the key',
    ],
    ['basic_auth_users:', 'line 1, basic_auth_users: must be a mapping of keys, but it is empty'],
    [tls('certfile: x'), 'line 4, tls_server_config.certfile: unknown key; known keys here: cert, key,'],
    [tls('', 'key_file: s.key'), 'line 1, tls_server_config.cert_file: is missing'],
    [tls('', 'cert_file: s.crt'), 'line 1, tls_server_config.key_file: is missing'],
    [tls('', 'cert_file: ""\n  key_file: x'), 'line 2, tls_server_config.cert_file: is empty'],
    [tls('cert: x'), 'line 2, tls_server_config.cert_file: is set together with cert: remove one'],
    [
      tls('client_auth_type: Require'),
      'line 4, tls_server_config.client_auth_type: must be one of NoClientCert, RequestClientCert,',
    ],
    [
      tls('client_ca_file: ca.crt'),
      'line 4, tls_server_config.client_ca_file: has no effect without client_auth_type',
    ],
    [
      tls('client_auth_type: RequireAndVerifyClientCert'),
      'client_ca_file: is missing: without it RequireAndVerifyClientCert would accept',
    ],
    [
      tls('client_allowed_sans: [a]'),
      'line 4, tls_server_config.client_allowed_sans: needs client_auth_type',
    ],
    [tls('client_auth_type: RequireAnyClientCert\n  client_allowed_sans: [a]'), 'a client can put any name'],
    [
      tls('min_version: TLS14'),
      'line 4, tls_server_config.min_version: must be one of TLS10, TLS11, TLS12, TLS13, not "TLS14"',
    ],
    [
      tls('min_version: 1.2'),
      'tls_server_config.min_version: must be one of TLS10, TLS11, TLS12, TLS13, not 1.2',
    ],
    [tls('min_version: TLS13\n  max_version: TLS12'), 'min_version: is TLS13, above max_version (TLS12)'],
    [
      tls('cipher_suites:\n  - TLS_RSA_WITH_RC4_128_SHA'),
      'line 5, tls_server_config.cipher_suites.0: must be one of',
    ],
    [tls('cipher_suites: []'), 'cipher_suites: is empty'],
    [
      tls('curve_preferences: [P256]'),
      'line 4, tls_server_config.curve_preferences.0: must be one of CurveP256, CurveP384, CurveP521, X25519, not "P256"',
    ],
    [tls('prefer_server_cipher_suites: perhaps'), 'must be a boolean, not "perhaps"'],
    ['http_server_config:\n  http2: 2', 'line 2, http_server_config.http2: must be a boolean, not 2'],
    [
      'http_server_config:\n  headers:\n    Server: x',
      'line 3, http_server_config.headers.Server: cannot be set; only these can: Content-Security-Policy',
    ],
    [
      'http_server_config:\n  headers:\n    X-Frame-Options: allow',
      'X-Frame-Options: must be deny or sameorigin, or empty, not "allow"',
    ],
    [
      'http_server_config:\n  headers:\n    Content-Security-Policy: "a\\r\\nSet-Cookie: b"',
      'contains characters that are not allowed in a header',
    ],
    [
      'basic_auth_users:\n  alice: plain',
      'line 2, basic_auth_users.alice: is not a bcrypt hash: create one with htpasswd',
    ],
    ['basic_auth_users:\n  alice:', 'line 2, basic_auth_users.alice: must be a string'],
    [`basic_auth_users:\n  a:b: ${hash}`, 'line 2, basic_auth_users.a:b: contains a colon'],
    [
      'basic_auth_users: { alice: "$2y$99$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG" }',
      'is not a bcrypt hash',
    ],
    [
      'rate_limit: { interval: soon, burst: 1 }',
      'line 1, rate_limit.interval: must be a duration such as 500ms, 1s or 1m30s, not "soon"',
    ],
    ['rate_limit: { interval: 1s }', 'rate_limit.burst: must be 1 or more: 0 would reject every request'],
    ['rate_limit: { interval: 1s, burst: -1 }', 'line 1, rate_limit.burst'],
    [
      `a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c]`,
      'too many aliases',
    ],
  ])('%j', (text, message) => {
    expect(bad(text).join('\n')).toContain(message);
  });

  test('with all its problems together', () => {
    expect(bad(`${tls('min_version: TLS9')}basic_auth_users:\n  alice: x\n  bob: y\nfoo: 1\n`)).toHaveLength(
      4,
    );
  });

  test.each([
    'basic_auth_users:\n  alice: SENTINEL',
    'basic_auth_users: "alice: SENTINEL"',
    'basic_auth_users: alice SENTINEL',
    'basic_auth_users:\n  - alice: SENTINEL',
    'basic_auth_users:\n  alice: [SENTINEL]',
    'basic_auth_users:\n  alice: "SENTINEL',
    'basic_auth_users:\n  alice: *SENTINEL',
    'basic_auth_users:\n  alice: !SENTINEL {',
    'basic_auth_users:\n  alice: %SENTINEL',
    'basic_auth_users:\n alice: x\n  SENTINEL',
    'tls_server_config:\n  key: SENTINEL\n  key_file: x',
    'tls_server_config:\n  key: [SENTINEL]',
    '"SENTINEL"',
  ])('without a quote of what may be a secret: %j', (text) => {
    const problems = bad(text);
    expect(problems.length).toBeGreaterThan(0);
    expect(problems.join('\n')).not.toContain('SENTINEL');
  });
});
