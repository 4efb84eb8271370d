/** How many repository buckets each Gitaly is configured to have: Gitaly makes one only when a repository needs it. */
import { parseGitalyConfig } from '../config/gitaly/gitaly-config.ts';
import type { Clock } from '../lib/clock.ts';
import type { ConfigSource } from '../sources/gitaly/target.ts';
import { type Identity, identityKey } from '../sources/identity.ts';

export interface ConfiguredBuckets {
  /** cgroups.repositories.count of that Gitaly, as last read; undefined while it is not known. From memory. */
  of(identity: Identity): number | undefined;
  /** Ends a read that is under way. */
  close(): void;
}

/** A configuration changes with a restart of Gitaly; what cannot be read any more is not known any more. */
const readEveryMs = 60_000;

export function createConfiguredBuckets(
  configs: readonly ConfigSource[],
  clock: Pick<Clock, 'monotonic'>,
): ConfiguredBuckets {
  const closing = new AbortController();
  let counts: ReadonlyMap<string, number> = new Map();
  let readAt: number | undefined;

  async function read(): Promise<void> {
    const found = await Promise.all(configs.map((source) => source.read(closing.signal)));
    const next = new Map<string, number>();
    for (const { texts } of found)
      for (const { identities, name, text } of texts) {
        const parsed = parseGitalyConfig(text, name);
        const count = parsed.ok ? parsed.value.cgroups.repositories.count : 0;
        if (count === 0) continue;
        for (const identity of identities) next.set(identityKey(identity), count);
      }
    counts = next;
  }

  return {
    of(identity) {
      const now = clock.monotonic();
      if (readAt === undefined || now - readAt >= readEveryMs) {
        readAt = now;
        void read();
      }
      return counts.get(identityKey(identity));
    },
    close: () => closing.abort(),
  };
}
