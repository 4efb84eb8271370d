/**
 * Basic authentication against bcrypt hashes. bcrypt is meant to be slow, so:
 * it runs in libuv's pool, off the event loop, one at a time (the pool has four threads, and compression and
 * DNS need them too), with a bounded queue; a name that does not exist costs as much as one that does; and who
 * was let in is remembered, as exporter-toolkit does, but by a keyed digest and never by the password itself.
 */
import { createHmac, randomBytes } from 'node:crypto';
import bcrypt from 'bcrypt';
import type { Secret } from '../../lib/secret.ts';

export type Verdict =
  | 'granted'
  | 'denied'
  /** Too many are waiting to be checked already. */
  | 'busy';

export interface BasicAuth {
  /** `header`: the request's Authorization. `users`: bcrypt hashes, not empty. */
  check(
    header: string | undefined,
    users: ReadonlyMap<string, Secret>,
    signal: AbortSignal,
  ): Promise<Verdict>;
}

export interface BasicAuthOptions {
  /** How many of those let in are remembered. */
  readonly rememberedLimit?: number;
  /** How many may wait for their turn. */
  readonly waitingLimit?: number;
  readonly compare?: (password: string, hash: string) => Promise<boolean>;
}

export function createBasicAuth(options: BasicAuthOptions = {}): BasicAuth {
  const { rememberedLimit = 100, waitingLimit = 32, compare = bcrypt.compare } = options;
  const key = randomBytes(32);
  const remembered = new Set<string>();
  let waiting = 0;
  let turn: Promise<unknown> = Promise.resolve();

  /** Lengths first, so that no two different triples make the same bytes. */
  const digest = (...parts: readonly string[]): Buffer => {
    const mac = createHmac('sha256', key);
    for (const part of parts) mac.update(`${Buffer.byteLength(part)}:`).update(part);
    return mac.digest();
  };

  /** Always the same cost for the same unknown name, of those that real users have. */
  const dummy = (user: string, users: ReadonlyMap<string, Secret>): string => {
    const costs = [...users.values()].map((hash) => bcryptCost(hash.reveal()));
    const cost = costs[digest(user).readUInt32BE() % costs.length] ?? '10';
    return `$2b$${cost}$${'abcdefghijklmnopqrstuu'}${'.'.repeat(31)}`;
  };

  const inTurn = async (work: () => Promise<boolean>): Promise<boolean> => {
    waiting += 1;
    const mine = turn.then(work).finally(() => {
      waiting -= 1;
    });
    turn = mine.catch(() => undefined);
    return mine;
  };

  return {
    async check(header, users, signal) {
      const credentials = parseBasic(header);
      if (credentials === undefined) return 'denied';
      const { user, password } = credentials;
      const real = users.get(user);
      const hash = real === undefined ? dummy(user, users) : real.reveal();
      const memory = digest(user, hash, password).toString('base64');
      if (real !== undefined && remembered.delete(memory)) {
        remembered.add(memory); // The newest end: a Set keeps the order of insertion.
        return 'granted';
      }
      if (waiting >= waitingLimit) return 'busy';
      const matches = await inTurn(async () => !signal.aborted && compare(password, modern(hash)));
      if (!matches || real === undefined) return 'denied';
      remembered.add(memory);
      const [oldest] = remembered;
      if (remembered.size > rememberedLimit && oldest !== undefined) remembered.delete(oldest);
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

/** htpasswd writes $2y$, which is $2b$ by another name; the bcrypt package answers `false` to any but a and b. */
const modern = (hash: string): string => hash.replace(/^\$2[xy]?\$/, '$2b$');

const bcryptCost = (hash: string): string => /^\$2[abxy]?\$(\d\d)/.exec(hash)?.[1] ?? '10';
