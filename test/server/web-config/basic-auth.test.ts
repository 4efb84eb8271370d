import { describe, expect, jest, test } from '@jest/globals';
import bcrypt from 'bcrypt';
import { Secret } from '../../../src/lib/secret.ts';
import { createBasicAuth } from '../../../src/server/web-config/basic-auth.ts';
import { latch } from '../support/harness.ts';

const hashOf = (password: string) => bcrypt.hashSync(password, 4);
const header = (user: string, password: string) =>
  `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
const connected = new AbortController().signal;
const compare = () => jest.fn((password: string, hash: string) => bcrypt.compare(password, hash));

describe('basic authentication', () => {
  const users = new Map([
    ['alice', new Secret(hashOf('open sesame'))],
    ['bob', new Secret(hashOf('pass:with:colons').replace('$2b$', '$2y$'))],
    ['zoë', new Secret(hashOf('schlüssel'))],
  ]);

  test.each([
    ['alice', 'open sesame', 'granted'],
    ['alice', 'wrong', 'denied'],
    ['alice', '', 'denied'],
    ['Alice', 'open sesame', 'denied'],
    ['mallory', 'open sesame', 'denied'],
    ['', '', 'denied'],
    ['bob', 'pass:with:colons', 'granted'], // htpasswd's $2y$
    ['bob', 'pass', 'denied'],
    ['zoë', 'schlüssel', 'granted'],
  ])('of %s with the password %s is %s', async (user, password, verdict) => {
    expect(await createBasicAuth().check(header(user, password), users, 'client', connected)).toBe(verdict);
  });

  test.each([
    undefined,
    '',
    'Basic',
    'Basic ',
    'Basic !!!',
    'Bearer YWxpY2U6b3BlbiBzZXNhbWU=',
    `Basic ${Buffer.from('alice').toString('base64')}`,
  ])('denies the Authorization %j without checking a password', async (value) => {
    const work = compare();
    expect(await createBasicAuth({ compare: work }).check(value, users, 'client', connected)).toBe('denied');
    expect(work).not.toHaveBeenCalled();
  });

  test('takes as long for an unknown user as for a known one', async () => {
    const work = compare();
    const costly = new Map([['alice', new Secret(hashOf('x').replace('$04$', '$06$'))]]);
    await createBasicAuth({ compare: work }).check(header('mallory', 'x'), costly, 'client', connected);
    expect(work).toHaveBeenCalledTimes(1);
    const dummy = work.mock.calls[0]?.[1] ?? '';
    expect(dummy).toMatch(/^\$2b\$06\$.{53}$/);
    expect(bcrypt.getRounds(dummy)).toBe(6);
  });

  test('caches successful logins only', async () => {
    const work = compare();
    const auth = createBasicAuth({ compare: work });
    for (let i = 0; i < 3; i++) await auth.check(header('alice', 'open sesame'), users, 'client', connected);
    expect(work).toHaveBeenCalledTimes(1);
    for (let i = 0; i < 3; i++) await auth.check(header('alice', 'wrong'), users, 'client', connected);
    expect(work).toHaveBeenCalledTimes(4);
  });

  test('does not use the cache after the hash of a user changed', async () => {
    const auth = createBasicAuth();
    expect(await auth.check(header('alice', 'open sesame'), users, 'client', connected)).toBe('granted');
    const changed = new Map([['alice', new Secret(hashOf('another'))]]);
    expect(await auth.check(header('alice', 'open sesame'), changed, 'client', connected)).toBe('denied');
    expect(
      await auth.check(
        header('alice', 'open sesame'),
        new Map([['bob', new Secret(hashOf('x'))]]),
        'client',
        connected,
      ),
    ).toBe('denied');
  });

  test('caches a limited number of logins, the newest', async () => {
    const work = jest.fn(async () => true);
    const auth = createBasicAuth({ compare: work, cacheSize: 2 });
    const many = new Map(['a', 'b', 'c'].map((user) => [user, new Secret(hashOf(user))]));
    const login = (user: string) => auth.check(header(user, user), many, 'client', connected);
    await login('a');
    await login('b');
    await login('a'); // a is now the newest
    await login('c'); // b is evicted
    expect(work).toHaveBeenCalledTimes(3);
    await login('a');
    expect(work).toHaveBeenCalledTimes(3);
    await login('b');
    expect(work).toHaveBeenCalledTimes(4);
  });

  test('checks one password at a time, and is busy when too many of one address wait', async () => {
    const gate = latch();
    let running = 0;
    let mostRunning = 0;
    const work = async () => {
      running += 1;
      mostRunning = Math.max(mostRunning, running);
      await gate.promise;
      running -= 1;
      return false;
    };
    const auth = createBasicAuth({ compare: work, maxWaitingPerAddress: 2 });
    const verdicts = Promise.all(
      [1, 2, 3, 4, 5].map((n) => auth.check(header('alice', `${n}`), users, 'client', connected)),
    );
    gate.open();
    expect((await verdicts).sort()).toEqual(['busy', 'busy', 'denied', 'denied', 'denied']);
    expect(mostRunning).toBe(1);
  });

  test('skips a client that disconnected while it waited, and continues after a failed check', async () => {
    const work = jest.fn(async () => {
      throw new Error('out of memory');
    });
    const auth = createBasicAuth({ compare: work });
    await expect(auth.check(header('alice', 'x'), users, 'client', connected)).rejects.toThrow(
      'out of memory',
    );
    expect(await auth.check(header('alice', 'x'), users, 'client', AbortSignal.abort())).toBe('denied');
    expect(work).toHaveBeenCalledTimes(1);
  });

  test('a right password among a flood of wrong ones from another address gets its turn next', async () => {
    const order: string[] = [];
    const work = async (password: string, hash: string) => {
      order.push(password);
      return bcrypt.compare(password, hash);
    };
    const auth = createBasicAuth({ compare: work, maxWaitingPerAddress: 50 });
    const flood = Array.from({ length: 48 }, (_, n) =>
      auth.check(header('alice', `wrong ${n}`), users, 'attacker', connected),
    );
    const right = auth.check(header('alice', 'open sesame'), users, 'prometheus', connected);
    expect(await right).toBe('granted');
    expect(order.indexOf('open sesame')).toBeLessThanOrEqual(2);
    expect(new Set(await Promise.all(flood))).toEqual(new Set(['denied']));
  });

  test('a right password behind the same address as a flood is granted after it, not rejected', async () => {
    const auth = createBasicAuth();
    const flood = Array.from({ length: 48 }, (_, n) =>
      auth.check(header('alice', `wrong ${n}`), users, 'proxy', connected),
    );
    expect(await auth.check(header('alice', 'open sesame'), users, 'proxy', connected)).toBe('granted');
    expect(new Set(await Promise.all(flood))).toEqual(new Set(['denied']));
  });

  test('the same credentials are checked once for all requests that wait for them', async () => {
    const work = compare();
    const auth = createBasicAuth({ compare: work });
    const verdicts = Array.from({ length: 20 }, () =>
      auth.check(header('alice', 'wrong'), users, 'client', connected),
    );
    expect(new Set(await Promise.all(verdicts))).toEqual(new Set(['denied']));
    expect(work).toHaveBeenCalledTimes(1);
  });

  test('a client that disconnects does not cancel the check for another with the same credentials', async () => {
    const gate = latch();
    const auth = createBasicAuth({
      compare: async (password, hash) => {
        await gate.promise;
        return bcrypt.compare(password, hash);
      },
    });
    void auth.check(header('alice', 'first in line'), users, 'client', connected);
    const gone = new AbortController();
    const first = auth.check(header('alice', 'open sesame'), users, 'client', gone.signal);
    const second = auth.check(header('alice', 'open sesame'), users, 'client', connected);
    gone.abort();
    gate.open();
    expect(await second).toBe('granted');
    await first;
  });
});
