/** The demo's node with its Gitaly pods: cgroups as files that change like a kernel's, and a list of the pods. */
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Clock } from '../../src/lib/clock.ts';
import type { GitalyState, Random } from '../world.ts';
import { createHost, createPodTraffic, type Host, type PodCgroups } from './host.ts';
import { enforceLimits, runFor } from './kernel.ts';
import { podsJson } from './pods.ts';

interface DemoNodeOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** State of the storage's process. Default: all run. */
  readonly process?: (storage: string) => GitalyState['process'];
  /** Parent of the node's folder. Default: the system's temporary folder. */
  readonly folder?: string;
}

export interface DemoNode {
  /** Value of `cgroup.root`. */
  readonly root: string;
  /** Value of `cgroup.pods-file`. */
  readonly podsFile: string;
  pod(storage: string): PodCgroups;
  /** Restarts a container that the kernel killed, as the kubelet does. */
  restart(storage: string): Promise<void>;
  /** Stops the simulation and removes the files. Idempotent. */
  stop(): Promise<void>;
}

const stepMs = 500;

/** Rejects, after removing its files, when they cannot be written. */
export async function startDemoNode(options: DemoNodeOptions): Promise<DemoNode> {
  const { clock, random, process = () => 'running' } = options;
  const folder = await mkdtemp(join(options.folder ?? tmpdir(), 'gitaly-exporter-demo-'));
  const root = join(folder, 'cgroup');
  const podsFile = join(folder, 'pods.json');
  const ending = new AbortController();
  let simulation: Promise<void> | undefined;
  let stopped: Promise<void> | undefined;
  const stop = (): Promise<void> => {
    stopped ??= (async () => {
      ending.abort();
      await simulation;
      await rm(folder, { recursive: true, force: true });
    })();
    return stopped;
  };

  try {
    const host = createHost(root);
    const startedAt = clock.now();
    const restarts = new Map<string, { count: number; at: number }>();
    /** Replaced by rename, so that readers see a whole file. */
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
    await writePods();
    simulation = simulate(host, ending.signal);
    return {
      root,
      podsFile,
      pod: (storage) => podOf(host, storage),
      async restart(storage) {
        restarts.set(storage, { count: (restarts.get(storage)?.count ?? 0) + 1, at: clock.now() });
        podOf(host, storage).restart();
        await writePods();
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }

  async function simulate(host: Host, signal: AbortSignal): Promise<void> {
    const traffic = host.pods.map((cgroups) =>
      createPodTraffic(cgroups, random, () => process(cgroups.pod.storage) !== 'dead'),
    );
    for (let before = clock.monotonic(); !signal.aborted; ) {
      const now = clock.monotonic();
      // Longer gaps are skipped: a suspended machine, a debugger.
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
