/** Rules that hold in a Praefect database at any time, during every incident. */
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../demo/postgres/server.ts';
import { createRandom } from '../../demo/world.ts';
import { isSettled, type ObservedCluster, observeCluster } from './observe.ts';

jest.setTimeout(60_000);

/** Each finds the rows that violate a rule, in one statement, so that all tables are read at the same time. */
const violations = {
  'a job in progress has a lock that is acquired': `
    SELECT queue.id FROM replication_queue AS queue
    LEFT JOIN replication_queue_job_lock AS held ON held.job_id = queue.id
    LEFT JOIN replication_queue_lock AS lock ON lock.id = queue.lock_id
    WHERE queue.state = 'in_progress' AND (held.job_id IS NULL OR lock.acquired IS NOT TRUE)`,
  'an acquired lock is held by one job in progress': `
    SELECT lock.id FROM replication_queue_lock AS lock
    WHERE lock.acquired AND 1 <> (
      SELECT count(*) FROM replication_queue_job_lock AS held JOIN replication_queue AS queue ON queue.id = held.job_id
      WHERE held.lock_id = lock.id AND queue.state = 'in_progress')`,
  'a queued job has no lock row of its own': `
    SELECT job_id FROM replication_queue_job_lock JOIN replication_queue ON id = job_id WHERE state <> 'in_progress'`,
  'attempts are 3 while ready, 1 or 2 when failed, 0 to 2 in progress': `
    SELECT id FROM replication_queue
    WHERE CASE state WHEN 'ready' THEN attempt <> 3 WHEN 'failed' THEN attempt NOT IN (1, 2)
                     WHEN 'in_progress' THEN attempt NOT IN (0, 1, 2) ELSE true END`,
  // Two concurrent statements do not see each other's rows: a write and the reconciler may both queue a job.
  'at most two equal jobs are ready': `
    SELECT min(id) FROM replication_queue WHERE state = 'ready'
    GROUP BY lock_id, job->>'source_node_storage', job->>'change' HAVING count(*) > 2`,
  'a lock id consists of virtual storage, target and path': `
    SELECT id FROM replication_queue
    WHERE lock_id <> concat_ws('|', job->>'virtual_storage', job->>'target_node_storage', job->>'relative_path')`,
  'a job copies from another storage': `
    SELECT id FROM replication_queue WHERE job->>'source_node_storage' = job->>'target_node_storage'`,
  'times of the queue are UTC': `
    SELECT id FROM replication_queue
    WHERE created_at > timezone('UTC', now()) + interval '1 s' OR created_at < timezone('UTC', now()) - interval '5 min'`,
  'no replica is ahead of its repository': `
    SELECT replica.repository_id FROM storage_repositories AS replica JOIN repositories USING (repository_id)
    WHERE replica.generation > repositories.generation`,
  'some replica is at the repository’s generation': `
    SELECT repository_id FROM repositories
    WHERE NOT EXISTS (SELECT FROM storage_repositories AS r
                      WHERE r.repository_id = repositories.repository_id AND r.generation = repositories.generation)`,
  'paths and virtual storages agree between the tables': `
    SELECT replica.repository_id FROM storage_repositories AS replica JOIN repositories USING (repository_id)
    WHERE (replica.virtual_storage, replica.relative_path) <> (repositories.virtual_storage, repositories.relative_path)`,
  'a repository has a primary, of its own virtual storage': `
    SELECT repository_id FROM repositories
    WHERE "primary" IS NULL OR "primary" NOT LIKE CASE virtual_storage WHEN 'default' THEN 'gitaly-_' ELSE 'archive-_' END`,
  'a repository of factor 1 has one assignment, its primary, and one replica': `
    SELECT repository_id FROM repositories
    WHERE virtual_storage = 'archive' AND (
      (SELECT array_agg(storage) FROM repository_assignments AS a WHERE a.repository_id = repositories.repository_id)
        IS DISTINCT FROM ARRAY["primary"]
      OR 1 <> (SELECT count(*) FROM storage_repositories AS r WHERE r.repository_id = repositories.repository_id))`,
  'a Praefect writes all its rows at one time': `
    SELECT praefect_name FROM node_status GROUP BY 1 HAVING count(DISTINCT last_contact_attempt_at) > 1`,
  'no last response is later than the last health check': `
    SELECT id FROM node_status WHERE last_seen_active_at > last_contact_attempt_at`,
  'a lease of the verifier is at most 30 s': `
    SELECT repository_id FROM storage_repositories WHERE verification_leased_until > now() + interval '30 s'`,
} as const;

let server: EmbeddedPostgres;
let observed: ObservedCluster;
const findings = new Map<string, unknown>();
const statesSeen = new Set<string>();

beforeAll(async () => {
  server = await startEmbeddedPostgres(AbortSignal.timeout(30_000));
  observed = await observeCluster(server, {
    repositories: 120,
    writesPerSecond: 40,
    timings: {
      replicate: 30,
      replicateSlowly: 300,
      gitFails: 100,
      write: 20,
      poll: 200,
      reconcile: 2000,
      verify: 300,
      verificationInterval: 3000,
      keepalive: 1000,
      staleAfter: 2000,
      checkStale: 1000,
      refreshLocks: 300,
    },
  });
  await runRandomIncidents(observed, 12_000);
});

afterAll(async () => {
  await observed?.stop();
  await server?.remove();
});

/** Starts and ends incidents at random while it checks all rules. */
async function runRandomIncidents({ incidents, rows }: ObservedCluster, forMs: number): Promise<void> {
  const random = createRandom(20_261_123);
  // Without incidents that block these queries, delete replica records, or end by their own timer, and without
  // those of pods, which do not affect the database.
  const names = incidents
    .list()
    .map(({ name }) => name)
    .filter((name) => !/^database|lost$|^rollout$|^oom-|^limit-/.test(name));
  const until = performance.now() + forMs;
  while (performance.now() < until) {
    const name = random.pick(names)!;
    if (random.next() < 0.5) await incidents.start(name);
    else await incidents.stop(name);
    for (const { state } of await rows<{ state: string }>('SELECT DISTINCT state FROM replication_queue')) {
      statesSeen.add(state);
    }
    for (const [rule, sql] of Object.entries(violations)) {
      const found = await rows(sql);
      if (found.length > 0 && !findings.has(rule)) findings.set(rule, found[0]);
    }
  }
  for (const name of names) await incidents.stop(name);
}

test.each(Object.keys(violations))('at any time, %s', (rule) => {
  expect(findings.get(rule)).toBeUndefined();
});

test('jobs occurred in each of their states', () => {
  expect([...statesSeen].sort()).toEqual(['failed', 'in_progress', 'ready']);
});

test('after the incidents the queue drains and no replica is outdated', async () => {
  const seen = await observed.until('settled', (now) => isSettled(now) && now.healthy.length === 5, 40_000);
  expect(seen.unavailable).toEqual({});
  expect(seen.expiredWriteLocks).toBeLessThan(10);
});

test('no statement of the simulation failed', () => {
  expect(observed.cluster.bugs()).toEqual([]);
});
