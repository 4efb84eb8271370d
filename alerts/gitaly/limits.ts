/** Clients that Gitaly's limits turn away. */

import { durationInWords } from '../../src/monitoring/durations.ts';
import { limitsDashboard, panelLink } from '../../src/monitoring/links.ts';
import {
  above,
  atLeast,
  atMost,
  divide,
  increase,
  labelled,
  maxBy,
  observations,
  oneOf,
  or,
  select,
  sumBy,
  unless,
} from '../../src/monitoring/promql/index.ts';
import type { Thresholds } from '../../src/rules/thresholds.ts';
import {
  concurrencyWait,
  packObjectsDropped,
  packObjectsWait,
  requestsDropped,
} from '../../src/sources/gitaly/metrics.ts';
import { type Alert, alert } from '../alert.ts';
import { matched, own, rateWindow, serverLabels, serverName } from './servers.ts';

/** Not those who left by themselves, nor rate limits, which turn away whatever is over them by design. */
const turnedAway = oneOf('queue_full', 'queue_wait', 'load_shed');
const turnedAwayPack = oneOf('queue_full', 'queue_wait');

export function requestsTurnedAway(thresholds: Thresholds): Alert {
  const { rateWindow: window, requestsDropped: droppedFor } = thresholds;
  const { requestsDroppedMinimum: least, requestsDroppedRatio: share } = thresholds;
  const range = rateWindow(thresholds);
  const method = [...serverLabels, 'grpc_method'] as const;
  const rpc = [...method, 'grpc_service'] as const;

  const dropped = sumBy(
    method,
    maxBy([...rpc, 'reason'], own(increase(select(requestsDropped, { reason: turnedAway }), range))),
  );
  const letIn = sumBy(method, maxBy(rpc, own(increase(observations(concurrencyWait), range))));
  const packDropped = sumBy(
    serverLabels,
    maxBy(
      [...serverLabels, 'reason'],
      own(increase(select(packObjectsDropped, { reason: turnedAwayPack }), range)),
    ),
  );
  const packLetIn = maxBy(serverLabels, own(increase(observations(packObjectsWait), range)));
  // Where nobody tells how many were let in, those turned away count alone.
  const ofRpcs = unless(
    atLeast(dropped, least.value),
    atMost(divide(dropped, letIn, { on: method }), share.value),
    { on: method },
  );
  const ofPack = unless(
    atLeast(packDropped, least.value),
    atMost(divide(packDropped, packLetIn, { on: serverLabels }), share.value),
    { on: serverLabels },
  );
  return alert({
    name: 'GitalyRequestsDropped',
    severity: 'warning',
    expression: sumBy(serverLabels, or(ofRpcs, labelled(ofPack, 'grpc_method', 'pack-objects'))),
    forSeconds: droppedFor.value,
    panel: panelLink(limitsDashboard, 'dropsByRpc'),
    firesWhen: `for ${durationInWords(droppedFor.value)}, a limit turned away over ${share.value * 100} % of the calls of an RPC, or of clones and fetches, and ${least.value} or more within ${durationInWords(window.value)}`,
    summary: ({ counted }) =>
      `${serverName}: ${counted('request', 'requests')} turned away within ${durationInWords(window.value)}`,
    description: ({ list, same, since, when }) => {
      const matchers = same(...matched);
      const calls = increase(select(requestsDropped, { ...matchers, reason: turnedAway }), range);
      const packs = increase(select(packObjectsDropped, { ...matchers, reason: turnedAwayPack }), range);
      const methods = above(
        or(maxBy(['grpc_method'], calls), labelled(maxBy([], packs), 'grpc_method', 'pack-objects')),
        0,
      );
      const reasons = above(
        maxBy(['reason'], or(maxBy(['grpc_method', 'reason'], calls), maxBy(['reason'], packs))),
        0,
      );
      return [
        `Since ${since}.`,
        when(methods, `Which: ${list(methods, 'grpc_method')}. Why: ${list(reasons, 'reason')}.`),
        'Users see failed clones, fetches or pages. Which repository or client it is, only the log of Gitaly says (limit.limiting_key).',
      ].join(' ');
    },
  });
}
