import { describe, expect, jest, test } from '@jest/globals';
import bcrypt from 'bcrypt';
import { Secret } from '../../../src/lib/secret.ts';
import { createBasicAuth } from '../../../src/server/web-config/basic-auth.ts';
import { latch } from '../support/harness.ts';

const hashOf = (password: string) => bcrypt.hashSync(password, 4);
const header = (user: string, password: string) =>
  `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
const forever = new AbortController().signal;
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
    ['nobody', 'open sesame', 'denied'],
    ['', '', 'denied'],
    ['bob', 'pass:with:colons', 'granted'], // htpasswd's $2y$
    ['bob', 'pass', 'denied'],
    ['zoë', 'schlüssel', 'granted'],
  ])('%s with %s is %s', async (user, password, verdict) => {
    expect(await createBasicAuth().check(header(user, password), users, forever)).toBe(verdict);
  });

  test.each([
    undefined,
    '',
    'Basic',
    'Basic ',
    'Basic !!!',
    'Bearer YWxpY2U6b3BlbiBzZXNhbWU=',
    `Basic ${Buffer.from('alice').toString('base64')}`,
  ])('an Authorization of %j is denied without work', async (value) => {
    const work = compare();
    expect(await createBasicAuth({ compare: work }).check(value, users, forever)).toBe('denied');
    expect(work).not.toHaveBeenCalled();
  });

  test('an unknown user costs as much as one that exists', async () => {
    const work = compare();
    const costly = new Map([['alice', new Secret(hashOf('x').replace('$04$', '$06$'))]]);
    await createBasicAuth({ compare: work }).check(header('nobody', 'x'), costly, forever);
    expect(work).toHaveBeenCalledTimes(1);
    const dummy = work.mock.calls[0]?.[1] ?? '';
    expect(dummy).toMatch(/^\$2b\$06\$.{53}$/);
    expect(bcrypt.getRounds(dummy)).toBe(6);
  });

  test('remembers who was let in, and nobody else', async () => {
    const work = compare();
    const auth = createBasicAuth({ compare: work });
    for (let i = 0; i < 3; i++) await auth.check(header('alice', 'open sesame'), users, forever);
    expect(work).toHaveBeenCalledTimes(1);
    for (let i = 0; i < 3; i++) await auth.check(header('alice', 'wrong'), users, forever);
    expect(work).toHaveBeenCalledTimes(4);
  });

  test('forgets whom a new hash concerns', async () => {
    const auth = createBasicAuth();
    expect(await auth.check(header('alice', 'open sesame'), users, forever)).toBe('granted');
    const changed = new Map([['alice', new Secret(hashOf('another'))]]);
    expect(await auth.check(header('alice', 'open sesame'), changed, forever)).toBe('denied');
    expect(
      await auth.check(header('alice', 'open sesame'), new Map([['bob', new Secret(hashOf('x'))]]), forever),
    ).toBe('denied');
  });

  test('remembers a bounded number, the newest', async () => {
    const work = jest.fn(async () => true);
    const auth = createBasicAuth({ compare: work, rememberedLimit: 2 });
    const many = new Map(['a', 'b', 'c'].map((user) => [user, new Secret(hashOf(user))]));
    const ask = (user: string) => auth.check(header(user, user), many, forever);
    await ask('a');
    await ask('b');
    await ask('a'); // a is now the newest
    await ask('c'); // b goes
    expect(work).toHaveBeenCalledTimes(3);
    await ask('a');
    expect(work).toHaveBeenCalledTimes(3);
    await ask('b');
    expect(work).toHaveBeenCalledTimes(4);
  });

  test('checks one at a time, and turns away whom it cannot queue', async () => {
    const gate = latch();
    let running = 0;
    let most = 0;
    const work = async () => {
      running += 1;
      most = Math.max(most, running);
      await gate.promise;
      running -= 1;
      return false;
    };
    const auth = createBasicAuth({ compare: work, waitingLimit: 3 });
    const verdicts = Promise.all(
      [1, 2, 3, 4, 5].map((n) => auth.check(header('alice', `${n}`), users, forever)),
    );
    gate.open();
    expect((await verdicts).sort()).toEqual(['busy', 'busy', 'denied', 'denied', 'denied']);
    expect(most).toBe(1);
  });

  test('does no work for a client that has gone while it waited, nor is a failing check the end', async () => {
    const work = jest.fn(async () => {
      throw new Error('out of memory');
    });
    const auth = createBasicAuth({ compare: work });
    await expect(auth.check(header('alice', 'x'), users, forever)).rejects.toThrow('out of memory');
    expect(await auth.check(header('alice', 'x'), users, AbortSignal.abort())).toBe('denied');
    expect(work).toHaveBeenCalledTimes(1);
  });
});
