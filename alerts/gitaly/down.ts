/** A Gitaly that does not serve: its pod is not Ready, it does not answer, or its cgroups are gone. */

import { durationInWords, promDuration } from '../../src/monitoring/durations.ts';
import { panelLink, serversDashboard } from '../../src/monitoring/links.ts';
import {
  and,
  equals,
  labelled,
  maxBy,
  maxOverTime,
  minOverTime,
  notLike,
  or,
  select,
  unless,
  type Vector,
} from '../../src/monitoring/promql/index.ts';
import type { Thresholds } from '../../src/rules/thresholds.ts';
import { cgroupGitalys } from '../../src/sources/cgroup/metrics.ts';
import { scrapeUp } from '../../src/sources/gitaly/metrics.ts';
import { podReady, podRotationStart } from '../../src/sources/kubernetes/metrics.ts';
import { maintenance, maintenanceActive } from '../../src/sources/maintenance/source.ts';
import { serverInfo } from '../../src/sources/server-info.ts';
import { type Alert, alert, gaugeWindow, sustained } from '../alert.ts';
import { ifPod, matchedPod, own, podLabels, type ServerLabel, serverLabels, serverName } from './servers.ts';

/** What a Gitaly's series have in common with the exporter's own, whatever the scrape makes of namespaces. */
const exporterLabels = ['cluster', 'job', 'instance'] as const;
type ExporterLabel = (typeof exporterLabels)[number];

export function gitalyDown(thresholds: Thresholds): Alert {
  const { gitalyDown: downFor, gitalyDownDuringRollout: longer, keepFiring } = thresholds;
  const window = gaugeWindow(thresholds);
  const planned = maxBy(exporterLabels, maxOverTime(select(maintenanceActive), window));
  // A roll-out opens a window by itself, also one that takes a Gitaly down for good.
  const declared = select(maintenance, { window: notLike('rollout:.*') });
  const meant = maxBy(exporterLabels, maxOverTime(declared, window));
  const notReady = podNotReady(minOverTime(select(podReady), window), planned);
  const notReadyForLong = podNotReady(maxOverTime(select(podReady), promDuration(longer.value)), meant);
  const onMachines = or(silent(thresholds, planned), vanished(thresholds, planned));
  return alert({
    name: 'GitalyDown',
    severity: 'critical',
    expression: or(or(notReady, notReadyForLong), onMachines),
    forSeconds: sustained(thresholds, downFor.value),
    keepFiringForSeconds: keepFiring.value,
    panel: panelLink(serversDashboard, 'down'),
    firesWhen: `for ${durationInWords(downFor.value)}, without planned work that would explain it, a pod of Gitaly was not Ready (in a roll-out: for ${durationInWords(longer.value)} more), or a Gitaly on a virtual machine that was there within the last day did not answer or had no cgroups`,
    summary: () => `${serverName}: Gitaly is down`,
    description: ({ ask, same, since }) => {
      const begin = maxBy([], select(podRotationStart, same(...matchedPod)));
      return [
        `Since ${since}.`,
        ifPod(
          `Its pod is not Ready, or is gone and not made anew (away since ${ask(begin, 'moment', 'a time that is not known')}).`,
          'It does not answer on the port of its metrics, or its cgroups are gone: the process is not there, or hangs.',
        ),
        'Repositories that are on it alone are out of reach; those of a Gitaly Cluster are served by their other replicas.',
      ].join(' ');
    },
  });
}

type Held = Vector<ExporterLabel>;

/** It may come back on another node, and while there is none it has no node. */
function podNotReady(
  ready: Vector<ExporterLabel | 'namespace' | 'pod' | 'node'>,
  held: Held,
): Vector<ServerLabel> {
  const counted = unless(ready, equals(held, 1), { on: exporterLabels });
  return labelled(equals(maxBy(podLabels, own(counted)), 0), 'node', '');
}

// Pods come and go by design, and Kubernetes tells of them. A virtual machine is there or is not.

function silent(thresholds: Thresholds, held: Held): Vector<ServerLabel> {
  const answers = select(scrapeUp, { component: 'gitaly', pod: '' });
  const now = unless(minOverTime(answers, gaugeWindow(thresholds)), equals(held, 1), { on: exporterLabels });
  const before = maxOverTime(answers, promDuration(thresholds.missingSeriesLookback.value));
  return and(equals(maxBy(serverLabels, own(now)), 0), equals(maxBy(serverLabels, own(before)), 1), {
    on: serverLabels,
  });
}

/** Only while the exporter that knew of its cgroups looks for them. */
function vanished(thresholds: Thresholds, held: Held): Vector<ServerLabel> {
  const window = gaugeWindow(thresholds);
  const cgroups = select(serverInfo, { pod: '' });
  const known = maxBy(
    [...serverLabels, 'job', 'instance'] as const,
    own(maxOverTime(cgroups, promDuration(thresholds.missingSeriesLookback.value))),
  );
  const gone = unless(known, maxBy(serverLabels, own(maxOverTime(cgroups, window))), { on: serverLabels });
  const looking = unless(maxBy(exporterLabels, minOverTime(select(cgroupGitalys), window)), equals(held, 1), {
    on: exporterLabels,
  });
  return maxBy(serverLabels, and(gone, looking, { on: exporterLabels }));
}
