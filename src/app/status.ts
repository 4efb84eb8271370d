/** The parts of the status that the page and the API show, from the runner, the problems and the views. */
import { bytesText, counted, percentText } from '../lib/format.ts';
import type { TrackedProblem } from '../rules/problems/tracker.ts';
import type { CollectorStatus } from '../scheduler/status.ts';
import { oomLevelText } from '../sources/cgroup/messages.ts';
import { oomLevels } from '../sources/cgroup/oom/record.ts';
import type { Layout } from '../sources/cgroup/tree.ts';
import type { BucketsView, CgroupGitalyView, CgroupView, LevelView } from '../sources/cgroup/view.ts';
import { type Identity, identityText } from '../sources/identity.ts';
import type { KubernetesView } from '../sources/kubernetes/view.ts';
import type {
  BucketNoteView,
  CollectorView,
  LevelMemoryView,
  LinkView,
  MemoryView,
  PodStatusView,
  PodsView,
  ProblemView,
  ServerMemoryView,
} from './status-view.ts';

export function problemView(problem: TrackedProblem): ProblemView {
  const { alert, alertState, detail, fixes, id, severity, since, suppressedBy, title } = problem;
  const suppression =
    suppressedBy.length === 0 ? '' : `Suppressed by maintenance window ${suppressedBy.join(', ')}.`;
  const text = [detail, suppression].filter((part) => part !== '').join(' ');
  return {
    id,
    severity,
    title,
    detail: text === '' ? undefined : text,
    action: fixes.length === 0 ? undefined : fixes.map((fix) => fix.text).join(' '),
    since: since * 1000,
    alert: alert && {
      name: alert,
      state: suppressedBy.length > 0 ? 'suppressed' : alertState,
      runbook: { text: 'Runbook', href: `runbooks/${alert}.md` },
    },
  };
}

/** @param maxTimeRatio praefect.database.max-time-ratio */
export function collectorView(status: CollectorStatus, maxTimeRatio: number): CollectorView {
  const { name, title, state, reason, message, since, readAt, schedule, series } = status;
  return {
    ...{ name, title, state, reason, message, since, readAt, series },
    durationMs: status.lastDurationMs,
    everyMs: schedule?.everyMs,
    slowedBy:
      schedule?.budgetLimited === true
        ? `the database's time limit of ${percentText(maxTimeRatio)}`
        : undefined,
    maxAgeMs: schedule?.maxAgeMs,
  };
}

/**
 * A pod with an ongoing rotation is `rotating`, also while there is no pod of its name.
 *
 * @param excluded what is not read on purpose
 */
export function podsView(view: KubernetesView, excluded: readonly string[]): PodsView {
  const nameOf = ({ namespace, pod }: Pick<Identity, 'namespace' | 'pod'>): string => `${namespace}/${pod}`;
  const ongoing = new Map(view.ongoing.map((rotation) => [nameOf(rotation), rotation]));
  const last = new Map(view.lastRotations.map((rotation) => [nameOf(rotation), rotation]));
  const pods = new Map(view.pods.map((pod) => [nameOf(pod.identity), pod]));
  const names = [...new Set([...pods.keys(), ...ongoing.keys()])].sort();
  return {
    ...(view.notCurrent.some(({ resource }) => resource === 'pods') && { isUnknown: true }),
    notes: [
      ...view.notCurrent.map(({ failure }) => failure.message),
      ...view.unavailable.map(({ message }) => `${message}.`),
      ...excluded,
    ],
    pods: names.map((name): PodStatusView => {
      const pod = pods.get(name);
      const rotation = ongoing.get(name);
      const reasons = [...(pod?.waitingReasons ?? []), pod?.terminated, pod?.warning];
      const reason = pod?.isReady === true ? undefined : reasons.find((each) => each !== undefined);
      const phase = rotation && `${rotation.cause}, in phase ${rotation.phase}`;
      const detail = [phase, reason].filter((part) => part !== undefined).join('; ');
      const previous = last.get(name);
      const total = previous?.seconds.total;
      return {
        name,
        node: rotation?.node ?? pod?.identity.node ?? '',
        state: rotation !== undefined ? 'rotating' : pod?.isReady === true ? 'ready' : 'not_ready',
        since: rotation === undefined ? pod?.since : rotation.startedAt,
        detail: detail === '' ? undefined : detail,
        lastRotation: previous && {
          cause: previous.cause,
          durationMs: total === undefined ? undefined : total * 1000,
          endedAt: previous.endedAt,
          fromNode: previous.fromNode === previous.node ? undefined : previous.fromNode,
        },
      };
    }),
  };
}

export const memoryView = (view: CgroupView): MemoryView => ({
  ...(view.isUnknown && { isUnknown: true }),
  servers: view.gitalys.map(serverView),
  notes: [
    ...(view.failure === undefined ? [] : [view.failure.message]),
    ...view.failures.map(({ message }) => message),
    ...view.missing,
    ...view.notes,
    ...view.disappeared.map(({ identity }) => `The cgroups of ${identityText(identity)} were removed.`),
  ],
});

const unknownLayout = 'Not all of its cgroups can be read';

const layoutText: Readonly<Record<Layout, string>> = {
  sibling: "Git's cgroups are siblings of Gitaly's container",
  nested: "Git's cgroups are nested in Gitaly's container",
  none: 'Git has no cgroups of its own: one OOM kill can end Gitaly itself',
};

function serverView(view: CgroupGitalyView): ServerMemoryView {
  const { buckets, identity, layout, levels, oom } = view;
  const container = levels.filter(({ level }) => level === 'container');
  return {
    name: identityText(identity),
    title: `${layout === undefined ? unknownLayout : layoutText[layout]}${bucketsText(buckets)}`,
    pod: levelView(levels.find(({ level }) => level === 'pod')),
    // Of several containers it is unknown which one is Gitaly's.
    gitaly: levelView(container.length === 1 ? container[0] : undefined),
    git: levelView(levels.find(({ level }) => level === 'git')),
    kills:
      oom &&
      oomLevels
        .filter((level) => oom.kills[level] > 0)
        .map((level) => ({ level: oomLevelText[level], processes: oom.kills[level], last: oom.last[level] })),
    killedBuckets: killedBuckets(view),
    nearLimit: (buckets?.nearLimit ?? []).slice(0, 5).map(({ anon, bucket, limit }) => ({
      text: `Bucket ${bucket}: ${bytesText(anon)} of ${bytesText(limit)}.`,
      link: bucketLink(view, bucket),
    })),
  };
}

const killedBuckets = (view: CgroupGitalyView): readonly BucketNoteView[] =>
  [...(view.oom?.bucketKills ?? [])]
    .toSorted(([, a], [, b]) => b - a)
    .slice(0, 5)
    .map(([bucket, kills]) => ({
      text: `Bucket ${bucket}: ${counted(kills, 'process', 'processes')} OOM-killed.`,
      link: bucketLink(view, bucket),
    }));

const bucketsText = (buckets: BucketsView | undefined): string => {
  if (buckets === undefined) return '';
  const active = buckets.active === undefined ? '' : `, ${buckets.active} in use`;
  return `; ${buckets.found} repository buckets${active}`;
};

function levelView(level: LevelView | undefined): LevelMemoryView | undefined {
  if (level === undefined) return undefined;
  const { anon, limit, readErrors, throttling, usage } = level;
  return {
    anon,
    usage,
    limit: limit === undefined || limit.kind === 'limit' ? limit?.value : 'none',
    throttledRatio: throttling?.ratio,
    readErrors,
  };
}

function bucketLink({ identity }: CgroupGitalyView, bucket: number): LinkView {
  const which =
    identity.pod === ''
      ? `node=${encodeURIComponent(identity.node)}`
      : `pod=${encodeURIComponent(identity.pod)}`;
  return { text: 'Its repositories', href: `api/v1/buckets/${bucket}?${which}` };
}
