/** The collector `cgroup`: every level of every Gitaly on this host and its OOM kills, read with each scrape. */
import { listText } from '../../../lib/format.ts';
import { createSamples, type Family } from '../../../metrics/samples.ts';
import type { Collector } from '../../../scheduler/collector.ts';
import { type Failure, failed } from '../../../scheduler/outcome.ts';
import { type Identity, identityKey, identityText } from '../../identity.ts';
import { type KnownPod, serverInfo } from '../../server-info.ts';
import type { CgroupFiles } from '../files/reading.ts';
import {
  containerLevelMetrics,
  gitLevelMetrics,
  type Level,
  type LevelMetrics,
  levels,
  podLevelMetrics,
} from '../level-metrics.ts';
import { cgroupFailureReasons, readFailure } from '../messages.ts';
import { levelsMetrics, restarts } from '../metrics.ts';
import type { OomTracker } from '../oom/record.ts';
import { type GitalyTree, knownLayout, onePerIdentity } from '../tree.ts';
import type { TreeWatch } from '../tree-watch.ts';
import { createLevelReader, type GitalyRead } from './read.ts';
import { levelFamilies, oomKillFamilies } from './samples.ts';

interface LevelCollectorOptions {
  readonly watch: TreeWatch;
  readonly files: CgroupFiles;
  readonly tracker: Pick<OomTracker, 'totals' | 'health'>;
  /** What the API reports about the pod with this UID. */
  readonly pod: (uid: string) => KnownPod | undefined;
  /** From uname, which in a container also reports the host's kernel. '' when unknown. */
  readonly kernelVersion: string;
  /** Why there is no Gitaly, for people. */
  readonly whyEmpty: () => string;
  /** Called with each read, for the view. */
  readonly onRead: (reads: readonly GitalyRead[]) => void;
}

/** An older scan is repeated before a scrape gets its response. */
const scanMaxAgeMs = 5000;

const metricsOf: Readonly<Record<Level, LevelMetrics>> = {
  pod: podLevelMetrics,
  container: containerLevelMetrics,
  git: gitLevelMetrics,
};

export function createLevelCollector(options: LevelCollectorOptions): Collector {
  const { files, tracker, watch } = options;
  const read = createLevelReader(files);
  const countRestarts = createRestartCounter();
  return {
    name: 'cgroup',
    title: "This host's cgroups: memory, CPU, pressure and OOM kills of each Gitaly",
    metrics: levelsMetrics,
    failureReasons: cgroupFailureReasons,
    schedule: { kind: 'scrape', timeoutMs: 5000 },
    async collect({ signal }) {
      let { failure, failures, trees } = await watch.refresh(scanMaxAgeMs, signal);
      const before = files.failures();
      let reads = read(readable(trees));
      if (reads.some(({ isOutdated }) => isOutdated)) {
        ({ failure, failures, trees } = await watch.refresh(0, signal));
        reads = read(readable(trees)).filter((gitaly) => gitaly.levels.length > 0);
      }
      options.onRead(reads);
      const restartFamilies = countRestarts(reads.map(({ tree }) => tree));
      if (failure !== undefined) return failed(failure.reason, failure.message, { families: [] });

      const totals = tracker.totals();
      if (reads.length === 0 && totals.length === 0 && failures.length === 0)
        return { kind: 'empty', why: options.whyEmpty() };
      const block = {
        families: [
          ...infoFamilies(reads, options),
          ...levels.flatMap((level) => levelFamilies(metricsOf[level], rowsOf(reads, level))),
          ...oomKillFamilies(totals),
          ...restartFamilies,
        ],
      };
      const problem =
        together(failures) ??
        readFailure(before, files.failures(), readErrorsOf(reads)) ??
        incompleteFailure(readErrorsOf(reads)) ??
        oomFailure(options);
      return problem === undefined ? { kind: 'data', block } : failed(problem.reason, problem.message, block);
    },
  };
}

/** On a virtual machine nothing else shows that a process manager starts Gitaly again within a second or two. */
function createRestartCounter(): (trees: readonly GitalyTree[]) => readonly Family[] {
  const known = new Map<
    string,
    { readonly identity: Identity; readonly path: string; readonly count: number }
  >();
  return (trees) => {
    for (const { git, identity } of trees) {
      if (identity.pod !== '' || git === undefined) continue;
      const before = known.get(identityKey(identity)) ?? { path: git.path, count: 0 };
      const count = before.count + (before.path === git.path ? 0 : 1);
      known.set(identityKey(identity), { identity, path: git.path, count });
    }
    const samples = createSamples();
    for (const { count, identity } of known.values()) samples.set(restarts, identity, count);
    return samples.families();
  };
}

/** The figures of a slice that the pod's processes are not in are not Gitaly's. */
const readable = (trees: readonly GitalyTree[]): readonly GitalyTree[] =>
  onePerIdentity(trees.filter(({ vacancy }) => vacancy === undefined));

/** All of them, the first with its reason. */
function together([first, ...more]: readonly Failure[]): Failure | undefined {
  if (first === undefined || more.length === 0) return first;
  return { reason: first.reason, message: [first, ...more].map(({ message }) => message).join('. Also: ') };
}

/** Files that could be read, but lack what every kernel writes. */
const incompleteFailure = (files: readonly string[]): Failure | undefined =>
  files.length === 0
    ? undefined
    : { reason: 'parse', message: `${listText(files, 1)}: their values are absent` };

function oomFailure({ tracker }: LevelCollectorOptions): Failure | undefined {
  const [first, ...more] = tracker.health().unread;
  if (first === undefined) return undefined;
  const others = more.length === 0 ? '' : `, and of ${more.length} more`;
  return {
    reason: 'query',
    message: `OOM kills of ${first.tree} are unknown: ${first.why}${others}. Their counters are absent`,
  };
}

const rowsOf = (reads: readonly GitalyRead[], level: Level) =>
  reads.flatMap(({ levels: own, tree: { identity } }) =>
    own.filter((cgroup) => cgroup.level === level).map((cgroup) => ({ ...cgroup, identity })),
  );

const readErrorsOf = (reads: readonly GitalyRead[]): readonly string[] =>
  reads.flatMap(({ levels: own, tree }) =>
    own.flatMap(({ level, readErrors }) =>
      readErrors.map((file) => `${file} of the level ${level} of ${identityText(tree.identity)}`),
    ),
  );

function infoFamilies(reads: readonly GitalyRead[], { pod, kernelVersion }: LevelCollectorOptions) {
  const samples = createSamples();
  for (const { tree } of reads) samples.set(serverInfo, infoLabels(tree, pod(tree.uid), kernelVersion), 1);
  return samples.families();
}

const infoLabels = (tree: GitalyTree, pod: KnownPod | undefined, kernelVersion: string) => ({
  ...tree.identity,
  uid: tree.uid,
  version: pod?.version ?? '',
  qos_class: tree.qosClass,
  priority_class: pod?.priorityClass ?? '',
  runtime_version: pod?.runtimeVersion ?? '',
  kernel_version: pod?.kernelVersion || kernelVersion,
  cgroup_driver: tree.driver ?? '',
  cgroup_layout: knownLayout(tree) ?? ('' as const),
});
