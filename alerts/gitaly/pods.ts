/** Gitaly's pods on Kubernetes: rotations that take too long, and pods of which no agent tells anything. */

import { durationInWords, promDuration } from '../../src/monitoring/durations.ts';
import { panelLink, serversDashboard } from '../../src/monitoring/links.ts';
import {
  above,
  and,
  below,
  equals,
  maxBy,
  maxOverTime,
  minOverTime,
  not,
  select,
  subtract,
  time,
  unless,
} from '../../src/monitoring/promql/index.ts';
import type { Thresholds } from '../../src/rules/thresholds.ts';
import { podLastRotation, podReady, podRotation } from '../../src/sources/kubernetes/metrics.ts';
import { serverInfo } from '../../src/sources/server-info.ts';
import { type Alert, alert, gaugeWindow, sustained } from '../alert.ts';
import { byOwnName, matchedPod, own, podLabels, serverName } from './servers.ts';

export function rotationSlow(thresholds: Thresholds): Alert {
  const { rotationWindow, rotationSlow: slow } = thresholds;
  const window = promDuration(rotationWindow.value);
  const took = maxBy(podLabels, own(maxOverTime(select(podRotation, { phase: 'total' }), window)));
  const ended = maxBy(podLabels, own(maxOverTime(select(podLastRotation), window)));
  return alert({
    name: 'GitalyRotationSlow',
    severity: 'warning',
    expression: and(above(took, slow.value), below(subtract(time(), ended), rotationWindow.value), {
      on: podLabels,
    }),
    forSeconds: 0,
    panel: panelLink(serversDashboard, 'rotationPhases'),
    firesWhen: `within the last ${durationInWords(rotationWindow.value)} the rotation of a pod of Gitaly, from its deletion until it was Ready again, took over ${durationInWords(slow.value)}`,
    summary: () => `${serverName}: its rotation took {{ $value | humanizeDuration }}`,
    description: ({ ask, list, same }) => {
      const matchers = same(...matchedPod);
      const seconds = maxBy(['phase'], select(podRotation, { ...matchers, phase: not('total') }));
      const last = maxBy([], maxOverTime(select(podLastRotation, matchers), window));
      const long = above(seconds, slow.value / 4);
      return `Last seen ${ask(last, 'moment', 'at a time that is not known')}. Its repositories were out of reach for that long. Phases that took long: ${list(long, 'phase')}.`;
    },
  });
}

export function unwatched(thresholds: Thresholds): Alert {
  const { gitalyUnwatched } = thresholds;
  const window = gaugeWindow(thresholds);
  const pod = ['cluster', 'namespace', 'pod'] as const;
  const ready = equals(maxBy(pod, byOwnName(minOverTime(select(podReady), window))), 1);
  const watched = maxBy(pod, byOwnName(maxOverTime(select(serverInfo), window)));
  // Where no agent was ever installed there is nothing to miss.
  const agents = maxBy(
    ['cluster'],
    maxOverTime(select(serverInfo), promDuration(thresholds.missingSeriesLookback.value)),
  );
  return alert({
    name: 'GitalyUnwatched',
    severity: 'warning',
    expression: and(unless(ready, watched, { on: pod }), agents, { on: ['cluster'] }),
    forSeconds: sustained(thresholds, gitalyUnwatched.value),
    panel: panelLink(serversDashboard, 'monitored'),
    firesWhen: `for ${durationInWords(gitalyUnwatched.value)}, no agent has told of the cgroups of a pod of Gitaly that is Ready, while some agent has within the last day`,
    summary: () => `${serverName}: no agent tells of its memory, CPU and OOM kills`,
    description: ({ since }) => `Since ${since}. No alert on its memory, its CPU or its OOM kills can fire.`,
  });
}
