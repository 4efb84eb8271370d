/**
 * When a pod reached each milestone on its way to Ready, and the time between milestones. There are two kinds of
 * times, which are never compared with each other: `received`, when the change arrived (the exporter's clock, only
 * for changes that were watched live), and `reported`, which the object itself has (whole seconds, by the clock of
 * the control plane or of the node).
 */
import type { Container, Pod } from '../objects/types.ts';
import type { Rotation, RotationSpan } from './rotation.ts';

export interface Milestone {
  readonly received: number | undefined;
  readonly reported: ReportedTime | undefined;
  /** It arrived later than others did, as after a stalled connection: `received` says nothing about a duration. */
  readonly isLate?: boolean;
}

/** Reported times are rounded down by up to a second, and changes take a moment to arrive. */
const maxDelayMs = 1250;
const keptDelays = 50;

/**
 * Marks milestones that arrived late: by the difference between arrival and reported time, compared with the smallest
 * one of the last changes. For times of the control plane only: a kubelet reports many changes a second or two later.
 */
export function createArrivalCheck(): (milestone: Milestone) => Milestone {
  const delays: number[] = [];
  return (milestone) => {
    const { received, reported } = milestone;
    if (received === undefined || reported?.clock !== 'api') return milestone;
    const delay = received - reported.at;
    delays.push(delay);
    if (delays.length > keptDelays) delays.shift();
    return delay - Math.min(...delays) > maxDelayMs ? { ...milestone, isLate: true } : milestone;
  };
}

export interface ReportedTime {
  readonly at: number;
  readonly clock: ReportingClock;
}

/** `api` is the control plane; else the kubelet's node. */
type ReportingClock = 'api' | `node ${string}`;

export const nodeClock = ({ node }: Pod): ReportingClock => `node ${node}`;

export const reportedTime = (at: number | undefined, clock: ReportingClock): ReportedTime | undefined =>
  at === undefined ? undefined : { at, clock };

const milestoneNames = [
  'created',
  'scheduled',
  'sandbox',
  'initialized',
  'running',
  'started',
  'ready',
] as const;
type MilestoneName = (typeof milestoneNames)[number];

/** The milestones that were reached. */
export type Milestones = Partial<Record<MilestoneName, Milestone>>;

/** Adds the milestones that the pod has reached since; `at` is undefined for a pod that was listed. */
export function addMilestones(
  milestones: Milestones,
  pod: Pod,
  at: number | undefined,
  checked: (milestone: Milestone) => Milestone,
): void {
  for (const name of milestoneNames) {
    if (milestones[name] !== undefined) continue;
    const reached = reachedMilestones[name](pod);
    if (reached !== undefined) milestones[name] = checked({ received: at, reported: reached.reported });
  }
}

/** A container has terminated: those milestones have to be reached again. */
export function resetContainerMilestones(milestones: Milestones): void {
  delete milestones.running;
  delete milestones.started;
  delete milestones.ready;
}

interface Reached {
  readonly reported: ReportedTime | undefined;
}

/** Undefined: not reached yet. */
const reachedMilestones: Readonly<Record<MilestoneName, (pod: Pod) => Reached | undefined>> = {
  created: ({ createdAt }) => ({ reported: { at: createdAt, clock: 'api' } }),
  scheduled: (pod) =>
    pod.node === '' ? undefined : { reported: reportedTime(pod.conditions['PodScheduled']?.since, 'api') },
  sandbox: (pod) => {
    const condition = pod.conditions['PodReadyToStartContainers'];
    const starts = [...pod.initContainers, ...pod.containers].flatMap(startTimesOf);
    // Once a container has run there was a sandbox, even if it is gone.
    if (condition?.status !== 'True' && starts.length === 0) return undefined;
    const at = condition?.status === 'True' ? condition.since : Math.min(...starts);
    return { reported: reportedTime(at, nodeClock(pod)) };
  },
  initialized: (pod) => {
    // Without init containers a kubelet reports Initialized even before there is a sandbox.
    if (!pod.initContainers.some(({ sidecar }) => !sidecar)) return reachedMilestones.sandbox(pod);
    const condition = pod.conditions['Initialized'];
    return condition?.status === 'True'
      ? { reported: reportedTime(condition.since, nodeClock(pod)) }
      : undefined;
  },
  running: ({ containers, ...pod }) => {
    if (containers.length === 0 || containers.some(({ state }) => state.kind !== 'running')) return undefined;
    const starts = containers.map(({ state }) => (state.kind === 'running' ? state.startedAt : undefined));
    const known = starts.filter((start) => start !== undefined);
    // The last start counts, which is unknown unless all of them are known.
    const at = known.length < starts.length ? undefined : Math.max(...known);
    return { reported: reportedTime(at, `node ${pod.node}`) };
  },
  started: (pod) => {
    if (!pod.containers.every(({ started }) => started)) return undefined;
    // The API does not report when a startup probe succeeded.
    return pod.containers.some(({ startupProbe }) => startupProbe !== undefined)
      ? { reported: undefined }
      : reachedMilestones.running(pod);
  },
  ready: (pod) =>
    isReady(pod) ? { reported: reportedTime(pod.conditions['Ready']?.since, nodeClock(pod)) } : undefined,
};

/** A pod whose containers have all ended serves nothing, whatever its condition says. */
export const isReady = ({ conditions, phase }: Pod): boolean =>
  conditions['Ready']?.status === 'True' && phase !== 'Failed' && phase !== 'Succeeded';

function startTimesOf({ state, lastTermination }: Container): readonly number[] {
  const current = state.kind === 'running' || state.kind === 'terminated' ? state.startedAt : undefined;
  return [current, lastTermination?.startedAt].filter((start) => start !== undefined);
}

interface Replacement {
  /** The pod that is Ready now, and its milestones. */
  readonly pod: Pod;
  readonly milestones: Milestones;
  /** When the removal of its predecessor started, and when it was complete. */
  readonly removalStart: Milestone | undefined;
  readonly removed: Milestone | undefined;
  /** Start of the total: with several removals in a row, the first one's. */
  readonly start: Milestone | undefined;
}

export function replacementSeconds(replacement: Replacement): Rotation['seconds'] {
  const { pod, milestones, removalStart, removed, start } = replacement;
  const span = spanMeasurer(pod);
  // A StatefulSet creates the new pod as soon as the old one is removed, within 0.1 s where both were observed.
  const end: Milestone = {
    received: removed?.received,
    reported: removed?.reported ?? milestones.created?.reported,
    ...(removed?.isLate === true ? { isLate: true } : {}),
  };
  const knownEnd = removalStart === undefined && removed === undefined ? undefined : end;
  return secondsOf({
    terminating: span(removalStart, end),
    scheduling: span(knownEnd ?? milestones.created, milestones.scheduled),
    volume: span(milestones.scheduled, milestones.sandbox),
    init: span(milestones.sandbox, milestones.initialized),
    ...startSpans(milestones.initialized, milestones, span),
    total: span(start, milestones.ready),
  });
}

/** The restart's back-off time is part of the total only. */
export function restartSeconds(
  pod: Pod,
  milestones: Milestones,
  start: Milestone | undefined,
): Rotation['seconds'] {
  const span = spanMeasurer(pod);
  return secondsOf({
    ...startSpans(milestones.running, milestones, span),
    total: span(start, milestones.ready),
  });
}

/**
 * No time is reported for the end of a startup probe, so only received times separate startup and readiness: they
 * must be reliable from the start of the former to the end of the latter.
 */
function startSpans(
  from: Milestone | undefined,
  { started, ready }: Milestones,
  span: SpanMeasurer,
): { readonly startup: MeasuredSpan | undefined; readonly readiness: MeasuredSpan | undefined } {
  if (started?.reported === undefined && span(from, ready)?.basis !== 'received')
    return { startup: undefined, readiness: undefined };
  return { startup: span(from, started), readiness: span(started, ready) };
}

function secondsOf(
  spans: Readonly<Partial<Record<RotationSpan, MeasuredSpan | undefined>>>,
): Rotation['seconds'] {
  const known = Object.entries(spans).flatMap(([name, span]) =>
    span === undefined ? [] : [[name, span.seconds] as const],
  );
  return Object.freeze(Object.fromEntries(known));
}

interface MeasuredSpan {
  readonly seconds: number;
  readonly basis: 'received' | 'reported';
}

/** Undefined where the time between the milestones is unknown. */
type SpanMeasurer = (from: Milestone | undefined, to: Milestone | undefined) => MeasuredSpan | undefined;

/** Reported times are rounded down to whole seconds, and changes take a moment to arrive. */
const toleranceMs = 1250;
/** Two clocks that count as synchronized may still differ by this much. */
const maxSkewMs = 3000;

/**
 * Received times are more precise, but after a connection stalled all changes arrive at the same moment. They
 * count only where the reported times, if comparable, are about the same; else the reported times count.
 */
function spanMeasurer(pod: Pod): SpanMeasurer {
  const isComparable = clockComparison(pod);
  return (from, to) => {
    if (from === undefined || to === undefined) return undefined;
    const received =
      from.received === undefined || to.received === undefined ? undefined : to.received - from.received;
    const reported =
      from.reported === undefined ||
      to.reported === undefined ||
      !isComparable(from.reported.clock, to.reported.clock)
        ? undefined
        : to.reported.at - from.reported.at;
    if (from.isLate === true || to.isLate === true)
      return reported === undefined ? undefined : measuredSpan(reported, 'reported');
    // The received times of two milestones in the same change do not show how long it took.
    const isSameClock = from.reported?.clock === to.reported?.clock;
    const tolerance = received === 0 ? 0 : toleranceMs + (isSameClock ? 0 : maxSkewMs);
    if (received !== undefined && (reported === undefined || Math.abs(received - reported) <= tolerance))
      return measuredSpan(received, 'received');
    return reported === undefined ? undefined : measuredSpan(reported, 'reported');
  };
}

/** Rounding can make a span negative by less than a second; more than that are two clocks that differ. */
const measuredSpan = (ms: number, basis: MeasuredSpan['basis']): MeasuredSpan | undefined =>
  ms < -1000 ? undefined : { seconds: Math.max(0, ms) / 1000, basis };

/** A kubelet accepts a pod within a second or two after it was scheduled. */
const maxAcceptMs = 2000;

/**
 * Which clocks may be compared. Those of control plane and node only when the pod itself shows that they are
 * synchronized: status.startTime (the kubelet's) follows PodScheduled (the scheduler's) within two seconds.
 */
function clockComparison(pod: Pod): (a: ReportingClock, b: ReportingClock) => boolean {
  const scheduledAt = pod.conditions['PodScheduled']?.since;
  const delayMs =
    scheduledAt === undefined || pod.startTime === undefined ? undefined : pod.startTime - scheduledAt;
  const areSynchronized = delayMs !== undefined && delayMs >= -1000 && delayMs <= maxAcceptMs;
  const own = nodeClock(pod);
  return (a, b) => a === b || (areSynchronized && [a, b].includes('api') && [a, b].includes(own));
}
