import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  connectionParameters,
  connectionStringFault,
} from '../../../src/config/postgres/connection-string.ts';
import type { Origin } from '../../../src/config/problem.ts';

const origin: Origin = { source: 'flag', name: '--praefect.database.url' };

/** The parameters as plain text, with the password revealed. */
function parameters(text: string): Record<string, string> {
  expect(connectionStringFault(text)).toBeUndefined();
  const { password, ...rest } = connectionParameters(text, origin);
  const plain = Object.entries(rest).map(([name, parameter]) => [name, parameter?.value ?? '']);
  return {
    ...Object.fromEntries(plain),
    ...(password === undefined ? {} : { password: password.value.reveal() }),
  };
}

describe('a connection URL is parsed', () => {
  test.each<[string, Record<string, string>]>([
    ['postgres://', {}],
    ['postgresql://host', { host: 'host' }],
    ['postgres://host:5433/db', { host: 'host', port: '5433', dbname: 'db' }],
    ['postgres://user@host/db', { user: 'user', host: 'host', dbname: 'db' }],
    ['postgres://user:pass@host', { user: 'user', password: 'pass', host: 'host' }],
    ['postgres://user:a:b@host', { user: 'user', password: 'a:b', host: 'host' }],
    ['postgres://user:p%40s%2Fs@host', { user: 'user', password: 'p@s/s', host: 'host' }],
    ['postgres://[::1]:5433/db', { host: '::1', port: '5433', dbname: 'db' }],
    ['postgres://%2Fvar%2Frun%2Fpostgresql/db', { host: '/var/run/postgresql', dbname: 'db' }],
    ['postgres:///db?host=/var/run/postgresql', { dbname: 'db', host: '/var/run/postgresql' }],
    [
      'postgres://host/db?sslmode=verify-full&sslrootcert=/ca.pem',
      { host: 'host', dbname: 'db', sslmode: 'verify-full', sslrootcert: '/ca.pem' },
    ],
    ['postgres://host?ssl=true', { host: 'host', sslmode: 'require' }],
    ['postgres://host?connect_timeout=5&gssencmode=disable', { host: 'host', connect_timeout: '5' }],
    ['postgres://host?keepalives=1&client_encoding=UTF8&sslsni=1&tcp_user_timeout=0', { host: 'host' }],
    ['postgres://host?fallback_application_name=x&application_name=y', { host: 'host' }],
    ['postgres://host?user=other&password=x', { host: 'host', user: 'other', password: 'x' }],
    ['  postgres://host  ', { host: 'host' }],
  ])('%s', (text, expected) => {
    expect(parameters(text)).toEqual(expected);
  });
});

describe('a keyword string is parsed', () => {
  test.each<[string, Record<string, string>]>([
    ['host=h', { host: 'h' }],
    ['host=h port=5433 dbname=d user=u', { host: 'h', port: '5433', dbname: 'd', user: 'u' }],
    ["host = 'h' password = 'a b\\'c\\\\'", { host: 'h', password: "a b'c\\" }],
    ['password=a\\ b', { password: 'a b' }],
    ['password=a=b', { password: 'a=b' }],
    ['host=a host=b', { host: 'b' }],
    ["host='' user=u", { user: 'u' }],
    ['host=h\n  user=u', { host: 'h', user: 'u' }],
  ])('%j', (text, expected) => {
    expect(parameters(text)).toEqual(expected);
  });
});

const escapes = 'write @ : / ? # % and spaces in the user and the password as %40 %3A %2F %3F %23 %25 %20';
const unknown =
  'it has a parameter that libpq does not know; check for a misspelled name, or an unescaped character in the password';
const form =
  "is not of the form name=value; put values with spaces in single quotes, and write ' and \\ with a backslash before them";

describe('a problem is reported without quoting the connection string', () => {
  test.each([
    ['db.example.com', 'it is neither a postgres:// URL nor keywords such as host=db'],
    ['mysql://user:SENTINEL@host/db', 'its scheme is neither postgres:// nor postgresql://'],
    ['postgres://user:SENT/INEL@host/db', escapes],
    ['postgres://user:12/SENTINEL@host/db', escapes],
    ['postgres://user:12#SENTINEL@host/db', escapes],
    ['postgres://user:12?SENTINEL@host/db', `a parameter after ? is not of the form name=value; ${escapes}`],
    ['postgres://user:12?SENTINEL=1@host/db', unknown],
    ['postgres://user:SENT INEL@host/db', escapes],
    [
      'postgres://user:SENTINEL%@host/db',
      `it has a % that is not followed by two hexadecimal digits; ${escapes}`,
    ],
    ['postgres://user:SENTINEL@host:port/db', `its host or port cannot be read; ${escapes}`],
    ['postgres://user:SENTINEL@one,two/db', 'it names several hosts; set the one to monitor'],
    ['postgres://host/db?pasword=SENTINEL', unknown],
    [
      'postgres://host/db?service=SENTINEL',
      'service is not supported: write host, port, dbname and user in place of the service',
    ],
    [
      'postgres://host/db?target_session_attrs=SENTINEL',
      'target_session_attrs is not supported: set the one host to monitor',
    ],
    ['host=h password=SENT INEL', `keyword 3 ${form}`],
    ["host=h password='SENTINEL", `keyword 2 ${form}`],
    ["host=h password='SENT'INEL", `keyword 2 ${form}`],
    ['host=h pasword=SENTINEL', unknown],
    [
      'host=h options=SENTINEL',
      'options is not supported: set such options on the role: ALTER ROLE ... SET ...',
    ],
  ])('%s', (text, expected) => {
    expect(connectionStringFault(text)).toBe(expected);
    expect(expected).not.toMatch(/SENT|INEL/);
  });
});

test('any user, password and database survive a round trip through a URL', () => {
  const part = fc.string({ unit: 'grapheme', minLength: 1 }).filter((text) => !text.includes('\0'));
  fc.assert(
    fc.property(part, part, part, (user, password, dbname) => {
      const [u, p, d] = [user, password, dbname].map(encodeURIComponent);
      expect(parameters(`postgres://${u}:${p}@host/${d}`)).toEqual({ user, password, host: 'host', dbname });
    }),
  );
});

test('any password survives a round trip through keywords', () => {
  fc.assert(
    fc.property(fc.string({ minLength: 1 }), (password) => {
      const quoted = password.replace(/[\\']/g, '\\$&');
      expect(parameters(`host=h password='${quoted}' user=u`)).toEqual({ host: 'h', password, user: 'u' });
    }),
  );
});

test('arbitrary text does not throw', () => {
  const texts = fc.oneof(
    fc.string(),
    fc.string().map((text) => `postgres://${text}`),
    fc.string().map((text) => `host=${text}`),
  );
  fc.assert(
    fc.property(texts, (text) => {
      if (connectionStringFault(text) === undefined) connectionParameters(text, origin);
    }),
    { numRuns: 500 },
  );
});

test('every parameter of libpq 15 to 18 is known, so that none is reported as misspelled', () => {
  // PQconninfoOptions in fe-connect.c, as PQconndefaults() of each release lists them.
  const libpq =
    'service servicefile user password passfile channel_binding connect_timeout dbname host hostaddr port ' +
    'client_encoding options application_name fallback_application_name keepalives keepalives_idle ' +
    'keepalives_interval keepalives_count tcp_user_timeout sslmode sslnegotiation sslcompression sslcert sslkey ' +
    'sslcertmode sslpassword sslrootcert sslcrl sslcrldir sslsni requirepeer require_auth ' +
    'min_protocol_version max_protocol_version ssl_min_protocol_version ssl_max_protocol_version gssencmode ' +
    'krbsrvname gsslib gssdelegation replication target_session_attrs load_balance_hosts scram_client_key ' +
    'scram_server_key oauth_issuer oauth_client_id oauth_client_secret oauth_scope sslkeylogfile';
  for (const name of libpq.split(' '))
    expect(connectionStringFault(`host=h ${name}=x`) ?? '').not.toContain('does not know');
});
