/** Gitaly's cgroups on this host, with the pods' names from Kubernetes or from a file. */
import { readFile } from 'node:fs/promises';
import { hostname, release } from 'node:os';
import type { PodDirectory } from '../cgroup/pods.ts';
import { cgroupCollectorNames, createCgroupRoom } from '../cgroup/room.ts';
import type { CgroupView } from '../cgroup/view.ts';
import { podDirectoryFromFile } from '../joins/pod-directory-file.ts';
import { watchFolder } from '../joins/watch-folder.ts';
import { cgroupProblems } from '../problems/cgroup.ts';
import { absentPart, type Part, type PartOptions } from './part.ts';

export interface CgroupPart extends Part {
  /** Undefined where no cgroups are watched. */
  view(): CgroupView | undefined;
  /** Who knows the pods of this host. */
  readonly directory: PodDirectory | undefined;
}

/** @param cluster the pods that Kubernetes tells of; a file of pods goes before it */
export function cgroupPart(
  { settings, clock, log, events }: PartOptions,
  cluster: PodDirectory | undefined,
): CgroupPart {
  const { cgroup, kubernetes } = settings;
  if (!cgroup.enabled)
    return { ...absentPart(cgroupCollectorNames), view: () => undefined, directory: undefined };
  const fromFile =
    cgroup.podsFile === undefined
      ? undefined
      : podDirectoryFromFile({
          file: cgroup.podsFile,
          readText: (file) => readFile(file, 'utf8'),
          clock,
          watch: watchFolder,
        });
  const directory = fromFile ?? cluster;
  const room = createCgroupRoom({
    root: cgroup.root,
    hostName: kubernetes.node ?? hostname(),
    buckets: cgroup.buckets,
    topBuckets: cgroup.topBuckets,
    pollIntervalMs: cgroup.pollInterval,
    clock,
    events,
    log,
    directory,
    kernelVersion: release(),
  });
  return {
    collectors: room.collectors,
    disabled: [],
    families: [() => room.selfFamilies()],
    problems: () => cgroupProblems({ view: room.view() }),
    view: () => room.view(),
    directory,
    async stop() {
      await room.stop();
      fromFile?.close();
    },
  };
}
