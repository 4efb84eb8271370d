/** The collector `cgroup`: every level of every Gitaly on this host and its OOM kills, up to date at each scrape. */

import { type Family, samplesOf } from '../../../metrics/samples.ts';
import type { Collector } from '../../../scheduler/collector.ts';
import { type Failure, failed } from '../../../scheduler/outcome.ts';
import { identityKey, identityText } from '../../identity.ts';
import type { CgroupFiles } from '../files/reading.ts';
import {
  containerLevelMetrics,
  gitLevelMetrics,
  type Level,
  type LevelMetrics,
  levels,
  podLevelMetrics,
} from '../level-metrics.ts';
import { readFailure } from '../messages.ts';
import { levelsMetrics, serverInfo } from '../metrics.ts';
import { type OomTotals, type OomTracker, oomLevels } from '../oom/record.ts';
import type { OomHealth } from '../oom/tracker.ts';
import type { GitalyTree, KnownPod } from '../tree.ts';
import { onePerIdentity } from '../tree.ts';
import type { TreeWatch } from '../tree-watch.ts';
import { levelFamilies } from './families.ts';
import { createLevelReader, type GitalyLook } from './look.ts';
import { oomFamilies } from './oom-families.ts';

export interface LevelCollectorOptions {
  readonly watch: TreeWatch;
  readonly files: CgroupFiles;
  readonly tracker: Pick<OomTracker, 'totals'> & { health(): OomHealth };
  /** What Kubernetes tells of the pod with this uid. */
  readonly pod: (uid: string) => KnownPod | undefined;
  /** Of uname: the host's own, in a container as well. '' when not known. */
  readonly kernelVersion: string;
  /** Why there is no Gitaly, for people. */
  readonly whyEmpty: () => string;
  /** Told of each read, for the page. */
  readonly onRead: (looks: readonly GitalyLook[]) => void;
}

/** A scrape that comes later than this after a look does not believe it. */
const lookMaxAgeMs = 5000;

const metricsOf: Readonly<Record<Level, LevelMetrics>> = {
  pod: podLevelMetrics,
  container: containerLevelMetrics,
  git: gitLevelMetrics,
};

export function createLevelCollector(options: LevelCollectorOptions): Collector {
  const { files, tracker, watch } = options;
  const reader = createLevelReader(files);
  return {
    name: 'cgroup',
    title: "This host's cgroups: memory, CPU, pressure and OOM kills of each Gitaly",
    metrics: levelsMetrics,
    schedule: { kind: 'scrape', timeoutMs: 5000 },
    async collect({ signal }) {
      let { failure, failures, trees } = await watch.refresh(lookMaxAgeMs, signal);
      const before = files.failures();
      let looks = reader.read(onePerIdentity(trees));
      if (looks.some(({ isOutdated }) => isOutdated)) {
        ({ failure, failures, trees } = await watch.refresh(0, signal));
        looks = reader.read(onePerIdentity(trees)).filter(({ levels: there }) => there.length > 0);
      }
      options.onRead(looks);
      if (failure !== undefined) return failed(failure.reason, failure.message, { families: [] });

      const totals = toldTotals(tracker.totals(), looks);
      if (looks.length === 0 && totals.length === 0 && failures.length === 0)
        return { kind: 'empty', why: options.whyEmpty() };
      const block = {
        families: [
          infoFamily(looks, options),
          ...levels.flatMap((level) => levelFamilies(metricsOf[level], rowsOf(looks, level))),
          ...oomFamilies(totals),
        ],
      };
      const problem =
        failures[0] ?? readFailure(before, files.failures(), failuresOf(looks)) ?? oomProblem(options);
      return problem === undefined ? { kind: 'data', block } : failed(problem.reason, problem.message, block);
    },
  };
}

/** Of a Gitaly that is gone only its kills are worth a series. */
function toldTotals(totals: readonly OomTotals[], looks: readonly GitalyLook[]): readonly OomTotals[] {
  const there = new Set(looks.map(({ tree }) => identityKey(tree.identity)));
  return totals.filter(
    ({ identity, kills }) => there.has(identityKey(identity)) || oomLevels.some((level) => kills[level] > 0),
  );
}

function oomProblem({ tracker }: LevelCollectorOptions): Failure | undefined {
  const [first, ...more] = tracker.health().unread;
  if (first === undefined) return undefined;
  const others = more.length === 0 ? '' : `, and of ${more.length} more`;
  return {
    reason: 'query',
    message: `the OOM kills of ${first.tree} are not known: ${first.why}${others}. Their counts are absent meanwhile`,
  };
}

const rowsOf = (looks: readonly GitalyLook[], level: Level) =>
  looks.flatMap(({ levels: read, tree: { identity } }) =>
    read
      .filter((look) => look.level === level)
      .map(({ container, reading }) =>
        container === undefined ? { identity, reading } : { identity, container, reading },
      ),
  );

const failuresOf = (looks: readonly GitalyLook[]): readonly string[] =>
  looks.flatMap(({ levels: read, tree }) =>
    read.flatMap(({ failures, level }) =>
      failures.map((file) => `${file} of the level ${level} of ${identityText(tree.identity)}`),
    ),
  );

function infoFamily(looks: readonly GitalyLook[], { pod, kernelVersion }: LevelCollectorOptions): Family {
  const info = samplesOf(serverInfo);
  for (const { tree } of looks) info.set(infoLabels(tree, pod(tree.uid), kernelVersion), 1);
  return info.family();
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
  cgroup_layout: tree.layout,
});
