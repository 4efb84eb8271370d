/** Right-sizing from one reading of this host's cgroups: current usage, not a peak. */
import { type Known, known, unknown } from '../../lib/known.ts';
import { parseGoMemory } from '../../rules/checks/definitions/memory.ts';
import type { ServerFacts } from '../../rules/checks/inputs.ts';
import type { CurrentSizes, MeasuredUsage } from '../../rules/checks/sizing.ts';
import { proposeSizes } from '../../rules/checks/sizing.ts';
import { createCgroupFiles } from '../../sources/cgroup/files/files.ts';
import { type CgroupFiles, type FileReading, knownOf } from '../../sources/cgroup/files/reading.ts';
import type { GitalyTree } from '../../sources/cgroup/tree.ts';
import { identityText } from '../../sources/identity.ts';
import { mainContainer } from '../../sources/kubernetes/gitaly-objects.ts';
import type { Pod } from '../../sources/kubernetes/objects/types.ts';
import type { SizingReport } from './report.ts';

export interface RightSizingOptions {
  readonly root: string;
  readonly trees: readonly GitalyTree[];
  /** For the current sizes. */
  readonly servers: readonly ServerFacts[];
  readonly pods: readonly Pod[];
}

/** One group for each Gitaly, without advice: a reading is no peak. */
export function momentSizing({ root, trees, servers, pods }: RightSizingOptions): SizingReport {
  const files = createCgroupFiles({ root, maxDescriptors: 0 });
  const groups = trees.map((tree) => {
    const name = identityText(tree.identity);
    const pod = pods.find(({ uid }) => uid === tree.uid);
    const facts = servers.find(({ identity }) => identityText(identity) === name);
    const { sizes, confidence } = proposeSizes(measured(tree, files), currentSizes(pod, facts));
    return {
      name,
      servers: [name],
      historySeconds: 0,
      isAdvice: false,
      confidence,
      caveats: [],
      sizes,
      buckets: undefined,
      limits: [],
      oomKills: undefined,
      helm: undefined,
      gitlabRb: undefined,
    };
  });
  files.close();
  return {
    basis:
      'Sizes for the current usage, which is not the peak: before reducing anything, run doctor with --prometheus-url, which reads up to two weeks of history.',
    groups: groups.filter(({ sizes }) => sizes.length > 0),
    problems: [],
  };
}

const oneReading = unknown('needs several readings');

function measured(tree: GitalyTree, files: CgroupFiles): MeasuredUsage {
  const container = tree.containers.find(({ gitaly }) => gitaly === true);
  const git = tree.git;
  return {
    windowSeconds: 0,
    gitalyMemoryPeakBytes:
      container === undefined
        ? unknown("which container is Gitaly's is unknown")
        : git === undefined
          ? gitInContainer
          : ownWorkingSet(files, tree, container.path, git.path),
    gitAnonPeakBytes: git === undefined ? noGit : stat(files, git.path, 'anon'),
    bucketAnonPeakBytes:
      git === undefined
        ? noGit
        : highest(busiest(git.path, git.buckets, files).map((path) => stat(files, path, 'anon'))),
    gitPageCacheBytes: git === undefined ? noGit : stat(files, git.path, 'file'),
    cpuPeakCores: oneReading,
    oomKills: oneReading,
  };
}

const noGit = unknown("Git runs in the container's own cgroup");

/** The memory of the container is then that of Git, too: a GOMEMLIMIT made of it would be no limit. */
export const gitInContainer = unknown(
  "Git runs in the container's own cgroup, whose memory is that of both: enable Git's cgroups first",
);

/** The kernel flushes its counters for each memory.stat that is read: only the fullest buckets are. */
const maxBuckets = 20;

function busiest(parent: string, buckets: readonly number[], files: CgroupFiles): readonly string[] {
  return buckets
    .map((bucket) => `${parent}/repos-${bucket}`)
    .map((path) => ({ path, bytes: read(files, path, (folder) => folder.number('memory.current')) ?? 0 }))
    .sort((a, b) => b.bytes - a.bytes)
    .slice(0, maxBuckets)
    .map(({ path }) => path);
}

function highest(amounts: readonly Known<number>[]): Known<number> {
  const values = amounts.flatMap((amount) => ('value' in amount ? [amount.value] : []));
  return values.length === 0 ? unknown('no bucket could be read') : known(Math.max(...values));
}

/** Of the container without the Git processes in it. */
function ownWorkingSet(
  files: CgroupFiles,
  { layout }: GitalyTree,
  container: string,
  git: string,
): Known<number> {
  const all = workingSet(files, container);
  if (layout !== 'nested' || 'unknown' in all) return all;
  const ofGit = workingSet(files, git);
  return 'unknown' in ofGit ? ofGit : known(Math.max(0, all.value - ofGit.value));
}

function workingSet(files: CgroupFiles, path: string): Known<number> {
  const current = read(files, path, (folder) => folder.number('memory.current'));
  const inactive = read(files, path, (folder) =>
    folder.keyed('memory.stat', ['inactive_file']),
  )?.inactive_file;
  return current === undefined || inactive === undefined
    ? unknown(`${path} cannot be read`)
    : known(Math.max(0, current - inactive));
}

function stat(files: CgroupFiles, path: string, key: 'anon' | 'file'): Known<number> {
  const found = read(files, path, (folder) => folder.keyed('memory.stat', [key]))?.[key];
  return found === undefined ? unknown(`memory.stat of ${path} cannot be read`) : known(found);
}

function read<T>(
  files: CgroupFiles,
  path: string,
  one: (folder: ReturnType<CgroupFiles['folder']>) => FileReading<T>,
): T | undefined {
  const folder = files.folder(path);
  try {
    return knownOf(one(folder));
  } finally {
    folder.close();
  }
}

function currentSizes(pod: Pod | undefined, facts: ServerFacts | undefined): CurrentSizes {
  const container = pod === undefined ? undefined : mainContainer(pod);
  const cgroups = facts !== undefined && 'value' in facts.config ? facts.config.value.cgroups : undefined;
  const go = container?.env['GOMEMLIMIT'];
  return {
    memoryRequestBytes: container?.resources.memoryRequest,
    memoryLimitBytes: container?.resources.memoryLimit,
    cpuRequestCores: container?.resources.cpuRequest,
    cpuLimitCores: container?.resources.cpuLimit,
    gitMemoryBytes: cgroups?.memoryBytes,
    repositoryMemoryBytes: cgroups?.repositories.memoryBytes,
    goMemoryLimitBytes: go === undefined ? undefined : parseGoMemory(go),
  };
}
