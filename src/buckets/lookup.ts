/**
 * Looks up which repositories share a bucket, in Praefect's database, for clients of the API.
 *
 * A lookup reads the paths of all repositories, so clients must not be able to load the database with it: one lookup
 * at a time, on a connection of its own that delays no collector, a tenth of the time at most, and the same result for
 * 30 s.
 */
import type { DatabaseConnection } from '../config/database-connection.ts';
import type { Clock } from '../lib/clock.ts';
import { createBudget } from '../scheduler/budget.ts';
import { createEventLog } from '../scheduler/event-log.ts';
import type { ConfigSource } from '../sources/gitaly/target.ts';
import { createDatabase } from '../sources/praefect/connection/create-database.ts';
import { contactedStorages } from '../sources/praefect/queries/replica-paths.ts';
import { createVariantSource } from '../sources/praefect/query.ts';
import { bucketName } from './hash.ts';
import { type BucketListing, listBucket, type StorageSizes } from './listing.ts';
import { type KnownGitalys, matchingGitalys, noSuchBucketText, readGitalys, sizesFor } from './sizes.ts';

/** From the current settings. */
export interface BucketSources {
  /** Undefined: no database is configured. */
  readonly connection: DatabaseConnection | undefined;
  readonly statementTimeoutMs: number;
  /** Where Gitalys' configurations are read. */
  readonly configs: readonly ConfigSource[];
  /** Storages of all virtual storages; undefined where neither the settings nor Praefect's configuration has them. */
  readonly configuredStorages: readonly string[] | undefined;
}

export interface BucketLookupRequest {
  readonly bucket: number;
  readonly storage: string | undefined;
  /** Name of a pod or node: the labels of gitaly_server_bucket_*. */
  readonly server: string | undefined;
  readonly count: number | undefined;
  readonly maxCgroupsPerRepo: number | undefined;
  /** How many repositories of each storage are listed. */
  readonly limit: number;
}

type BucketLookupResult = { readonly ok: true; readonly listing: BucketListing } | BucketLookupFailure;

/**
 * invalid: the request lacks something or contradicts the configuration. not_found: there is no such bucket, or no
 * database. unavailable: the database failed, or another lookup has its turn.
 */
export interface BucketLookupFailure {
  readonly ok: false;
  readonly reason: 'invalid' | 'not_found' | 'unavailable';
  /** For people: what is wrong, and how to fix it. */
  readonly problem: string;
}

export interface BucketLookup {
  /** Never rejects for what the database or a configuration does. */
  list(request: BucketLookupRequest): Promise<BucketLookupResult>;
}

const maxTimeRatio = 0.1;
const cachedForMs = 30_000;
const maxCached = 50;
const deadlineMs = 30_000;
/** A database that refuses connections is not tried in a loop. */
const failureCostMs = 100;
const fieldNames = { count: 'the parameter count', storage: 'the parameter storage' };

/** @param sources read with every request: a reload may change them */
export function createBucketLookup(sources: () => BucketSources, clock: Clock): BucketLookup {
  const budget = createBudget(maxTimeRatio, clock);
  const cache = new Map<string, { readonly until: number; readonly result: BucketLookupResult }>();
  let running: { readonly key: string; readonly result: Promise<BucketLookupResult> } | undefined;

  async function scan(
    request: BucketLookupRequest,
    connection: DatabaseConnection,
    { configuredStorages, statementTimeoutMs }: BucketSources,
    known: KnownGitalys,
  ): Promise<BucketLookupResult> {
    const applicationName = 'gitaly-exporter buckets';
    const database = createDatabase({ connection, clock, budget, applicationName });
    try {
      const limits = { signal: AbortSignal.timeout(deadlineMs), statementTimeoutMs };
      const context = { database, variants: createVariantSource(database, createEventLog(clock)) };
      let names = namedStorages(known, request) ?? configuredStorages;
      if (names === undefined) {
        const contacted = await contactedStorages(context, limits);
        if (!contacted.ok) return failure('unavailable', contacted.failure.message);
        names = contacted.value;
      }
      if (names.length === 0) return failure('invalid', 'no storage is known: set the parameter storage');
      const storages = storagesWithBucket(names, known, request);
      if (!storages.ok) return storages;
      const result = await listBucket(context, limits, { ...request, storages: storages.value });
      return result.ok ? { ok: true, listing: result.value } : failure('unavailable', result.failure.message);
    } finally {
      await database.close();
    }
  }

  function cachedOrRunning(key: string): BucketLookupResult | Promise<BucketLookupResult> | undefined {
    for (const [old, { until }] of cache) if (until <= clock.monotonic()) cache.delete(old);
    return cache.get(key)?.result ?? (running?.key === key ? running.result : undefined);
  }

  /** What is wrong with the request by the configurations alone, without the database. */
  function rejection(
    request: BucketLookupRequest,
    { configuredStorages }: BucketSources,
    known: KnownGitalys,
  ): BucketLookupFailure | undefined {
    const names = namedStorages(known, request) ?? configuredStorages;
    const storages = names && storagesWithBucket(names, known, request);
    return storages?.ok === false ? storages : undefined;
  }

  return {
    async list(request) {
      const key = JSON.stringify(request);
      const present = cachedOrRunning(key);
      if (present !== undefined) return present;
      const source = sources();
      if (source.connection === undefined)
        return failure(
          'not_found',
          "Praefect's database is not configured, so repositories are unknown: set praefect.database.url, or pipe their paths to `gitaly-exporter bucket`",
        );
      const known = await readGitalys(source.configs, AbortSignal.timeout(deadlineMs));
      const rejected = rejection(request, source, known);
      if (rejected !== undefined) return rejected;
      const sinceThen = cachedOrRunning(key);
      if (sinceThen !== undefined) return sinceThen;
      const waitMs = budget.readyAt() - clock.monotonic();
      if (running !== undefined || waitMs > 0)
        return failure(
          'unavailable',
          `bucket lookups are limited to a tenth of the time, and another one ${running === undefined ? 'has just finished' : 'is running'}: retry in ${Math.max(1, Math.ceil(waitMs / 1000))} s`,
        );
      running = { key, result: scan(request, source.connection, source, known) };
      try {
        const result = await running.result;
        if (!result.ok && result.reason === 'unavailable') budget.charge(failureCostMs);
        if (result.ok) {
          if (cache.size >= maxCached) cache.clear();
          cache.set(key, { until: clock.monotonic() + cachedForMs, result });
        }
        return result;
      } finally {
        running = undefined;
      }
    },
  };
}

/** Undefined when the request names neither a storage nor a server. */
function namedStorages(
  { gitalys }: KnownGitalys,
  request: BucketLookupRequest,
): readonly string[] | undefined {
  if (request.storage !== undefined) return [request.storage];
  if (request.server === undefined) return undefined;
  const matching = matchingGitalys(gitalys, request);
  const storages = matching === gitalys ? [] : matching.flatMap((gitaly) => gitaly.storages);
  // Behind Praefect the chart names each storage after its pod, as many virtual machines do after their host.
  return storages.length > 0 ? storages : [request.server];
}

/** Those of the storages whose Gitaly has the bucket. */
function storagesWithBucket(
  names: readonly string[],
  known: KnownGitalys,
  request: BucketLookupRequest,
): { readonly ok: true; readonly value: readonly StorageSizes[] } | BucketLookupFailure {
  const storages: StorageSizes[] = [];
  for (const storage of names) {
    const found = sizesFor(known, { ...request, storage }, fieldNames);
    if (!found.ok && (!found.isDisabled || names.length === 1)) return failure('invalid', found.problem);
    if (!found.ok) continue;
    if (request.bucket < found.sizes.count) storages.push({ storage, sizes: found.sizes });
    else if (names.length === 1)
      return failure('not_found', noSuchBucketText(request.bucket, storage, found.sizes.count));
  }
  return storages.length > 0
    ? { ok: true, value: storages }
    : failure('not_found', `no storage has a bucket ${bucketName(request.bucket)}`);
}

const failure = (reason: BucketLookupFailure['reason'], problem: string): BucketLookupFailure => ({
  ok: false,
  reason,
  problem,
});
