/**
 * GET /api/v1/buckets/{n}: which repositories share a bucket, from Praefect's database.
 *
 * Whoever asks makes the database read the paths of all repositories, so that it must not be asked at will: one
 * question at a time, on a connection of its own that holds up no collector, a tenth of the time at most, and an
 * answer that is given again for 30 s.
 */
import type { DatabaseConnection } from '../config/database-connection.ts';
import type { Clock } from '../lib/clock.ts';
import { createBudget } from '../scheduler/budget.ts';
import { createEventLog } from '../scheduler/event-log.ts';
import type { ApiResponse, ApiRoute } from '../server/routes.ts';
import type { ConfigSource } from '../sources/gitaly/target.ts';
import { createDatabase } from '../sources/praefect/connection/create-database.ts';
import { contactedStorages } from '../sources/praefect/queries/replica-paths.ts';
import { createVariantSource } from '../sources/praefect/query.ts';
import { bucketName, listingJson } from './json.ts';
import { listBucket, type StorageSizes } from './listing.ts';
import { type BucketQuery, readQuery } from './query.ts';
import { type KnownGitalys, meantGitalys, readGitalys, sizesFor } from './sizes.ts';

/** What the settings of this moment say. */
export interface BucketSources {
  /** Undefined: no database is configured. */
  readonly connection: DatabaseConnection | undefined;
  readonly statementTimeoutMs: number;
  /** Who knows Gitaly's configurations. */
  readonly configs: readonly ConfigSource[];
  /** Storages of all virtual storages; undefined where neither the settings nor Praefect's configuration say. */
  readonly configuredStorages: readonly string[] | undefined;
}

export interface BucketRoutesOptions {
  /** Asked at each request: a reload may change them. */
  readonly sources: () => BucketSources;
  readonly clock: Clock;
}

const timeShare = 0.1;
const cachedForMs = 30_000;
const mostCached = 50;
const deadlineMs = 30_000;
const failureCostsMs = 100;
const words = { count: 'the parameter count', storage: 'the parameter storage' };

export function bucketRoutes({ sources, clock }: BucketRoutesOptions): readonly ApiRoute[] {
  const budget = createBudget(timeShare, clock);
  const cached = new Map<string, { readonly until: number; readonly answer: ApiResponse }>();
  let running: { readonly key: string; readonly answer: Promise<ApiResponse> } | undefined;

  /** What can be said without the database; undefined: nothing yet. */
  function refusalOf(query: BucketQuery, { configuredStorages }: BucketSources, known: KnownGitalys) {
    const names = namedStorages(known, query) ?? configuredStorages;
    const storages = names && withBucket(names, known, query);
    return storages?.ok === false ? storages.answer : undefined;
  }

  async function ask(
    query: BucketQuery,
    connection: DatabaseConnection,
    { configuredStorages, statementTimeoutMs }: BucketSources,
    known: KnownGitalys,
  ): Promise<ApiResponse> {
    const applicationName = 'gitaly-exporter buckets';
    const database = createDatabase({ connection, clock, budget, applicationName });
    try {
      const limits = { signal: AbortSignal.timeout(deadlineMs), statementTimeoutMs };
      const context = { database, variants: createVariantSource(database, createEventLog(clock)) };
      let names = namedStorages(known, query) ?? configuredStorages;
      if (names === undefined) {
        const contacted = await contactedStorages(context, limits);
        if (!contacted.ok) return problem(503, contacted.failure.message);
        names = contacted.value;
      }
      if (names.length === 0) return problem(400, 'no storage is known: give the parameter storage');
      const storages = withBucket(names, known, query);
      if (!storages.ok) return storages.answer;
      const asked = await listBucket(context, limits, { ...query, storages: storages.value });
      return asked.ok ? { json: listingJson(asked.value) } : problem(503, asked.failure.message);
    } finally {
      await database.close();
    }
  }

  /** The answer that is kept, or is on its way. */
  function sameAnswer(key: string): ApiResponse | Promise<ApiResponse> | undefined {
    for (const [old, { until }] of cached) if (until <= clock.monotonic()) cached.delete(old);
    return cached.get(key)?.answer ?? (running?.key === key ? running.answer : undefined);
  }

  async function handle(query: BucketQuery): Promise<ApiResponse> {
    const key = JSON.stringify(query);
    const before = sameAnswer(key);
    if (before !== undefined) return before;
    const source = sources();
    if (source.connection === undefined)
      return problem(
        404,
        "Praefect's database is not configured (praefect.database.url), so that repositories are not known here; `gitaly-exporter bucket` takes their paths from standard input",
      );
    const known = await readGitalys(source.configs, AbortSignal.timeout(deadlineMs));
    const refusal = refusalOf(query, source, known);
    if (refusal !== undefined) return refusal;
    const meanwhile = sameAnswer(key);
    if (meanwhile !== undefined) return meanwhile;
    const waitMs = budget.readyAt() - clock.monotonic();
    if (running !== undefined || waitMs > 0)
      return problem(
        503,
        `another question about buckets ${running === undefined ? 'was' : 'is being'} answered, and they may take a tenth of the time: ask again in ${Math.max(1, Math.ceil(waitMs / 1000))} s`,
      );
    const mine = { key, answer: ask(query, source.connection, source, known) };
    running = mine;
    try {
      const answer = await mine.answer;
      // So that a database that refuses is not asked again and again.
      if (answer.status === 503) budget.charge(failureCostsMs);
      if (answer.status === undefined) {
        if (cached.size >= mostCached) cached.clear();
        cached.set(key, { until: clock.monotonic() + cachedForMs, answer });
      }
      return answer;
    } finally {
      running = undefined;
    }
  }

  return [
    {
      path: 'buckets/:bucket',
      async handle({ params, query }) {
        const read = readQuery(params['bucket'] ?? '', query);
        return read.ok ? handle(read.value) : problem(400, read.problem);
      },
    },
  ];
}

/** Undefined when the question names neither a storage nor a server whose storages are known. */
function namedStorages({ gitalys }: KnownGitalys, query: BucketQuery): readonly string[] | undefined {
  if (query.storage !== undefined) return [query.storage];
  if (query.server === undefined) return undefined;
  const meant = meantGitalys(gitalys, query);
  const storages = meant === gitalys ? [] : meant.flatMap((gitaly) => gitaly.storages);
  // Behind Praefect the chart calls each storage as its pod, and so do many virtual machines.
  return storages.length > 0 ? storages : [query.server];
}

function withBucket(
  names: readonly string[],
  known: KnownGitalys,
  query: BucketQuery,
):
  | { readonly ok: true; readonly value: readonly StorageSizes[] }
  | { readonly ok: false; readonly answer: ApiResponse } {
  const storages: StorageSizes[] = [];
  for (const storage of names) {
    const found = sizesFor(known, { ...query, storage }, words);
    if (!found.ok && (!found.without || names.length === 1))
      return { ok: false, answer: problem(400, found.problem) };
    if (!found.ok) continue;
    if (query.bucket < found.sizes.count) storages.push({ storage, sizes: found.sizes });
    else if (names.length === 1)
      return { ok: false, answer: problem(404, noBucket(query.bucket, storage, found.sizes.count)) };
  }
  return storages.length > 0
    ? { ok: true, value: storages }
    : { ok: false, answer: problem(404, `no storage has a bucket ${bucketName(query.bucket)}`) };
}

export const noBucket = (bucket: number, storage: string, count: number): string =>
  `there is no ${bucketName(bucket)} on ${storage}: it has ${count}, ${bucketName(0)} to ${bucketName(count - 1)}`;

const problem = (status: number, error: string): ApiResponse => ({ status, json: { error } });
