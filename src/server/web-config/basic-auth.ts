/**
 * Basic authentication against bcrypt hashes. bcrypt is slow on purpose, so it runs in libuv's thread pool, off
 * the event loop, one password at a time (the pool has four threads, which compression and DNS need too). A user
 * that does not exist costs as much time as one that does. Successful logins are cached, as in exporter-toolkit,
 * but under a keyed digest and never under the password itself, and need no check.
 *
 * A flood of wrong passwords must not lock out the right one: addresses take turns, checks of the same credentials
 * share one result, and one address can have more checks waiting than clients usually have connections, so that a
 * right password behind the same proxy waits some seconds instead of being rejected.
 */
import { createHmac, randomBytes } from 'node:crypto';
import { onAbort } from '../../lib/abort.ts';
import type { Secret } from '../../lib/secret.ts';
import { createFairQueue, type FairQueue } from '../../lib/serial-queue.ts';

type AuthVerdict =
  | 'granted'
  | 'denied'
  /** Too many passwords are waiting to be checked. */
  | 'busy';

interface BasicAuth {
  /**
   * @param header the request's Authorization
   * @param users bcrypt hashes by user, not empty
   * @param address the client's, which takes turns with the others
   * @param signal aborts when the client disconnects
   */
  check(
    header: string | undefined,
    users: ReadonlyMap<string, Secret>,
    address: string,
    signal: AbortSignal,
  ): Promise<AuthVerdict>;
}

interface BasicAuthOptions {
  /** How many successful logins are cached. */
  readonly cacheSize?: number;
  /** How many checks of one address may wait: at 70 ms each, the last one waits for less than a scrape timeout. */
  readonly maxWaitingPerAddress?: number;
  readonly compare?: (password: string, hash: string) => Promise<boolean>;
}

const maxWaitingInAll = 1000;

interface SharedCheck {
  readonly result: Promise<boolean | 'busy'>;
  readonly ends: AbortController;
  /** Requests that wait for the result. */
  clients: number;
}

export function createBasicAuth(options: BasicAuthOptions = {}): BasicAuth {
  const { cacheSize = 100, maxWaitingPerAddress = 100, compare = compareBcrypt } = options;
  const key = randomBytes(32);
  const cache = new Set<string>();
  const queue: FairQueue = createFairQueue({ maxPerKey: maxWaitingPerAddress, max: maxWaitingInAll });
  /** Checks that wait or run, by the digest of their credentials. */
  const pending = new Map<string, SharedCheck>();

  /** With the lengths, so that no two different triples have the same bytes. */
  const digest = (...parts: readonly string[]): Buffer => {
    const mac = createHmac('sha256', key);
    for (const part of parts) mac.update(`${Buffer.byteLength(part)}:`).update(part);
    return mac.digest();
  };

  /** A hash that matches nothing. Its cost is one of the real users', always the same for the same name. */
  const dummyHash = (user: string, users: ReadonlyMap<string, Secret>): string => {
    const costs = [...users.values()].map((hash) => bcryptCost(hash.reveal()));
    const cost = costs[digest(user).readUInt32BE() % costs.length] ?? '10';
    return `$2b$${cost}$${'abcdefghijklmnopqrstuu'}${'.'.repeat(31)}`;
  };

  async function compareInTurn(
    password: string,
    hash: string,
    address: string,
    signal: AbortSignal,
  ): Promise<boolean | 'busy'> {
    const entered = await queue.enter(address, signal);
    if (entered === 'full') return 'busy';
    if (entered === 'aborted') return false;
    try {
      return await compare(password, hash);
    } finally {
      entered();
    }
  }

  /** Requests with the same credentials share one check, which is canceled when the last of them has disconnected. */
  async function sharedCheck(
    entry: string,
    signal: AbortSignal,
    start: (ends: AbortSignal) => Promise<boolean | 'busy'>,
  ): Promise<boolean | 'busy'> {
    if (signal.aborted) return false;
    let shared = pending.get(entry);
    if (shared === undefined) {
      const ends = new AbortController();
      const result = start(ends.signal).finally(() => {
        if (pending.get(entry)?.ends === ends) pending.delete(entry);
      });
      shared = { result, ends, clients: 0 };
      pending.set(entry, shared);
    }
    const mine = shared;
    mine.clients += 1;
    const unsubscribe = onAbort(signal, () => {
      mine.clients -= 1;
      if (mine.clients > 0) return;
      mine.ends.abort();
      if (pending.get(entry) === mine) pending.delete(entry);
    });
    try {
      return await mine.result;
    } finally {
      unsubscribe();
    }
  }

  return {
    async check(header, users, address, signal) {
      const credentials = parseBasic(header);
      if (credentials === undefined) return 'denied';
      const { user, password } = credentials;
      const known = users.get(user);
      const hash = known === undefined ? dummyHash(user, users) : known.reveal();
      const entry = digest(user, hash, password).toString('base64');
      if (known !== undefined && cache.delete(entry)) {
        cache.add(entry); // Now the newest: a Set keeps the order of insertion.
        return 'granted';
      }
      const isMatch = await sharedCheck(entry, signal, (ends) =>
        compareInTurn(password, withSupportedPrefix(hash), address, ends),
      );
      if (isMatch === 'busy') return 'busy';
      if (!isMatch || known === undefined) return 'denied';
      cache.add(entry);
      const [oldest] = cache;
      if (cache.size > cacheSize && oldest !== undefined) cache.delete(oldest);
      return 'granted';
    },
  };
}

/** Native code, loaded only where users are configured. */
const compareBcrypt = async (password: string, hash: string): Promise<boolean> =>
  (await import('bcrypt')).default.compare(password, hash);

/** RFC 7617: `Basic` and base64 of `user:password`, in UTF-8. */
function parseBasic(header: string | undefined): { user: string; password: string } | undefined {
  const encoded = /^basic +([A-Za-z0-9+/]+={0,2}) *$/i.exec(header ?? '')?.[1];
  if (encoded === undefined) return undefined;
  const text = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  return colon < 0 ? undefined : { user: text.slice(0, colon), password: text.slice(colon + 1) };
}

/** htpasswd writes $2y$, another name of $2b$. The bcrypt package returns false for any prefix but $2a$ and $2b$. */
const withSupportedPrefix = (hash: string): string => hash.replace(/^\$2[xy]?\$/, '$2b$');

const bcryptCost = (hash: string): string => /^\$2[abxy]?\$(\d\d)/.exec(hash)?.[1] ?? '10';
