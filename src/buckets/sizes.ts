/** How many buckets a Gitaly has: from its config.toml, or from the request. */
import { parseGitalyConfig } from '../config/gitaly/gitaly-config.ts';
import { problemText } from '../config/problem.ts';
import { templateValue } from '../config/toml/template.ts';
import { createDeadline, unlessAborted } from '../lib/abort.ts';
import type { Clock } from '../lib/clock.ts';
import type { ConfiguredGitaly, GitalyConfigs } from '../sources/cgroup/tree.ts';
import type { ConfigSource } from '../sources/gitaly/target.ts';
import { type Identity, identityKey, identityText } from '../sources/identity.ts';
import { type BucketSizes, bucketName } from './hash.ts';

/** A Gitaly by its configuration. `count` is 0 where its cgroups are disabled. */
interface KnownGitaly extends ConfiguredGitaly, BucketSizes {
  readonly count: number;
  readonly storages: readonly string[];
}

export interface KnownGitalys {
  readonly gitalys: readonly KnownGitaly[];
  /** Why the list may be incomplete, one sentence each. */
  readonly failures: readonly string[];
}

export async function readGitalys(
  sources: readonly ConfigSource[],
  signal: AbortSignal,
): Promise<KnownGitalys> {
  const gitalys: KnownGitaly[] = [];
  const failures: string[] = [];
  for (const read of await Promise.all(sources.map((source) => source.read(signal)))) {
    failures.push(...read.failures.map(({ message }) => message));
    for (const { name, text, identities } of read.texts) {
      const config = parseGitalyConfig(text, name);
      if (!config.ok) {
        failures.push(...config.problems.map(problemText));
        continue;
      }
      const { storages, cgroups, incomplete } = config.value;
      const { count, maxCgroupsPerRepo } = cgroups.repositories;
      if (incomplete !== undefined && count === 0) {
        failures.push(`${incomplete}: cgroups.repositories.count is unknown`);
        continue;
      }
      gitalys.push({
        name,
        identities,
        // Behind Praefect the chart names each storage after its pod.
        storages: storages.flatMap((storage) =>
          storage === templateValue
            ? identities.map(({ pod }) => pod).filter((pod) => pod !== '')
            : [storage],
        ),
        count,
        maxCgroupsPerRepo,
        mountpoint: withoutTemplate(cgroups.mountpoint),
        hierarchyRoot: withoutTemplate(cgroups.hierarchyRoot),
      });
    }
  }
  return { gitalys, failures };
}

const withoutTemplate = (path: string): string | undefined =>
  path.includes(templateValue) ? undefined : path;

/** Which Gitaly is meant, as far as the request says, and the sizes that it overrides. */
interface SizesRequest {
  readonly storage?: string | undefined;
  /** Name of a pod or node. */
  readonly server?: string | undefined;
  readonly count?: number | undefined;
  readonly maxCgroupsPerRepo?: number | undefined;
}

/** How the request's fields are called where it comes from: `--count`, `the parameter count`. */
interface SizesFieldNames {
  readonly count: string;
  readonly storage: string;
}

export type SizesResult =
  | { readonly ok: true; readonly sizes: BucketSizes }
  /** `problem`: what is missing and how to give it. `isDisabled`: this Gitaly is known to have no buckets. */
  | { readonly ok: false; readonly problem: string; readonly isDisabled: boolean };

/** The request's own sizes override the configured ones. */
export function sizesFor(
  known: KnownGitalys,
  request: SizesRequest,
  fieldNames: SizesFieldNames,
): SizesResult {
  const matching = matchingGitalys(known.gitalys, request);
  const [first] = matching;
  const spreads = new Set(matching.map(({ maxCgroupsPerRepo }) => maxCgroupsPerRepo));
  if (request.count !== undefined) {
    const maxCgroupsPerRepo =
      request.maxCgroupsPerRepo ?? (spreads.size === 1 ? first?.maxCgroupsPerRepo : undefined) ?? 1;
    return { ok: true, sizes: { count: request.count, maxCgroupsPerRepo } };
  }
  const problem = (text: string): SizesResult => ({ ok: false, problem: text, isDisabled: false });
  if (first === undefined)
    return problem(
      [
        `the number of buckets is unknown: set ${fieldNames.count} ([cgroups.repositories] count of Gitaly's config.toml), or gitaly.config-file to that file`,
        ...known.failures,
      ].join('; '),
    );
  const isDifferent = matching.some(({ count }) => count !== first.count);
  if (isDifferent || spreads.size > 1)
    return problem(
      `Gitalys have different numbers of buckets (${matching.map(sizesText).join('; ')}): set ${fieldNames.storage} or ${fieldNames.count}`,
    );
  if (first.count === 0)
    return {
      ok: false,
      isDisabled: true,
      problem: `${first.name} sets no count in [cgroups.repositories], so Git runs in no bucket. If Gitaly is configured elsewhere, set ${fieldNames.count}`,
    };
  const { count, maxCgroupsPerRepo } = first;
  return { ok: true, sizes: { count, maxCgroupsPerRepo: request.maxCgroupsPerRepo ?? maxCgroupsPerRepo } };
}

/** Those that the request names; all of them when it names none that is known. */
export function matchingGitalys(
  gitalys: readonly KnownGitaly[],
  { storage, server }: Pick<SizesRequest, 'storage' | 'server'>,
): readonly KnownGitaly[] {
  const byServer =
    server === undefined ? gitalys : gitalys.filter(({ identities }) => identities.some(isNamed(server)));
  const possible = byServer.length > 0 ? byServer : gitalys;
  if (storage === undefined) return possible;
  const named = possible.filter(
    ({ storages, identities }) => storages.includes(storage) || identities.some(isNamed(storage)),
  );
  return named.length > 0 ? named : possible;
}

const isNamed =
  (name: string) =>
  ({ pod, node }: Identity): boolean =>
    pod === '' ? node === name : pod === name || node === name;

const sizesText = ({ identities, name, count, maxCgroupsPerRepo }: KnownGitaly): string =>
  `${identities.map(identityText).join(', ') || name}: ${count}${maxCgroupsPerRepo > 1 ? `, up to ${maxCgroupsPerRepo} per repository` : ''}`;

export const noSuchBucketText = (bucket: number, storage: string, count: number): string =>
  `${storage} has no ${bucketName(bucket)}: it has ${count} buckets, ${bucketName(0)} to ${bucketName(count - 1)}`;

/** Gitaly's configurations, read at most once a minute; for the cgroup source, which must not wait for a slow API. */
interface ConfiguredBuckets extends GitalyConfigs {
  /** cgroups.repositories.count as last read; undefined while it is unknown. From memory. */
  of(identity: Identity): number | undefined;
  /** Cancels a read in progress. */
  close(): void;
}

/** A configuration changes with a restart of Gitaly; one that can no longer be read is unknown. */
const readEveryMs = 60_000;
/** The first scan waits this long for the first read. */
const firstReadMs = 3000;

export function createConfiguredBuckets(configs: readonly ConfigSource[], clock: Clock): ConfiguredBuckets {
  const closing = new AbortController();
  let counts: ReadonlyMap<string, number> = new Map();
  let last: KnownGitalys | undefined;
  let readAt: number | undefined;
  let reading: Promise<void> = Promise.resolve();

  async function read(): Promise<void> {
    last = await readGitalys(configs, closing.signal);
    counts = new Map(
      last.gitalys
        .filter(({ count }) => count > 0)
        .flatMap(({ count, identities }) =>
          identities.map((identity) => [identityKey(identity), count] as const),
        ),
    );
  }

  function readIfDue(): void {
    const now = clock.monotonic();
    if (readAt !== undefined && now - readAt < readEveryMs) return;
    readAt = now;
    reading = read();
  }

  return {
    of(identity) {
      readIfDue();
      return counts.get(identityKey(identity));
    },
    async read(signal) {
      readIfDue();
      if (last === undefined) {
        const deadline = createDeadline(clock, firstReadMs, signal, closing.signal);
        await unlessAborted(reading, deadline.signal);
        deadline.release();
      }
      return last ?? { gitalys: [], failures: [] };
    },
    close: () => closing.abort(),
  };
}
