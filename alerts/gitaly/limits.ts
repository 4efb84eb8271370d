/** Requests that Gitaly's limits drop or delay. */
import { durationInWords } from '../../src/monitoring/durations.ts';
import { limitsDashboard } from '../../src/monitoring/links.ts';
import {
  above,
  atLeast,
  atMost,
  divide,
  maxBy,
  minBy,
  not,
  sumBy,
  type Vector,
} from '../../src/monitoring/promql/index.ts';
import { recorded, sustained } from '../../src/monitoring/recording.ts';
import { type ServerLabel, serverLabels } from '../../src/monitoring/recordings/gitaly.ts';
import {
  adaptiveLimitPosition,
  alwaysQueued,
  limitedRequests,
} from '../../src/monitoring/recordings/limits.ts';
import type { AlertThresholds } from '../../src/rules/alert-thresholds.ts';
import { minute, seconds, type ThresholdTable } from '../../src/rules/thresholds.ts';
import { type Alert, alert, judgedWithPage } from '../alert.ts';
import { percent, serverName, withoutProblem } from '../texts.ts';

export const limitThresholds = {
  concurrencySaturated: seconds(15 * minute, 'Calls waited all the time: longer than a burst of CI.'),
  adaptiveLimitAtFloor: seconds(
    30 * minute,
    'The limit rises by itself within minutes when resources are free.',
  ),
} satisfies ThresholdTable;

export const limitAlerts = (thresholds: AlertThresholds): readonly Alert[] => [
  droppedQueueFull(thresholds),
  droppedQueueWait(thresholds),
  loadShed(thresholds),
  packObjectsDropped(thresholds),
  saturated(thresholds),
  adaptiveLimitAtFloor(thresholds),
];

const methodLabels = [...serverLabels, 'grpc_method'] as const;
const ofRpcs = { grpc_method: not('pack-objects') } as const;

/** The highest ratio of dropped calls of an RPC, of each server, above the thresholds. */
const droppedRatio = (
  thresholds: AlertThresholds,
  dropped: Vector<ServerLabel | 'grpc_method' | 'outcome'>,
): Vector<ServerLabel> =>
  above(
    maxBy(
      serverLabels,
      divide(
        atLeast(dropped, thresholds.requestsDroppedMinimum.value),
        sumBy(methodLabels, recorded(limitedRequests)),
        { on: methodLabels },
      ),
    ),
    thresholds.requestsDroppedRatio.value,
  );

/** The methods of the alert's server of which calls were dropped for this reason. */
const droppedMethods = (
  same: { readonly [Name in ServerLabel]: string },
  outcome: 'queue_full' | 'queue_wait' | 'load_shed',
) => above(maxBy(['grpc_method'], recorded(limitedRequests, { ...same, outcome })), 0);

const what = ({ requestsDroppedMinimum, requestsDroppedRatio, rateWindow }: AlertThresholds): string =>
  `over ${percent(requestsDroppedRatio.value)} of the calls of an RPC, and ${requestsDroppedMinimum.value} or more within ${durationInWords(rateWindow.value)}`;

function droppedQueueFull(thresholds: AlertThresholds): Alert {
  const { keepFiring, requestsDropped } = thresholds;
  return alert({
    ...judgedWithPage('GitalyRequestsDroppedQueueFull', thresholds),
    expression: droppedRatio(thresholds, recorded(limitedRequests, { ...ofRpcs, outcome: 'queue_full' })),
    keepFiringForSeconds: keepFiring.value,
    panel: { dashboard: limitsDashboard, title: 'Dropped requests by RPC' },
    firesWhen: `for ${durationInWords(requestsDropped.value)}, a full queue (max_queue_size) dropped ${what(thresholds)}. GitLab 14.8 and later; earlier versions do not count drops`,
    summary: ({ value }) => `Gitaly ${serverName} drops ${value('percent')} of an RPC's calls: queue full`,
    description: ({ list, same }) =>
      `RPCs: ${list(droppedMethods(same(...serverLabels), 'queue_full'), 'grpc_method', 'unknown')}. Clients get RESOURCE_EXHAUSTED. Find the repository and client in Gitaly's log (limit.limiting_key). Raise the limit only if CPU and memory allow.`,
  });
}

function droppedQueueWait(thresholds: AlertThresholds): Alert {
  const { requestsDroppedWait } = thresholds;
  return alert({
    ...judgedWithPage('GitalyRequestsDroppedQueueWait', thresholds),
    expression: droppedRatio(thresholds, recorded(limitedRequests, { ...ofRpcs, outcome: 'queue_wait' })),
    panel: { dashboard: limitsDashboard, title: 'Dropped requests by RPC' },
    firesWhen: `for ${durationInWords(requestsDroppedWait.value)}, calls that waited longer than max_queue_wait were dropped: ${what(thresholds)}. GitLab 14.8 and later`,
    summary: ({ value }) => `Gitaly ${serverName} drops ${value('percent')} of an RPC's calls after a wait`,
    description: ({ list, same }) =>
      `RPCs: ${list(droppedMethods(same(...serverLabels), 'queue_wait'), 'grpc_method', 'unknown')}. Clients wait for max_queue_wait and then get RESOURCE_EXHAUSTED. Find the repository and client in Gitaly's log (limit.limiting_key).`,
  });
}

function loadShed(thresholds: AlertThresholds): Alert {
  const { requestsDropped } = thresholds;
  return alert({
    ...judgedWithPage('GitalyLoadShed', thresholds),
    expression: droppedRatio(thresholds, recorded(limitedRequests, { ...ofRpcs, outcome: 'load_shed' })),
    panel: { dashboard: limitsDashboard, title: 'Dropped requests by reason' },
    firesWhen: `for ${durationInWords(requestsDropped.value)}, the load shedder ended ${what(thresholds)}. GitLab 19.0 and later`,
    summary: ({ value }) => `Gitaly ${serverName} sheds ${value('percent')} of an RPC's calls`,
    description: ({ list, same }) =>
      `RPCs: ${list(droppedMethods(same(...serverLabels), 'load_shed'), 'grpc_method', 'unknown')}. The cgroup is short of CPU, memory or I/O, and Gitaly ends the costliest calls. Reduce the load or give it more resources.`,
  });
}

function packObjectsDropped(thresholds: AlertThresholds): Alert {
  const { requestsDropped } = thresholds;
  const dropped = sumBy(
    [...methodLabels],
    recorded(limitedRequests, { grpc_method: 'pack-objects', outcome: not('admitted') }),
  );
  return alert({
    ...judgedWithPage('GitalyPackObjectsDropped', thresholds),
    expression: droppedRatio(thresholds, dropped),
    panel: { dashboard: limitsDashboard, title: 'Dropped clones by reason' },
    firesWhen: `for ${durationInWords(requestsDropped.value)}, the pack-objects limit dropped over ${percent(thresholds.requestsDroppedRatio.value)} of clones and fetches. GitLab 15.6 and later`,
    summary: ({ value }) => `Gitaly ${serverName} drops ${value('percent')} of clones and fetches`,
    description: () =>
      'A client address has more clones and fetches in progress than pack_objects_limiting allows. Its clients see Internal, which does not mention a limit. If many clients share the address (a proxy, CI), raise the limit if CPU and memory allow.',
  });
}

function saturated(thresholds: AlertThresholds): Alert {
  const { concurrencySaturated } = thresholds;
  return alert({
    name: 'GitalyConcurrencySaturated',
    severity: 'warning',
    expression: above(sumBy(serverLabels, recorded(alwaysQueued)), 0),
    forSeconds: concurrencySaturated.value,
    noProblem: withoutProblem.overTime,
    panel: { dashboard: limitsDashboard, title: 'Queued requests by server' },
    firesWhen: `for ${durationInWords(concurrencySaturated.value + thresholds.rateWindow.value)}, calls waited at every scrape because the limit of their repository or address was reached`,
    summary: ({ count }) =>
      `Gitaly ${serverName}: ${count('call', 'calls')} waiting for a limit all the time`,
    description: ({ list, same }) =>
      `RPCs: ${list(
        above(maxBy(['grpc_method'], recorded(alwaysQueued, same(...serverLabels))), 0),
        'grpc_method',
        'unknown',
      )}. Requests for some repository or address are slow, and are dropped next. Find it in Gitaly's log (limit.limiting_key).`,
  });
}

function adaptiveLimitAtFloor(thresholds: AlertThresholds): Alert {
  const { adaptiveLimitAtFloor: atFloorFor } = thresholds;
  return alert({
    name: 'GitalyAdaptiveLimitAtFloor',
    severity: 'warning',
    expression: atMost(minBy(serverLabels, recorded(adaptiveLimitPosition)), 0),
    forSeconds: sustained(thresholds, atFloorFor.value),
    noProblem: withoutProblem.overTime,
    panel: { dashboard: limitsDashboard, title: 'Concurrency limits over time' },
    firesWhen: `for ${durationInWords(atFloorFor.value)}, an adaptive limit was at its minimum. GitLab 16.3 and later, with gitaly.config-file`,
    summary: () => `Gitaly ${serverName}: an adaptive limit is at its minimum`,
    description: ({ list, same }) =>
      `RPCs: ${list(
        atMost(maxBy(['grpc_method'], recorded(adaptiveLimitPosition, same(...serverLabels))), 0),
        'grpc_method',
        'unknown',
      )}. Gitaly lowers adaptive limits while its cgroup is short of memory or CPU, and they did not recover. More calls wait and are dropped. Find what uses the resources.`,
  });
}
