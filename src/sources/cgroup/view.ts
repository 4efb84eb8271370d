/** The typed view of Gitaly's cgroups, for the page, problems and checks: what is known now, as plain data. */
import { type Identity, identityKey } from '../identity.ts';
import type { GitSweep, NearLimitBucket } from './buckets/sweep.ts';
import type { CgroupLimit } from './files/reading.ts';
import type { DisappearedGitaly, Throttling } from './history.ts';
import type { GitalyRead, LevelRead } from './levels/read.ts';
import type { OomKill, OomTotals } from './oom/record.ts';
import { knownLayout, type Layout } from './tree.ts';
import { gitalysFound, type TreeState } from './tree-watch.ts';

/**
 * What could not be read, and what is older than /metrics would still show, is undefined or left out. `failure`: why
 * this host's cgroups cannot be scanned.
 */
export interface CgroupView extends Pick<TreeState, 'failure' | 'failures' | 'missing' | 'notes'> {
  /** Whether this host has a Gitaly is unknown, as in gitaly_exporter_cgroup_gitalys. */
  readonly isUnknown: boolean;
  /** By namespace, pod and node. */
  readonly gitalys: readonly CgroupGitalyView[];
  /** Of the last hour, the newest first. */
  readonly disappeared: readonly DisappearedGitaly[];
  /** OOM kills of the last hour, the newest first. */
  readonly kills: readonly OomKill[];
}

export interface CgroupGitalyView {
  readonly identity: Identity;
  /** Empty on a virtual machine. */
  readonly uid: string;
  /** Undefined while it is unknown, because not all of its cgroups can be read. */
  readonly layout: Layout | undefined;
  readonly levels: readonly LevelView[];
  /** Undefined where there are none, and while they are unknown. */
  readonly buckets: BucketsView | undefined;
  /** Since the exporter's start. Undefined while OOM kills cannot be followed. */
  readonly oom: Omit<OomTotals, 'identity'> | undefined;
}

export interface LevelView extends Pick<LevelRead, 'level' | 'container' | 'readErrors'> {
  /** Bytes of memory. */
  readonly usage: number | undefined;
  readonly anon: number | undefined;
  readonly limit: CgroupLimit | undefined;
  /** Cores. */
  readonly cpuLimit: CgroupLimit | undefined;
  /** By this level's own CPU limit, over the window that the source was created with. */
  readonly throttling: Throttling | undefined;
}

export interface BucketsView {
  /** Buckets that exist. */
  readonly found: number;
  /** Undefined when a bucket could not be read. */
  readonly active: number | undefined;
  /** Buckets that could not be read completely. */
  readonly readErrors: number;
  /** Buckets whose anonymous memory exceeds `bucketNearLimitRatio` of their limit, the fullest first. */
  readonly nearLimit: readonly NearLimitBucket[];
}

interface ViewInputs {
  readonly state: TreeState;
  /** What is missing because the kernel refused watches. */
  readonly unwatched: string | undefined;
  readonly reads: readonly GitalyRead[];
  /** By the tree's key. */
  readonly sweeps: ReadonlyMap<string, GitSweep>;
  /** By identity. */
  readonly totals: ReadonlyMap<string, OomTotals>;
  /** By the cgroup's path. */
  readonly throttling: (path: string) => Throttling | undefined;
  readonly disappeared: readonly DisappearedGitaly[];
  readonly kills: readonly OomKill[];
}

export const cgroupView = ({
  state,
  unwatched,
  reads,
  sweeps,
  totals,
  ...inputs
}: ViewInputs): CgroupView => ({
  failure: state.failure,
  failures: state.failures,
  isUnknown: gitalysFound(state) === undefined,
  missing: unwatched === undefined ? state.missing : [...state.missing, unwatched],
  notes: state.notes,
  gitalys: reads
    .map(({ levels, tree }) => ({
      identity: tree.identity,
      uid: tree.uid,
      layout: knownLayout(tree),
      levels: levels.map((level) => levelView(level, inputs.throttling(level.path))),
      buckets: sweeps.get(tree.key),
      oom: totals.get(identityKey(tree.identity)),
    }))
    .toSorted((a, b) => (identityKey(a.identity) < identityKey(b.identity) ? -1 : 1)),
  disappeared: inputs.disappeared,
  kills: inputs.kills,
});

const levelView = (
  { container, level, readErrors, reading }: LevelRead,
  throttling: Throttling | undefined,
): LevelView => ({
  level,
  container,
  usage: reading.usage,
  anon: reading.stat.anon,
  limit: reading.limit,
  cpuLimit: reading.cores,
  throttling,
  readErrors,
});
