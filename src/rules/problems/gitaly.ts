/** Problems of Gitaly's servers: unreadable metrics, dropped requests, limits that are not in effect. Pure. */
import type { Limit } from '../../config/gitaly/gitaly-config.ts';
import { durationText, listText } from '../../lib/format.ts';
import {
  type LimitSubject,
  limitKey,
  limitText,
  rateText,
  type WindowDrops,
} from '../../sources/gitaly/drops.ts';
import type { LimitState, ServerLimits } from '../../sources/gitaly/limits.ts';
import type { GitalyView, TargetRead } from '../../sources/gitaly/view.ts';
import { components, identityKey, identityText } from '../../sources/identity.ts';
import type { Thresholds } from '../thresholds.ts';
import type { ProblemHistory } from './history.ts';
import { aboutServer, type Problem, problem } from './problem.ts';

export interface GitalySituation {
  readonly view: GitalyView;
  readonly history: ProblemHistory;
  readonly thresholds: Thresholds;
  /** By identityKey: whether a pod is Ready. Undefined: not known, or not a pod. */
  readonly podReadiness?: ReadonlyMap<string, boolean>;
}

export function gitalyProblems(situation: GitalySituation): readonly Problem[] {
  const { reads, servers } = situation.view;
  const failed = reads.filter(({ failure }) => failure !== undefined);
  const isDown = ({ responds, target }: TargetRead): boolean =>
    responds === false &&
    target.component === 'gitaly' &&
    target.identity.pod === '' &&
    situation.history.wasReadable(target.identity);
  /** Of Gitalys only. */
  const readiness = ({ target }: TargetRead): boolean | undefined =>
    target.component === 'gitaly' ? situation.podReadiness?.get(identityKey(target.identity)) : undefined;
  return [
    ...dropProblems(situation),
    ...failed.filter(isDown).map(unreachableProblem),
    ...unreadableProblems(
      'metrics_unreadable',
      failed.filter((read) => !isDown(read) && readiness(read) === true),
    ),
    // A pod that is not Ready is a problem of its own.
    ...unreadableProblems(
      'target_unreadable',
      failed.filter((read) => !isDown(read) && readiness(read) === undefined),
    ),
    ...servers.flatMap(limitProblems),
  ];
}

/**
 * The problem of each reason to drop a call of an RPC. A client that leaves a queue and a rate limit are not counted: both
 * drop requests by design.
 */
const dropKinds = {
  queue_full: 'requests_dropped_queue_full',
  queue_wait: 'requests_dropped_queue_wait',
  load_shed: 'requests_shed',
} as const;
type CountedReason = keyof typeof dropKinds;
const countedReasons = Object.keys(dropKinds) as readonly CountedReason[];

/** Clones and fetches have one alert for all reasons. */
const dropSets = (limit: LimitSubject): readonly (readonly CountedReason[])[] =>
  limit === 'pack-objects' ? [countedReasons] : countedReasons.map((reason) => [reason]);

const sumOf = (counts: Iterable<number>): number => [...counts].reduce((sum, count) => sum + count, 0);

/** One problem for each limit and alert, whatever the number of servers: the same load hits all replicas. */
function dropProblems({ view, thresholds }: GitalySituation): Problem[] {
  return [...Map.groupBy(view.recentDrops, ({ limit }) => limitKey(limit)).values()].flatMap((group) => {
    const [first] = group;
    if (first === undefined) return [];
    return dropSets(first.limit).flatMap((reasons) => dropProblem(view, thresholds, group, reasons));
  });
}

function dropProblem(
  view: GitalyView,
  { requestsDroppedMinimum, requestsDroppedRatio, rateWindow }: Thresholds,
  group: readonly WindowDrops[],
  reasons: readonly CountedReason[],
): Problem[] {
  const droppedIn = ({ dropped }: WindowDrops): number =>
    sumOf(reasons.map((reason) => dropped.get(reason) ?? 0));
  const over = group.filter((drops) => {
    const dropped = droppedIn(drops);
    const calls = (drops.admitted ?? 0) + sumOf(drops.dropped.values());
    return dropped >= requestsDroppedMinimum.value && dropped / calls > requestsDroppedRatio.value;
  });
  const [first] = over;
  const found = reasons.filter((reason) => over.some(({ dropped }) => (dropped.get(reason) ?? 0) > 0));
  const [reason] = found;
  if (first === undefined || reason === undefined) return [];
  const { limit } = first;
  const key = limitKey(limit);
  const names = over.map(({ identity }) => identityText(identity));
  const began = view.episodes
    .filter((episode) => limitKey(episode.limit) === key && episode.reason !== 'rate')
    .map(({ since }) => since / 1000);
  return [
    problem(limit === 'pack-objects' ? 'pack_objects_dropped' : dropKinds[reason], {
      of: key,
      title: `${limitText(limit)}: requests are dropped on ${listText([...new Set(names)], 3)}`,
      subject: limitText(limit),
      labels: { grpc_method: limitText(limit) },
      detail: `${rateText(sumOf(over.map(droppedIn)) / rateWindow.value)} in the last ${durationText(rateWindow.value * 1000)}: ${found.map((each) => reasonText[each]).join('; ')}. ${clientText(limit)}`,
      action: `Find the client in Gitaly's log (fields limit.limiting_key and limit.concurrency_dropped). ${adviceFor(found, limit)}`,
      since: began.length === 0 ? undefined : Math.min(...began),
    }),
  ];
}

const reasonText: Readonly<Record<CountedReason, string>> = {
  queue_full: 'the queue is full (max_queue_size)',
  queue_wait: 'they wait for longer than max_queue_wait',
  load_shed: 'the load shedder ends the costliest calls because the cgroup is short of CPU, memory or I/O',
};

const clientText = (limit: LimitSubject): string =>
  limit === 'pack-objects'
    ? 'Clones and fetches fail with Internal, which does not mention a limit.'
    : 'Clients get RESOURCE_EXHAUSTED, which error ratios usually leave out.';

function adviceFor(reasons: readonly CountedReason[], limit: LimitSubject): string {
  if (reasons.includes('load_shed')) return 'The server is short of resources: reduce its load.';
  return limit === 'pack-objects'
    ? 'The limit applies per address: if it is one client, reduce its requests; if many share one address (a proxy, CI), raise it if CPU and memory allow.'
    : 'The limit applies per repository: find out what calls it that often. Raise the limit only if CPU and memory allow.';
}

function unreachableProblem({ target, failure }: TargetRead): Problem {
  const name = identityText(target.identity);
  return problem('gitaly_unreachable', {
    of: identityKey(target.identity),
    title: `Gitaly ${name} is unreachable`,
    ...aboutServer(target.identity),
    detail: `${name} ${failure?.message ?? 'does not respond'}. Repositories that are only on it are unavailable.`,
    action: `Check that Gitaly runs on ${name}, and the network to its metrics port.`,
  });
}

/** Pods and servers that were never readable: their metrics are missing, which does not mean that they are down. */
function unreadableProblems(
  id: 'metrics_unreadable' | 'target_unreadable',
  failed: readonly TargetRead[],
): Problem[] {
  return components.flatMap((component): Problem[] => {
    const own = failed.filter(({ target }) => target.component === component);
    if (own.length === 0) return [];
    const names = own.map(({ target }) => identityText(target.identity));
    // Each cause once: one target may be refused, and another be forbidden.
    const byCause = Map.groupBy(own, ({ failure }) => failure?.message ?? '');
    const causes = [...byCause].map(([message, alike]) => {
      const who = alike.map(({ target }) => identityText(target.identity));
      return `${listText(who, 3)}${alike.length > 1 ? ':' : ''} ${message}`.trim();
    });
    return [
      problem(id, {
        of: component,
        title: `Metrics of ${component === 'gitaly' ? 'Gitaly' : 'Praefect'} ${listText(names, 3)} cannot be read`,
        subject: listText(names, 3),
        labels: { component },
        detail: `${causes.slice(0, 3).join('; ')}${causes.length > 3 ? ` and ${causes.length - 3} more causes` : ''}.${component === 'gitaly' ? ' The use of its limits is unknown.' : ''}`,
        action: `Check that it runs, that prometheus_listen_addr is set, and that ${component}.target is correct.`,
      }),
    ];
  });
}

/** Limits that are not those of config.toml: Gitaly was not restarted after a change. */
function limitProblems({ identity, isRead, rpcs, packObjects }: ServerLimits): Problem[] {
  // Without its configuration there is nothing to compare with.
  const isConfigured = [...rpcs, packObjects].some(({ configured }) => configured !== undefined);
  if (!isRead || !isConfigured) return [];
  // A version that counts drops reports every RPC with a limit; older ones only those that were used.
  const reportsAll = rpcs.some(({ use }) => use?.dropped !== undefined);
  const wrong = rpcs.flatMap((rpc) => {
    const what = disagreement(rpc, !reportsAll || rpc.use?.inProgress !== undefined);
    return what === undefined ? [] : [`${rpc.method} ${what}`];
  });
  // Its own metrics show a pack-objects limit in use whether or not it is fixed: only an adaptive one can differ.
  const packWrong = disagreement(packObjects, true);
  if (packWrong !== undefined) wrong.push(`pack-objects ${packWrong}`);
  if (wrong.length === 0) return [];
  return [
    problem('limits_not_in_effect', {
      of: identityKey(identity),
      title: `${identityText(identity)} runs with other limits than its config.toml`,
      ...aboutServer(identity),
      detail: `${listText(wrong, 3, '; ')}.`,
      action: 'Restart Gitaly so that it reads its configuration, or correct the configuration.',
    }),
  ];
}

/** @param isKnown the server reports the limit, or would not report it before it is used */
function disagreement({ configured, adaptive }: LimitState, isKnown: boolean): string | undefined {
  if (configured === undefined)
    return adaptive === undefined
      ? undefined
      : `has an adaptive limit, now ${adaptive}, but none is configured`;
  return configured.kind === 'static'
    ? staticDisagreement(configured.current, adaptive, isKnown)
    : adaptiveDisagreement(configured, adaptive);
}

function staticDisagreement(
  configured: number,
  adaptive: number | undefined,
  isKnown: boolean,
): string | undefined {
  if (adaptive !== undefined)
    return `has an adaptive limit, now ${adaptive}, but a fixed one of ${configured} is configured`;
  return isKnown ? undefined : `has no limit, but ${configured} is configured`;
}

function adaptiveDisagreement(
  { min, max }: Extract<Limit, { kind: 'adaptive' }>,
  current: number | undefined,
): string | undefined {
  if (current === undefined)
    return 'has no adaptive limit, but one is configured (Gitaly has them since GitLab 16.3)';
  return current < min || current > max ? `is at ${current}, but ${min} to ${max} is configured` : undefined;
}
