/**
 * All problems of this moment: since when each exists, whether its alert is pending or firing, and a log line when one
 * starts or is resolved.
 */
import { durationText, listText } from '../../lib/format.ts';
import type { Log } from '../../lib/log.ts';
import type { CollectorStatus } from '../../scheduler/status.ts';
import type { CgroupView } from '../../sources/cgroup/view.ts';
import type { GitalyView } from '../../sources/gitaly/view.ts';
import { type Identity, identityKey } from '../../sources/identity.ts';
import { kubernetesCollectorNames } from '../../sources/kubernetes/source.ts';
import type { KubernetesView } from '../../sources/kubernetes/view.ts';
import type { MaintenanceView } from '../../sources/maintenance/source.ts';
import { praefectCollectorNames } from '../../sources/praefect/collector-names.ts';
import type { PraefectView } from '../../sources/praefect/view.ts';
import { alertRule, forSeconds } from '../alert-rules.ts';
import type { Severity } from '../finding.ts';
import type { Judgment } from '../judgment.ts';
import type { Thresholds } from '../thresholds.ts';
import { cgroupProblems } from './cgroup.ts';
import { gitalyProblems } from './gitaly.ts';
import { createProblemHistory } from './history.ts';
import { kubernetesProblems } from './kubernetes.ts';
import { praefectProblems } from './praefect.ts';
import { duringMaintenance, type Problem, type ProblemId, problem } from './problem.ts';

/** What the sources know. Undefined: the source is disabled, or nothing was read yet. */
export interface ProblemViews {
  readonly praefect: PraefectView | undefined;
  readonly gitaly: GitalyView | undefined;
  readonly cgroup: CgroupView | undefined;
  readonly kubernetes: KubernetesView | undefined;
  readonly maintenance: MaintenanceView | undefined;
  /** Gitalys that are known to serve a storage of Praefect. */
  readonly storageServers: readonly Identity[] | undefined;
  readonly collectors: readonly CollectorStatus[];
}

export interface TrackedProblem extends Problem {
  /** Seconds since 1970: what the data shows, or else when it was first seen. */
  readonly since: number;
  /** Undefined for a problem without an alert, and while a maintenance window suppresses it. */
  readonly alertState: 'pending' | 'firing' | undefined;
}

export interface ProblemTracker {
  /**
   * Call it every few seconds, so that problems are dated by their start.
   *
   * @param now seconds since 1970
   */
  update(views: ProblemViews, now: number): readonly TrackedProblem[];
}

interface Seen {
  readonly severity: Severity;
  readonly title: string;
  readonly firstSeen: number;
}

/** @param judgment the operator's values in effect now; a reload changes them */
export function createProblemTracker(judgment: () => Judgment, log: Log): ProblemTracker {
  const history = createProblemHistory(() => judgment().thresholds);
  let seen = new Map<string, Seen>();
  /** Collector -> seconds since 1970. A failure that changes its reason is the same to the alert. */
  let failing = new Map<string, number>();

  function problemsOf(views: ProblemViews, thresholds: Thresholds, now: number): readonly Problem[] {
    const { praefect, gitaly, cgroup, kubernetes, maintenance, storageServers, collectors } = views;
    history.record({ praefect, gitaly, cgroup }, now);
    failing = new Map(
      collectors.filter(isFailing).map(({ name, since }) => [name, failing.get(name) ?? since / 1000]),
    );
    const context = { history, thresholds, now };
    const windows = maintenance?.open.map(({ name }) => name) ?? [];
    const found = [
      ...(praefect === undefined ? [] : praefectProblems({ view: praefect, ...context })),
      ...(gitaly === undefined
        ? []
        : gitalyProblems({ view: gitaly, podReadiness: readinessOf(kubernetes), ...context })),
      ...(cgroup === undefined ? [] : cgroupProblems({ view: cgroup, ...context })),
      ...(kubernetes === undefined
        ? []
        : kubernetesProblems({
            view: kubernetes,
            // Kills that cannot be followed there are known by Kubernetes alone.
            watchedOnNode:
              cgroup?.gitalys.flatMap(({ identity, oom }) => (oom === undefined ? [] : identity)) ?? [],
            // The GitLab chart takes the name of a storage from its pod.
            behindPraefect: kubernetes.pods
              .map(({ identity }) => identity)
              .filter(({ pod }) => history.isStorage(pod))
              .concat(storageServers ?? []),
            ...context,
          })),
      ...(maintenance?.mistakes ?? []).map(({ key, ...text }) =>
        problem('maintenance_window_invalid', { of: key, ...text }),
      ),
      ...collectorProblems(collectors, failing, {
        isExplained: (status) => isExplained(status, kubernetes),
        isDatabaseDown: praefect?.database?.up === false,
      }),
      ...droppedProblems(collectors),
    ];
    return withoutIncluded(found).map((each) =>
      duringMaintenance(each, windowsFor(each, windows, thresholds, now)),
    );
  }

  return {
    update(views, now) {
      const before = seen;
      seen = new Map();
      const { severities, thresholds } = judgment();
      const tracked = problemsOf(views, thresholds, now).map((each): TrackedProblem => {
        const firstSeen = before.get(each.key)?.firstSeen ?? now;
        const severity = configuredSeverity(each, severities);
        seen.set(each.key, { severity, title: each.title, firstSeen });
        return {
          ...each,
          severity,
          since: each.since ?? firstSeen,
          alertState:
            each.alert !== undefined && severities.get(each.alert) === 'none'
              ? undefined
              : alertState(each, each.heldSince ?? firstSeen, thresholds, now),
        };
      });
      for (const { key, id, severity, title, detail } of tracked)
        if (!before.has(key)) log.warn({ problem: id, severity, title, detail }, 'problem detected');
      for (const [key, { title }] of before) if (!seen.has(key)) log.info({ title }, 'problem resolved');
      return tracked;
    },
  };
}

/** The operator's severity of its alert, unless a maintenance window suppresses it. */
function configuredSeverity(
  { alert, severity, suppressedBy }: Problem,
  severities: Judgment['severities'],
): Severity {
  const chosen = alert && suppressedBy.length === 0 ? severities.get(alert) : undefined;
  return chosen === 'none' ? 'info' : (chosen ?? severity);
}

/** The worst first: of one pod, each includes those after it, as the inhibitions of their alerts have it. */
const oomKinds: readonly ProblemId[] = [
  'gitaly_oom_killed_repeatedly',
  'gitaly_container_oom_killed',
  'gitaly_oom_killed',
];

function withoutIncluded(problems: readonly Problem[]): readonly Problem[] {
  const rankOf = ({ id }: Problem): number => oomKinds.indexOf(id);
  const ofOom = problems.filter((each) => rankOf(each) >= 0);
  const ranks = Map.groupBy(ofOom, ({ subject }) => subject);
  return problems.filter(
    (each) =>
      rankOf(each) < 0 || (ranks.get(each.subject) ?? []).every((other) => rankOf(other) >= rankOf(each)),
  );
}

const readinessOf = (view: KubernetesView | undefined): ReadonlyMap<string, boolean> =>
  new Map(view?.pods.map(({ identity, isReady }) => [identityKey(identity), isReady]) ?? []);

/** A rollout explains that a pod is not Ready for rolloutStep: after that, only declared windows suppress the alert. */
function windowsFor(
  { id, heldSince = Number.POSITIVE_INFINITY }: Problem,
  windows: readonly string[],
  { rolloutStep }: Thresholds,
  now: number,
): readonly string[] {
  const isLong = id === 'pod_not_ready' && now - heldSince > rolloutStep.value;
  return isLong ? windows.filter((name) => !name.startsWith('rollout:')) : windows;
}

function alertState(
  { alert, suppressedBy }: Problem,
  heldSince: number,
  thresholds: Thresholds,
  now: number,
): TrackedProblem['alertState'] {
  if (alert === undefined || suppressedBy.length > 0) return undefined;
  return now - heldSince < forSeconds(alertRule(alert), thresholds) ? 'pending' : 'firing';
}

const isFailing = ({ state }: CollectorStatus): boolean => state === 'failed' || state === 'stale';

/**
 * A failure that is only that Gitaly was not found is a problem of its own kind. The view is newer than the run, which
 * is that of the last scrape.
 */
const isExplained = (
  { name, reason, state }: CollectorStatus,
  kubernetes: KubernetesView | undefined,
): boolean =>
  kubernetesCollectorNames.includes(name) &&
  state === 'failed' &&
  reason === 'missing' &&
  kubernetes?.notCurrent.length === 0;

/** What is shown is then a part of what was read. */
const droppedProblems = (collectors: readonly CollectorStatus[]): Problem[] =>
  collectors
    .filter(({ seriesDropped }) => seriesDropped > 0)
    .map(({ name, series, seriesDropped, title }) =>
      problem('series_dropped', {
        of: name,
        title: `Series are missing: ${title}`,
        subject: name,
        labels: { collector: name },
        detail: `It has ${(series + seriesDropped).toLocaleString('en')} series, of which only ${series.toLocaleString('en')} are exposed.`,
        action: 'Raise metrics.max-series, or expose fewer buckets (cgroup.buckets).',
      }),
    );

interface KnownCauses {
  /** The failure is a problem of its own. */
  readonly isExplained: (status: CollectorStatus) => boolean;
  readonly isDatabaseDown: boolean;
}

/** One problem for all collectors that fail in the same way: a database that is down is one problem, not nine. */
function collectorProblems(
  collectors: readonly CollectorStatus[],
  failingSince: ReadonlyMap<string, number>,
  { isDatabaseDown, isExplained }: KnownCauses,
): Problem[] {
  const failing = collectors.filter((status) => isFailing(status) && !isExplained(status));
  // Each message of a database that is down names the query, and when it is tried again.
  const groups = Map.groupBy(failing, ({ name, state, reason, message }) =>
    JSON.stringify(
      isDatabaseDown && praefectCollectorNames.includes(name) ? [state] : [state, reason, message],
    ),
  );
  return [...groups.values()].flatMap((group) => {
    const [first] = group;
    if (first === undefined) return [];
    const names = group.map(({ name }) => name);
    const since = Math.min(...group.map(({ name, since: ms }) => failingSince.get(name) ?? ms / 1000));
    const cause = [first.reason, first.message].filter((part) => part !== undefined).join(': ');
    const what =
      group.length === 1
        ? first.title
        : `${group.length} of ${collectors.length} collectors (${listText(names)})`;
    return [
      problem('collector_failing', {
        of: names.join(','),
        title: `${first.state === 'stale' ? 'Data is stale' : 'Collector failing'}: ${what}`,
        subject: names.join(', '),
        detail: [cause === '' ? '' : /[.!?]$/.test(cause) ? cause : `${cause}.`, effectOf(first)]
          .join(' ')
          .trim(),
        since,
        heldSince: since,
      }),
    ];
  });
}

/** What the failure means for the metrics: after a failed run, the previous snapshot stays in use for a while. */
function effectOf({ lastSuccessAt = 0, readAt = 0, state, schedule, series }: CollectorStatus): string {
  if (state === 'stale' || (series ?? 0) === 0)
    return 'Its metrics are absent, and what depends on them is unknown until it recovers.';
  // A failed run that read a part of its source has replaced the snapshot; both times are rounded.
  if (readAt > lastSuccessAt + 1000)
    return 'What was read is current; the rest is absent, and unknown until it recovers.';
  return `The previous values are still served${schedule === undefined ? '' : ` until they are ${durationText(schedule.maxAgeMs)} old`}.`;
}
