/**
 * Basic authentication against bcrypt hashes. bcrypt is slow on purpose, so it runs in libuv's thread pool, off
 * the event loop, one password at a time (the pool has four threads, which compression and DNS need too), with
 * a bounded queue. A user that does not exist costs as much time as one that does. Successful logins are cached,
 * as in exporter-toolkit, but under a keyed digest and never under the password itself.
 */
import { createHmac, randomBytes } from 'node:crypto';
import bcrypt from 'bcrypt';
import type { Secret } from '../../lib/secret.ts';
import { createSerialQueue } from '../../lib/serial-queue.ts';

type AuthVerdict =
  | 'granted'
  | 'denied'
  /** Too many passwords are waiting to be checked. */
  | 'busy';

interface BasicAuth {
  /**
   * @param header the request's Authorization
   * @param users bcrypt hashes by user, not empty
   * @param signal aborts when the client disconnects
   */
  check(
    header: string | undefined,
    users: ReadonlyMap<string, Secret>,
    signal: AbortSignal,
  ): Promise<AuthVerdict>;
}

interface BasicAuthOptions {
  /** How many successful logins are cached. */
  readonly cacheSize?: number;
  /** How many checks may run or wait at the same time. */
  readonly maxPending?: number;
  readonly compare?: (password: string, hash: string) => Promise<boolean>;
}

export function createBasicAuth(options: BasicAuthOptions = {}): BasicAuth {
  const { cacheSize = 100, maxPending = 32, compare = bcrypt.compare } = options;
  const key = randomBytes(32);
  const cache = new Set<string>();
  const queue = createSerialQueue();
  let pending = 0;

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

  async function compareInTurn(password: string, hash: string, signal: AbortSignal): Promise<boolean> {
    pending += 1;
    const leave = await queue.enter(signal);
    try {
      return leave !== undefined && (await compare(password, hash));
    } finally {
      pending -= 1;
      leave?.();
    }
  }

  return {
    async check(header, users, signal) {
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
      if (pending >= maxPending) return 'busy';
      const isMatch = await compareInTurn(password, withSupportedPrefix(hash), signal);
      if (!isMatch || known === undefined) return 'denied';
      cache.add(entry);
      const [oldest] = cache;
      if (cache.size > cacheSize && oldest !== undefined) cache.delete(oldest);
      return 'granted';
    },
  };
}

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
