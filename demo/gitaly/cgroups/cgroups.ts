/**
 * The cgroups of the demo's two Gitaly pods, as plain files in a folder of its own that live and are read as those of
 * a kernel are, with the pods as kubectl would list them.
 */
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Clock } from '../../../src/lib/clock.ts';
import type { Incident } from '../../incidents/incident.ts';
import type { Random } from '../../random.ts';
import type { Gitaly } from '../../world.ts';
import { createHost, type Host, type PodCgroups } from './host.ts';
import { oomBucket, oomPod } from './incidents.ts';
import { enforceLimits, runFor } from './kernel.ts';
import { podsJson } from './pods.ts';
import { createTraffic } from './traffic.ts';

export interface DemoCgroupsOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** What has become of the storage's Gitaly. Default: all run. */
  readonly process?: (storage: string) => Gitaly['process'];
  /** Where the folder is made. Default: the system's temporary folder. */
  readonly folder?: string;
}

export interface DemoCgroups {
  /** For `cgroup.root`. */
  readonly root: string;
  /** For `cgroup.pods-file`. */
  readonly podsFile: string;
  readonly incidents: readonly Incident[];
  /** Ends it and removes the files. Idempotent. */
  stop(): Promise<void>;
}

/** For the incidents. */
export interface DemoNode {
  pod(storage: string): PodCgroups;
  /** The kernel has killed the container, the kubelet starts it again. */
  restart(storage: string): Promise<void>;
}

const stepMs = 500;

/** Rejects when its files cannot be written; nothing is left then. */
export async function startDemoCgroups(options: DemoCgroupsOptions): Promise<DemoCgroups> {
  const { clock, random, process = () => 'running' } = options;
  const folder = await mkdtemp(join(options.folder ?? tmpdir(), 'gitaly-exporter-demo-'));
  const root = join(folder, 'cgroup');
  const podsFile = join(folder, 'pods.json');
  const ending = new AbortController();
  let living: Promise<void> | undefined;
  let stopped: Promise<void> | undefined;
  const stop = (): Promise<void> => {
    stopped ??= (async () => {
      ending.abort();
      await living;
      await rm(folder, { recursive: true, force: true });
    })();
    return stopped;
  };

  try {
    const host = createHost(root);
    const startedAt = clock.now();
    const restarts = new Map<string, { count: number; at: number }>();
    /** Whole at every moment, for whoever reads it. */
    const writePods = async (): Promise<void> => {
      const text = podsJson((pod) => ({
        id: podOf(host, pod.storage).containerId(),
        restarts: restarts.get(pod.storage)?.count ?? 0,
        startedAt,
        oomKilledAt: restarts.get(pod.storage)?.at,
      }));
      await writeFile(`${podsFile}.new`, text);
      await rename(`${podsFile}.new`, podsFile);
    };
    const node: DemoNode = {
      pod: (storage) => podOf(host, storage),
      async restart(storage) {
        restarts.set(storage, { count: (restarts.get(storage)?.count ?? 0) + 1, at: clock.now() });
        podOf(host, storage).restart();
        await writePods();
      },
    };
    await writePods();
    living = live(host, ending.signal);
    return { root, podsFile, incidents: [oomBucket(node), oomPod(node)], stop };
  } catch (error) {
    await stop();
    throw error;
  }

  async function live(host: Host, signal: AbortSignal): Promise<void> {
    const traffic = host.pods.map((cgroups) =>
      createTraffic(cgroups, random, () => process(cgroups.pod.storage) !== 'dead'),
    );
    for (let before = clock.monotonic(); !signal.aborted; ) {
      const now = clock.monotonic();
      // Time that nobody lived through is left out: a machine that slept, a debugger.
      const seconds = Math.min(now - before, 10 * stepMs) / 1000;
      before = now;
      for (const each of traffic) each.advance(seconds);
      runFor(host.root, seconds);
      enforceLimits(host.root);
      host.root.write();
      await clock.sleep(stepMs, signal);
    }
  }
}

function podOf({ pods }: Host, storage: string): PodCgroups {
  const found = pods.find(({ pod }) => pod.storage === storage);
  if (found === undefined) throw new RangeError(`no pod ${storage}`);
  return found;
}
