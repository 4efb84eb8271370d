/** Gitaly's cgroups on this host, with the pods' names from Kubernetes or from a file. */
import { hostname, release } from 'node:os';
import { createConfiguredBuckets } from '../../buckets/sizes.ts';
import { readTextFile } from '../../lib/files.ts';
import { cgroupProblems } from '../../rules/problems/cgroup.ts';
import { defaultThresholds } from '../../rules/thresholds.ts';
import type { Collector } from '../../scheduler/collector.ts';
import { cgroupCollectorNames, createCgroupSource } from '../../sources/cgroup/source.ts';
import type { PodDirectory } from '../../sources/cgroup/tree.ts';
import type { CgroupView } from '../../sources/cgroup/view.ts';
import type { ConfigSource } from '../../sources/gitaly/target.ts';
import { createPodsFileDirectory, watchFolder } from '../../sources/kubernetes/directory/pods-file.ts';
import type { Cluster } from './kubernetes.ts';
import { absentPart, type Part, type PartOptions } from './part.ts';

export interface CgroupPart extends Part {
  /** Undefined where no cgroups are watched. */
  view(): CgroupView | undefined;
  /** Who knows the pods of this host. */
  readonly directory: PodDirectory | undefined;
}

/**
 * @param cluster who tells of pods; a file of pods goes before it
 * @param configs who knows configurations of Gitaly
 */
export function cgroupPart(
  { settings, clock, log, events }: PartOptions,
  cluster: Pick<Cluster, 'directory' | 'settled'> | undefined,
  configs: readonly ConfigSource[],
): CgroupPart {
  const { cgroup, kubernetes } = settings;
  if (!cgroup.enabled)
    return { ...absentPart(cgroupCollectorNames), view: () => undefined, directory: undefined };
  const fromFile =
    cgroup.podsFile === undefined
      ? undefined
      : createPodsFileDirectory({
          file: cgroup.podsFile,
          readText: (file) => readTextFile(file),
          clock,
          watch: watchFolder,
        });
  const configured = createConfiguredBuckets(configs, clock);
  const directory = fromFile ?? cluster?.directory;
  const room = createCgroupSource({
    root: cgroup.root,
    hostName: kubernetes.node ?? hostname(),
    buckets: cgroup.buckets,
    topBuckets: cgroup.topBuckets,
    pollIntervalMs: cgroup.pollInterval,
    clock,
    events,
    log,
    directory,
    configs: configured,
    configuredBuckets: configured.of,
    kernelVersion: release(),
    throttlingWindowMs: defaultThresholds.rateWindow.value * 1000,
  });
  let isListed = false;
  /** Before the pods are known a look would be a failure that is none. */
  const afterFirstList = (collector: Collector): Collector => ({
    ...collector,
    async collect(run) {
      await (fromFile === undefined ? cluster?.settled(run.signal) : fromFile.ready);
      isListed = true;
      return collector.collect(run);
    },
  });
  return {
    collectors: room.collectors.map(afterFirstList),
    disabled: [],
    families: [() => room.selfFamilies()],
    problems: () => (isListed ? cgroupProblems({ view: room.view() }) : []),
    view: () => room.view(),
    directory,
    async stop() {
      configured.close();
      await room.stop();
      fromFile?.close();
    },
  };
}
