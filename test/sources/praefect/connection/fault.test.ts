/** Errors that no test can provoke: messages of other versions, standbys, networks. */
import { describe, expect, test } from '@jest/globals';
import {
  addressText,
  databaseFailure,
  faultOf,
} from '../../../../src/sources/praefect/connection/failures.ts';
import { ruleOf, systemFault } from '../../../../src/sources/praefect/connection/fault.ts';

describe('an error of the server', () => {
  test.each([
    ['40001', 'canceling statement due to conflict with recovery', 'query', 'hot_standby_feedback'],
    ['57P03', 'the database system is starting up', 'refused', 'nothing to do'],
    ['57P03', 'the database system is not yet accepting connections', 'refused', 'nothing to do'],
    ['53300', 'sorry, too many clients already', 'refused', 'max_connections'],
    ['57P05', 'terminating connection due to idle-session timeout', 'refused', 'nothing to do'],
    ['57P04', 'terminating connection because the database was dropped', 'missing_schema', 'name'],
    ['25P03', 'terminating connection due to idle-in-transaction timeout', 'timeout', undefined],
    ['25P04', 'terminating connection due to transaction timeout', 'timeout', undefined],
    ['08006', 'connection failure', 'refused', 'nothing to do'],
    ['28P02', 'something new about passwords', 'authentication', 'pg_hba.conf'],
    ['53200', 'out of memory', 'query', undefined],
    ['XX001', 'invalid page in block 7 of relation base/1/2', 'query', undefined],
  ])('%s %s: %s', (state, message, reason, fix) => {
    const rule = ruleOf(state, message);
    expect(rule.reason).toBe(reason);
    if (fix === undefined) expect(rule.fix).toBeUndefined();
    else expect(rule.fix).toContain(fix);
  });
});

describe('an error of PgBouncer, which is always 08P01', () => {
  test.each([
    ['no such database: praefect', 'missing_schema'],
    ['database "praefect" does not exist', 'missing_schema'],
    ['no such user', 'authentication'],
    ['no such user: reader', 'authentication'],
    ['password authentication failed', 'authentication'],
    ['password authentication failed for user "reader"', 'authentication'],
    ['SASL authentication failed', 'authentication'],
    ['"trust" authentication failed', 'authentication'],
    ['certificate authentication failed', 'authentication'],
    ['login rejected', 'authentication'],
    ['server login failed: wrong password type', 'authentication'],
    [
      'server login has been failing, cached error: password authentication failed for user "r" (server_login_retry)',
      'authentication',
    ],
    ['server login has been failing, cached error: connect failed (server_login_retry)', 'refused'],
    ['server login has been failing, try again later (server_login_retry)', 'refused'],
    ['SSL required', 'tls'],
    ['query_wait_timeout', 'timeout'],
    ['client_login_timeout (server down)', 'timeout'],
    ['query_timeout', 'timeout'],
    ['client_idle_timeout', 'timeout'],
    ['no more connections allowed (max_client_conn)', 'refused'],
    ['client connections exceeded (max_user_client_connections)', 'refused'],
    ['database "praefect" is disabled', 'refused'],
    ['server shutting down', 'refused'],
    ['pooler is shutting down', 'refused'],
    ['server conn crashed?', 'refused'],
    ['transaction blocks not allowed in statement pooling mode', 'query'],
    ['PQexec disallowed', 'query'],
  ])('%s: %s', (message, reason) => {
    const rule = ruleOf('08P01', message);
    expect(rule.reason).toBe(reason);
    expect(rule.fix).toEqual(expect.any(String));
  });

  test('an unknown message with 08P01 is a lost connection', () => {
    expect(ruleOf('08P01', 'insufficient data left in message').reason).toBe('refused');
  });
});

describe('an error of the system', () => {
  const error = (code: string): Error => Object.assign(new Error(`message of ${code}`), { code });
  test.each([
    ['EHOSTUNREACH', 'refused'],
    ['ETIMEDOUT', 'timeout'],
    ['ECONNRESET', 'refused'],
    ['EAI_AGAIN', 'refused'],
    ['EACCES', 'permission'],
    ['EMFILE', 'internal'],
    ['CERT_HAS_EXPIRED', 'tls'],
    ['ERR_SSL_WRONG_VERSION_NUMBER', 'tls'],
    ['ERR_OSSL_PEM_NO_START_LINE', 'tls'],
    ['EPROTO', 'tls'],
  ])('%s: %s', (code, reason) => {
    expect(systemFault(error(code))).toMatchObject({ reason, found: expect.stringContaining(code) });
  });

  test('is the first one when several addresses were tried', () => {
    const both = new AggregateError([error('ECONNREFUSED'), error('ENETUNREACH')]);
    expect(systemFault(both)?.found).toBe('connection refused (ECONNREFUSED)');
  });

  test('that is unknown is an internal error', () => {
    expect(faultOf(new TypeError('undefined is not a function'), { user: 'reader', secrets: [] })).toEqual({
      reason: 'internal',
      found: 'unexpected error: undefined is not a function',
    });
  });
});

test('a message names the object that was read, what was found, and the fix', () => {
  const connection = {
    host: '2001:db8::1',
    port: 5432,
    database: 'praefect',
    user: 'gitaly_exporter',
    password: async () => undefined,
    ssl: { mode: 'disable' },
    connectTimeoutMs: 1000,
  } as const;
  const fault = { reason: 'refused', found: 'connection refused', fix: 'check the port' } as const;
  expect(databaseFailure(fault, connection, 'the replication queue')).toEqual({
    reason: 'refused',
    message:
      'the replication queue, at [2001:db8::1]:5432/praefect as gitaly_exporter: connection refused. Fix: check the port',
  });
  expect(addressText({ ...connection, host: '/run/postgresql' })).toBe(
    '/run/postgresql:5432/praefect as gitaly_exporter',
  );
});
