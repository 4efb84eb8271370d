/** What is true of a Praefect database at every instant, whatever happens to the cluster. */
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../demo/postgres.ts';
import { createRandom } from '../../demo/random.ts';
import { calm, type Watched, watchCluster } from './observe.ts';

jest.setTimeout(60_000);

/** Each finds the rows that break a rule: one statement, so that all tables are of one instant. */
const broken = {
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
  'a job that waits has no lock row of its own': `
    SELECT job_id FROM replication_queue_job_lock JOIN replication_queue ON id = job_id WHERE state <> 'in_progress'`,
  'attempts are 3 while ready, 1 or 2 when failed, 0 to 2 in progress': `
    SELECT id FROM replication_queue
    WHERE CASE state WHEN 'ready' THEN attempt <> 3 WHEN 'failed' THEN attempt NOT IN (1, 2)
                     WHEN 'in_progress' THEN attempt NOT IN (0, 1, 2) ELSE true END`,
  // Two at one instant do not see each other: a write and the reconciler may both queue one.
  'of equal jobs at most two are ready': `
    SELECT min(id) FROM replication_queue WHERE state = 'ready'
    GROUP BY lock_id, job->>'source_node_storage', job->>'change' HAVING count(*) > 2`,
  'a lock is named after what it locks': `
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
  'nothing was seen after it was last asked': `
    SELECT id FROM node_status WHERE last_seen_active_at > last_contact_attempt_at`,
  'a lease of the verifier is short': `
    SELECT repository_id FROM storage_repositories WHERE verification_leased_until > now() + interval '30 s'`,
} as const;

let server: EmbeddedPostgres;
let watched: Watched;
const findings = new Map<string, unknown>();
const statesSeen = new Set<string>();

beforeAll(async () => {
  server = await startEmbeddedPostgres(AbortSignal.timeout(30_000));
  watched = await watchCluster(server, {
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
  await upheaval(watched, 12_000);
});

afterAll(async () => {
  await watched?.stop();
  await server?.remove();
});

/** Sets off and ends incidents by chance, and looks for broken rules all the while. */
async function upheaval({ incidents, rows }: Watched, forMs: number): Promise<void> {
  const random = createRandom(20_261_123);
  // Without those that keep the looks from being made, take the records of replicas away, or end by their own clock.
  const names = incidents
    .list()
    .map(({ name }) => name)
    .filter((name) => !/^database|lost$|^rollout$/.test(name));
  const until = performance.now() + forMs;
  while (performance.now() < until) {
    const name = random.pick(names)!;
    if (random.next() < 0.5) await incidents.start(name);
    else await incidents.stop(name);
    for (const { state } of await rows<{ state: string }>('SELECT DISTINCT state FROM replication_queue')) {
      statesSeen.add(state);
    }
    for (const [rule, sql] of Object.entries(broken)) {
      const found = await rows(sql);
      if (found.length > 0 && !findings.has(rule)) findings.set(rule, found[0]);
    }
  }
  for (const name of names) await incidents.stop(name);
}

test.each(Object.keys(broken))('at every look, %s', (rule) => {
  expect(findings.get(rule)).toBeUndefined();
});

test('jobs were seen in every state that they pass through', () => {
  expect([...statesSeen].sort()).toEqual(['failed', 'in_progress', 'ready']);
});

test('in the end the queue drains and nothing is behind', async () => {
  const seen = await watched.until('calm', (now) => calm(now) && now.healthy.length === 5, 40_000);
  expect(seen.unavailable).toEqual({});
  expect(seen.expiredWriteLocks).toBeLessThan(10);
});

test('no statement of the simulation was refused', () => {
  expect(watched.cluster.bugs()).toEqual([]);
});
