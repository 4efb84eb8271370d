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
    expect(await createBasicAuth().check(header(user, password), users, connected)).toBe(verdict);
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
    expect(await createBasicAuth({ compare: work }).check(value, users, connected)).toBe('denied');
    expect(work).not.toHaveBeenCalled();
  });

  test('takes as long for an unknown user as for a known one', async () => {
    const work = compare();
    const costly = new Map([['alice', new Secret(hashOf('x').replace('$04$', '$06$'))]]);
    await createBasicAuth({ compare: work }).check(header('mallory', 'x'), costly, connected);
    expect(work).toHaveBeenCalledTimes(1);
    const dummy = work.mock.calls[0]?.[1] ?? '';
    expect(dummy).toMatch(/^\$2b\$06\$.{53}$/);
    expect(bcrypt.getRounds(dummy)).toBe(6);
  });

  test('caches successful logins only', async () => {
    const work = compare();
    const auth = createBasicAuth({ compare: work });
    for (let i = 0; i < 3; i++) await auth.check(header('alice', 'open sesame'), users, connected);
    expect(work).toHaveBeenCalledTimes(1);
    for (let i = 0; i < 3; i++) await auth.check(header('alice', 'wrong'), users, connected);
    expect(work).toHaveBeenCalledTimes(4);
  });

  test('does not use the cache after the hash of a user changed', async () => {
    const auth = createBasicAuth();
    expect(await auth.check(header('alice', 'open sesame'), users, connected)).toBe('granted');
    const changed = new Map([['alice', new Secret(hashOf('another'))]]);
    expect(await auth.check(header('alice', 'open sesame'), changed, connected)).toBe('denied');
    expect(
      await auth.check(
        header('alice', 'open sesame'),
        new Map([['bob', new Secret(hashOf('x'))]]),
        connected,
      ),
    ).toBe('denied');
  });

  test('caches a limited number of logins, the newest', async () => {
    const work = jest.fn(async () => true);
    const auth = createBasicAuth({ compare: work, cacheSize: 2 });
    const many = new Map(['a', 'b', 'c'].map((user) => [user, new Secret(hashOf(user))]));
    const login = (user: string) => auth.check(header(user, user), many, connected);
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

  test('checks one password at a time, and is busy when the queue is full', async () => {
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
    const auth = createBasicAuth({ compare: work, maxPending: 3 });
    const verdicts = Promise.all(
      [1, 2, 3, 4, 5].map((n) => auth.check(header('alice', `${n}`), users, connected)),
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
    await expect(auth.check(header('alice', 'x'), users, connected)).rejects.toThrow('out of memory');
    expect(await auth.check(header('alice', 'x'), users, AbortSignal.abort())).toBe('denied');
    expect(work).toHaveBeenCalledTimes(1);
  });
});
