/** Incidents of memory: a repository that runs into its bucket's limit, and a pod that runs into its own. */
import { bucketsOf } from '../../../src/buckets/hash.ts';
import { podLevelMetrics } from '../../../src/sources/cgroup/level-metrics.ts';
import {
  bucketMemoryUsage,
  bucketOomKills,
  bucketsNearLimit,
  lastOom,
  oomEvents,
  oomKills,
} from '../../../src/sources/cgroup/metrics.ts';
import type { Incident, Scene } from '../../incidents/incident.ts';
import type { Cgroup, Process } from './cgroup.ts';
import type { DemoNode } from './cgroups.ts';
import { demoBuckets } from './pods.ts';

const mib = 2 ** 20;
const stepMs = 250;

/** @param node absent where incidents are only listed */
export const oomBucket = (node?: DemoNode): Incident => ({
  name: 'oom-bucket',
  title: "A repository's Git processes run out of memory",
  description:
    "Somebody clones a large repository from gitaly-2. Its pack-objects grows until the repository's bucket is at its limit of 1 GiB, and the kernel kills it: the clone ends with an error that names no memory, there is no restart and no event of the pod, and Gitaly itself never notices. The client tries again, every time with the same end. The page names the bucket, and its link, or gitaly-exporter bucket, the repositories that share it.",
  watch: [
    {
      metric: oomKills,
      shows: 'level bucket of gitaly-2 rises by one every 12 s or so, each within a second',
    },
    { metric: bucketOomKills, shows: 'in which bucket' },
    { metric: bucketMemoryUsage, shows: 'that bucket climbs to its limit of 1 GiB' },
    { metric: bucketsNearLimit, shows: '1 for the last seconds before each kill' },
    { metric: lastOom, shows: 'when it was' },
  ],
  alerts: ['GitalyGitOOMKilled'],
  ends: 'The client gives up. Kills stay counted, and on the page for an hour.',
  needs: [],
  async run(scene) {
    if (node === undefined) return;
    const { say, signal, sleep } = scene;
    const repository = await largestOf(scene, 'gitaly-2');
    if (repository === undefined) return;
    const sizes = { count: demoBuckets.count, maxCgroupsPerRepo: 1 };
    const [number = 0] = bucketsOf('gitaly-2', repository.replicaPath, sizes);
    const bucket = node.pod('gitaly-2').bucket(number);
    for (let attempt = 1; !signal.aborted; attempt += 1) {
      say(
        `clone ${attempt} of ${repository.relativePath}, whose Git processes run in repos-${number} of gitaly-2`,
      );
      const isKilled = await grow(scene, [{ bucket, to: 2 * demoBuckets.each.memory }], 16_000);
      if (!isKilled || signal.aborted) break;
      say(`its pack-objects was killed in repos-${number} of gitaly-2; the client tries again`);
      await sleep(4000);
    }
    say('nobody clones it any more');
  },
});

export const oomPod = (node?: DemoNode): Incident => ({
  name: 'oom-pod',
  title: 'A pod of Gitaly reaches its memory limit',
  description:
    'Gitaly and its Git processes of gitaly-1 together reach the limit of the pod, 8 GiB, while no bucket and not even all of Git is at a limit of its own. The kernel kills the largest process, which is Gitaly, and all of its container with it. The kubelet starts the container again a few seconds later: too soon for a failover, yet every request in flight was lost.',
  watch: [
    {
      metric: podLevelMetrics.memoryAnon,
      shows: 'climbs to 8 GiB for gitaly-1, while page cache is taken back',
    },
    { metric: oomKills, shows: 'level pod of gitaly-1: all processes of the container at once' },
    { metric: oomEvents, shows: 'one, however many processes died' },
    { metric: podLevelMetrics.memoryEvents, shows: 'max rises before, oom with the kill' },
    { metric: bucketsNearLimit, shows: 'stays 0: no bucket is the cause' },
  ],
  alerts: ['GitalyOOMKilled'],
  ends: 'The memory is given back. Kills stay counted, and on the page for an hour.',
  needs: ['gitaly-1'],
  async run(scene) {
    if (node === undefined) return;
    const { cluster, say, signal, sleep } = scene;
    const pod = node.pod('gitaly-1');
    const world = cluster.world.gitaly('gitaly-1');
    try {
      while (!signal.aborted) {
        say('memory of gitaly-1 rises, in Gitaly and in many buckets');
        const places = [
          { bucket: pod.gitaly(), to: 3072 * mib },
          ...[11, 23, 31, 47, 59, 61, 73, 83, 97].map((number) => ({
            bucket: pod.bucket(number),
            to: 640 * mib,
          })),
        ];
        const isKilled = await grow(scene, places, 14_000);
        if (!isKilled || signal.aborted) break;
        world.process = 'dead';
        say('the limit of the pod was reached: all of the container is killed');
        await sleep(2500);
        await node.restart('gitaly-1');
        await sleep(1500);
        world.process = 'running';
        say('the kubelet has started the container again');
        await sleep(25_000);
      }
    } finally {
      world.process = 'running';
    }
    say('gitaly-1 has memory again');
  },
});

/**
 * A process more in each place, which grows to its size in that time, until the kernel has ended one of them or the
 * incident is ended; then they are gone.
 *
 * @returns whether the kernel has
 */
async function grow(
  { signal, sleep }: Scene,
  places: readonly { readonly bucket: Cgroup; readonly to: number }[],
  duringMs: number,
): Promise<boolean> {
  const all = places.map(({ bucket, to }, index) => {
    const process: Process = { pid: 30_000 + index, anon: 24 * mib, cores: 0.15 };
    bucket.processes.push(process);
    return { bucket, process, step: (to - process.anon) / (duringMs / stepMs) };
  });
  const wasKilled = (): boolean => all.some(({ bucket, process }) => !bucket.processes.includes(process));
  // A little longer than it takes, for what others give back meanwhile.
  for (let steps = 0; steps < (duringMs / stepMs) * 3 && !signal.aborted && !wasKilled(); steps += 1) {
    for (const { process, step } of all) process.anon += step;
    await sleep(stepMs);
  }
  const isKilled = wasKilled();
  for (const { bucket, process } of all) {
    const at = bucket.processes.indexOf(process);
    if (at >= 0) bucket.processes.splice(at, 1);
  }
  return isKilled;
}

/** The one with the most writes; asked until the database answers. */
async function largestOf(
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
