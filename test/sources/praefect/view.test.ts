/** The typed view of Praefect has the same values as the samples of a scrape, and none that a scrape lacks. */
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { systemClock } from '../../../src/lib/clock.ts';
import { silentLog } from '../../../src/lib/log.ts';
import { createBudget } from '../../../src/scheduler/budget.ts';
import { createRunner, type Runner } from '../../../src/scheduler/runner.ts';
import { createDatabase } from '../../../src/sources/praefect/connection/create-database.ts';
import { type PraefectView, praefectView } from '../../../src/sources/praefect/view.ts';
import { loadCapture, praefectCapture, startPostgres, type TestPostgres } from '../../support/postgres.ts';
import { praefectSource } from '../../support/praefect-source.ts';
import { type Samples, samplesIn } from './queries/support.ts';

let server: TestPostgres;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server.stop());

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

/** Runs the collectors on a captured database. */
async function sourceOn(capture: string | undefined) {
  const place = await server.createDatabase();
  if (capture !== undefined) {
    const client = await place.client();
    await loadCapture(client, praefectCapture(capture), 'now');
    await client.end();
  }
  const clock = systemClock;
  const budget = createBudget(1, clock);
  const connection = capture === undefined ? { ...place.connection, port: 1 } : place.connection;
  const database = createDatabase({ connection, clock, budget });
  const source = praefectSource({
    database,
    budget,
    clock,
    refreshIntervalMs: 60_000,
    maxStalenessMs: 300_000,
  });
  const runner = createRunner({
    collectors: source.collectors,
    version: '0',
    clock,
    log: silentLog,
  });
  closing.push(async () => {
    await runner.stop();
    await database.close();
  });
  return { runner, view: () => praefectView(source.viewed, runner.latest) };
}

async function started(runner: Runner): Promise<void> {
  runner.start();
  while (!runner.ready()) await systemClock.sleep(20);
}

const samplesOf = async (runner: Runner): Promise<Samples> =>
  Object.assign({}, ...(await runner.blocks({ signal: AbortSignal.timeout(10_000) })).map(samplesIn));

/** The samples that the view corresponds to, for every metric that has its values in the view. */
function expectedSamples({ database, health, queue, repositories }: PraefectView): Record<string, number> {
  const samples: Record<string, number> = {};
  const put = (name: string, labels: Record<string, string>, value: number | boolean | undefined): void => {
    if (value === undefined) return;
    const text = Object.entries(labels).map(([label, of]) => `${label}="${of}"`);
    samples[`praefect_db_${name}${text.length > 0 ? `{${text.join(',')}}` : ''}`] = Number(value);
  };
  put('up', {}, database?.up);
  put('clock_skew_seconds', {}, database?.clockSkewSeconds);
  for (const reason of ['recovery', 'setting'] as const)
    put('read_only', { reason }, database?.readOnlyReasons?.includes(reason));
  for (const { virtualStorage: virtual_storage, ...each } of health ?? []) {
    put('heartbeat_timestamp_seconds', { virtual_storage }, each.heartbeatAt);
    put('heartbeat_quorum', { virtual_storage }, each.hasQuorum);
    for (const { praefect, alive, lastContactAt } of each.praefects) {
      put('praefect_alive', { praefect, virtual_storage }, alive);
      put('praefect_last_contact_timestamp_seconds', { praefect, virtual_storage }, lastContactAt);
    }
    for (const { storage, healthy, seenHealthyBy } of each.storages) {
      put('storage_healthy', { virtual_storage, storage }, healthy);
      for (const [praefect, seen] of seenHealthyBy)
        put('storage_seen_healthy', { praefect, virtual_storage, storage }, seen);
    }
  }
  put('replication_jobs_enqueued_total', {}, queue?.enqueued);
  put('replication_jobs_removed_total', {}, queue?.removed);
  for (const { virtualStorage: virtual_storage, storage, ...target } of queue?.targets ?? []) {
    const place = { virtual_storage, storage };
    for (const { state, change, count } of target.jobs)
      put('replication_jobs', { ...place, state, change }, count);
    for (const [state, at] of target.oldest)
      put('replication_oldest_job_timestamp_seconds', { ...place, state }, at);
    for (const [reason, count] of Object.entries(target.stale))
      put('replication_stale_jobs', { ...place, reason }, count);
  }
  for (const { virtualStorage: virtual_storage, ...each } of repositories?.virtualStorages ?? []) {
    put('repositories', { virtual_storage }, each.repositories);
    put('repositories_unavailable', { virtual_storage }, each.unavailable);
    put('repositories_read_only', { virtual_storage }, each.readOnly);
    put('repositories_lost', { virtual_storage }, each.lost);
    put('repositories_without_primary', { virtual_storage }, each.withoutPrimary);
    put('repositories_single_copy', { virtual_storage }, each.singleCopy);
    each.byHealthyReplicas?.forEach((count, replicas) => {
      put('repositories_by_healthy_replicas', { virtual_storage, replicas: String(replicas) }, count);
    });
    for (const { storage, ...of } of each.storages) {
      const place = { virtual_storage, storage };
      for (const state of ['current', 'outdated', 'missing', 'unassigned'] as const)
        put('replicas', { ...place, state }, of[state]);
      put('primaries', place, of.primaries);
      put('repositories_at_risk', place, of.atRisk);
      put('replicas_outdated_unscheduled', place, of.unscheduled);
      put('replicas_stuck', place, of.stuck);
      put('replica_behind_since_timestamp_seconds', place, of.behindSince);
      put('replica_generations_behind_max', place, of.generationsBehindMax);
    }
  }
  for (const { virtualStorage: virtual_storage, storage, ...of } of repositories?.verification ?? []) {
    const place = { virtual_storage, storage };
    for (const [state, count] of Object.entries(of.replicas))
      put('verification_replicas', { ...place, state }, count);
    put('verification_oldest_timestamp_seconds', place, of.oldest);
  }
  return samples;
}

/** Metrics that no rule reads, and counters that have a zero for each pair of storages. */
const notViewed =
  /^praefect_db_(info|tls|probe|migrations|connections|blocked|longest|table|wraparound|transaction|shard|reference|primary_moves|failovers|last_failover)/;

test.each([
  '13.5/05-failed-over',
  '14.9/06-failed-over',
  '19/gitaly-down/down-later',
  '19/storage-removed/removed',
])('on %s the view has exactly the values of the samples', async (capture) => {
  const { runner, view } = await sourceOn(capture);
  await started(runner);
  const shown = Object.entries(await samplesOf(runner)).filter(
    ([series]) => series.startsWith('praefect_db_') && !notViewed.test(series),
  );
  expect(shown.length).toBeGreaterThan(50);
  expect(expectedSamples(view())).toEqual(Object.fromEntries(shown));
  expect(view()).toMatchObject({
    database: { up: true, isEncrypted: false, serverVersion: expect.stringMatching(/^1\d\./) },
    repositories: { primaryMoves: [], failovers: [] },
  });
});

test('before the first read the view has only the configuration', async () => {
  const { view } = await sourceOn('14.9/01-healthy');
  expect(view()).toEqual({
    database: undefined,
    health: undefined,
    queue: undefined,
    repositories: undefined,
  });
});

test('when the database refuses connections the view has it as down, and the rest is undefined', async () => {
  const { runner, view } = await sourceOn(undefined);
  await started(runner);
  expect(view()).toEqual({
    database: {
      up: false,
      isRejected: false,
      serverVersion: undefined,
      schemaVariant: undefined,
      readOnlyReasons: undefined,
      isEncrypted: undefined,
      clockSkewSeconds: undefined,
    },
    health: undefined,
    queue: undefined,
    repositories: undefined,
  });
});

test('without a database the view has only the configuration', () => {
  const latest = () => {
    throw new Error('no collector to read');
  };
  expect(praefectView(undefined, latest)).toEqual({
    database: undefined,
    health: undefined,
    queue: undefined,
    repositories: undefined,
  });
});
