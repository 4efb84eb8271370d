/** Incidents of single Gitaly servers: a saturated concurrency limit, a bucket and a pod that run out of memory. */
import { bucketsOf } from '../../src/buckets/hash.ts';
import { podLevelMetrics } from '../../src/sources/cgroup/level-metrics.ts';
import {
  bucketMemoryUsage,
  bucketOomKills,
  bucketsNearLimit,
  lastOom,
  oomEvents,
  oomKills,
} from '../../src/sources/cgroup/metrics.ts';
import {
  concurrencyInProgress,
  concurrencyLimit,
  concurrencyQueued,
  concurrencyWait,
  requestsDropped,
} from '../../src/sources/gitaly/metrics.ts';
import type { Flood } from '../gitaly/simulated-gitaly.ts';
import type { Cgroup, SimulatedProcess } from '../node/cgroup.ts';
import { demoBuckets } from '../node/pods.ts';
import type { Incident, Scene } from './incident.ts';

const mib = 2 ** 20;
const growthStepMs = 250;

/** Far above the capacity of two concurrent calls of 1.5 s each; a queue of four absorbs little of it. */
const crawler: Flood = { method: 'GetArchive', perSecond: 6, seconds: 1.5 };

const limitSaturated: Incident = {
  name: 'limit-saturated',
  title: 'A crawler saturates a concurrency limit',
  description:
    'A crawler downloads archives of one repository, 6 per second from each Gitaly of `default`. GetArchive has a limit of 2 concurrent calls for each repository and a queue of 4: the other requests are dropped with RESOURCE_EXHAUSTED, which common error ratios exclude. Archives of other repositories are not affected, because the limit applies to each repository separately.',
  watch: [
    {
      metric: requestsDropped,
      shows: 'queue_full of GetArchive rises by about 5 per second and Gitaly; queue_wait rises slowly',
    },
    { metric: concurrencyQueued, shows: 'stays at about 4 for GetArchive' },
    { metric: concurrencyWait, shows: 'served requests waited for seconds' },
    { metric: concurrencyInProgress, shows: 'little over 2, which is not suspicious by itself' },
    { metric: concurrencyLimit, shows: 'the configured limit: 2' },
  ],
  alerts: [],
  ends: 'The crawler stops. The queue is empty within seconds, and two minutes later the limit counts as cleared.',
  needs: ['GetArchive'],
  async run({ gitalys, report, untilEnded }) {
    gitalys.setFlood(crawler);
    report('a crawler requests archives of one repository');
    await untilEnded();
    gitalys.setFlood(undefined);
    report('the crawler has stopped');
  },
};

const oomBucket: Incident = {
  name: 'oom-bucket',
  title: "A repository's Git processes run out of memory",
  description:
    "A client clones a large repository from gitaly-2. Its pack-objects grows until the repository's bucket reaches its limit of 1 GiB, and the kernel kills it. The clone fails with an error that does not mention memory, the pod has neither a restart nor an event, and Gitaly itself does not notice. The client retries and fails again. The page names the bucket; its link and `gitaly-exporter bucket` list the repositories that share it.",
  watch: [
    {
      metric: oomKills,
      shows: 'level bucket of gitaly-2 rises by one about every 12 s, within a second of the kill',
    },
    { metric: bucketOomKills, shows: 'the bucket of the kills' },
    { metric: bucketMemoryUsage, shows: 'the bucket rises to its limit of 1 GiB' },
    { metric: bucketsNearLimit, shows: '1 in the last seconds before each kill' },
    { metric: lastOom, shows: 'the time of the last kill' },
  ],
  alerts: ['GitalyGitOOMKilled'],
  ends: 'The client gives up. The kills stay counted, and on the page for 15 minutes.',
  needs: ['gitaly-2'],
  async run(scene) {
    const { report, signal, sleep } = scene;
    const repository = await largestRepository(scene, 'gitaly-2');
    if (repository === undefined) return;
    const sizes = { count: demoBuckets.count, maxCgroupsPerRepo: 1 };
    const [number = 0] = bucketsOf('gitaly-2', repository.replicaPath, sizes);
    const bucket = scene.node.pod('gitaly-2').bucket(number);
    for (let attempt = 1; !signal.aborted; attempt += 1) {
      report(`clone ${attempt} of ${repository.relativePath} runs in repos-${number} of gitaly-2`);
      const isKilled = await growMemory(scene, [{ cgroup: bucket, to: 2 * demoBuckets.each.memory }], 16_000);
      if (!isKilled || signal.aborted) break;
      report(`pack-objects was OOM-killed in repos-${number} of gitaly-2; the client retries`);
      await sleep(4000);
    }
    report('the client has stopped');
  },
};

const oomPod: Incident = {
  name: 'oom-pod',
  title: 'A Gitaly pod reaches its memory limit',
  description:
    "Gitaly and its Git processes on gitaly-1 together reach the pod's limit of 8 GiB, while neither a bucket nor the sum of all Git processes is at its own limit. The kernel kills the largest process, which is Gitaly, and with it all processes of its container. The kubelet restarts the container a few seconds later: too soon for a failover, but every request in flight is lost.",
  watch: [
    {
      metric: podLevelMetrics.memoryAnon,
      shows: 'rises to 8 GiB for gitaly-1 while page cache is reclaimed',
    },
    { metric: oomKills, shows: 'level pod of gitaly-1: all processes of the container together' },
    { metric: oomEvents, shows: 'one event, regardless of the number of killed processes' },
    { metric: podLevelMetrics.memoryEvents, shows: 'max rises before the kill, oom with it' },
    { metric: bucketsNearLimit, shows: 'stays 0: no bucket is the cause' },
  ],
  alerts: ['GitalyOOMKilled'],
  ends: 'The memory is released. The kills stay counted, and on the page for 30 minutes.',
  needs: ['gitaly-1'],
  async run(scene) {
    const { node, kubernetes, report, signal, sleep } = scene;
    try {
      while (!signal.aborted) {
        report('memory of gitaly-1 rises, in Gitaly and in many buckets');
        const pod = node.pod('gitaly-1');
        const growing = [
          { cgroup: pod.gitaly(), to: 3072 * mib },
          ...[11, 23, 31, 47, 59, 61, 73, 83, 97].map((number) => ({
            cgroup: pod.bucket(number),
            to: 640 * mib,
          })),
        ];
        const isKilled = await growMemory(scene, growing, 14_000);
        if (!isKilled || signal.aborted) break;
        kubernetes.containerOomKilled('gitaly-1');
        report("gitaly-1 reached the pod's memory limit: all processes of the container were killed");
        await sleep(4000);
        kubernetes.restartContainer('gitaly-1');
        report('the kubelet has restarted the container');
        await sleep(25_000);
      }
    } finally {
      kubernetes.restartContainer('gitaly-1');
    }
    report('memory of gitaly-1 is back to normal');
  },
};

/**
 * Adds a process to each cgroup and grows it to its size within the duration, until the kernel kills one of them or
 * the incident is ended. Removes the processes afterwards.
 *
 * @returns whether the kernel killed one
 */
export async function growMemory(
  { signal, sleep }: Scene,
  growing: readonly { readonly cgroup: Cgroup; readonly to: number }[],
  durationMs: number,
): Promise<boolean> {
  const added = growing.map(({ cgroup, to }, index) => {
    const process: SimulatedProcess = { pid: 30_000 + index, anon: 24 * mib, cores: 0.15 };
    cgroup.processes.push(process);
    return { cgroup, process, step: (to - process.anon) / (durationMs / growthStepMs) };
  });
  const wasKilled = (): boolean => added.some(({ cgroup, process }) => !cgroup.processes.includes(process));
  // Up to three times the duration, as other processes may release memory in between.
  for (let step = 0; step < (durationMs / growthStepMs) * 3 && !signal.aborted && !wasKilled(); step += 1) {
    for (const { process, step: bytes } of added) process.anon += bytes;
    await sleep(growthStepMs);
  }
  const isKilled = wasKilled();
  for (const { cgroup, process } of added) {
    const index = cgroup.processes.indexOf(process);
    if (index >= 0) cgroup.processes.splice(index, 1);
  }
  return isKilled;
}

/** The repository with the most writes. Retries until the database responds; undefined when the incident ends first. */
async function largestRepository(
  { sql, until }: Scene,
  storage: string,
): Promise<{ readonly relativePath: string; readonly replicaPath: string } | undefined> {
  let found: { relativePath: string; replicaPath: string } | undefined;
  await until(async () => {
    [found] = await sql.query<{ relativePath: string; replicaPath: string }>(
      `SELECT r.relative_path AS "relativePath", r.replica_path AS "replicaPath"
         FROM repositories r JOIN storage_repositories s USING (repository_id)
        WHERE s.storage = $1 ORDER BY s.generation DESC LIMIT 1`,
      [storage],
    );
    return found !== undefined;
  });
  return found;
}

export const gitalyIncidents: readonly Incident[] = [limitSaturated, oomBucket, oomPod];
