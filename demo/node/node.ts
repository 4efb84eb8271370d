/** The cgroups of the demo's Gitaly pods, as files that change like a kernel's. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Clock } from '../../src/lib/clock.ts';
import type { GitalyState, Random } from '../world.ts';
import { createHost, createPodTraffic, type HostCgroups, type PodCgroups, type PodTraffic } from './host.ts';
import { enforceLimits, runFor } from './kernel.ts';
import { type DemoPod, demoPods } from './pods.ts';

interface DemoNodeOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** Returns the state of the storage's process. Default: all run. */
  readonly process?: (storage: string) => GitalyState['process'];
  /** Parent of the folder with the files. Default: the system's temporary folder. */
  readonly folder?: string;
  /** Interval at which the cgroups change, in milliseconds. Default: 500. */
  readonly stepMs?: number;
}

/**
 * One cgroup root with the pods of all nodes: the exporter attributes a pod's cgroups by its uid, and takes the node
 * from the API.
 */
export interface DemoNode {
  /** Value of `cgroup.root`. */
  readonly root: string;
  /** @throws RangeError while the storage has no pod */
  pod(storage: string): PodCgroups;
  /** Creates the cgroups of a pod that takes the place of an earlier one. */
  startPod(pod: DemoPod): PodCgroups;
  /** Removes the cgroups of the storage's pod, if it has one. */
  removePod(storage: string): void;
  /** Stops the simulation and removes the files. Idempotent. */
  stop(): Promise<void>;
}

/** Interval at which the cgroups change. */
const defaultStepMs = 500;

/** Starts with the pods of `demoPods`. Rejects, after removing its files, when they cannot be written. */
export async function startDemoNode(options: DemoNodeOptions): Promise<DemoNode> {
  const { clock, random, process = () => 'running', stepMs = defaultStepMs } = options;
  const folder = await mkdtemp(join(options.folder ?? tmpdir(), 'gitaly-exporter-demo-'));
  const root = join(folder, 'cgroup');
  const pods = new Map<string, { readonly cgroups: PodCgroups; readonly traffic: PodTraffic }>();
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

  function startPod(host: HostCgroups, pod: DemoPod): PodCgroups {
    const cgroups = host.createPod(pod);
    const traffic = createPodTraffic(cgroups, random, () => process(pod.storage) !== 'dead');
    pods.set(pod.storage, { cgroups, traffic });
    return cgroups;
  }

  async function simulate(host: HostCgroups, signal: AbortSignal): Promise<void> {
    for (let before = clock.monotonic(); !signal.aborted; ) {
      const now = clock.monotonic();
      // Longer gaps are skipped: a suspended machine, a debugger.
      const seconds = Math.min(now - before, 10 * stepMs) / 1000;
      before = now;
      for (const { traffic } of pods.values()) traffic.advance(seconds);
      runFor(host.root, seconds);
      enforceLimits(host.root);
      host.root.write();
      await clock.sleep(stepMs, signal);
    }
  }

  try {
    const host = createHost(root);
    for (const pod of demoPods) startPod(host, pod);
    host.root.write();
    simulation = simulate(host, ending.signal);
    return {
      root,
      pod(storage) {
        const found = pods.get(storage);
        if (found === undefined) throw new RangeError(`no pod ${storage}`);
        return found.cgroups;
      },
      startPod: (pod) => startPod(host, pod),
      removePod(storage) {
        pods.get(storage)?.cgroups.remove();
        pods.delete(storage);
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}
