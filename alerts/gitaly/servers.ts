/** What the alerts on Gitaly's servers share: which labels name one, and how its series are read. */

import { promDuration } from '../../src/monitoring/durations.ts';
import {
  type GaugeSelector,
  maxBy,
  maxOverTime,
  minOverTime,
  restored,
  type Vector,
} from '../../src/monitoring/promql/index.ts';
import type { Thresholds } from '../../src/rules/thresholds.ts';
import { gaugeWindow } from '../alert.ts';

/**
 * What a scrape without `honor_labels: true` makes of Gitaly's own namespace and pod, because the exporter's pod has
 * such labels too. Grouped by, they keep two Gitalys of one agent apart either way. docs/scraping.md.
 */
const renamed = ['exported_namespace', 'exported_pod'] as const;
type Renamed = (typeof renamed)[number];

/**
 * One Gitaly: on Kubernetes by namespace, pod and node, on a virtual machine by node alone. Not by job: on Kubernetes
 * one job tells of its cgroups and another one of its pod and its limits.
 */
export const serverLabels = ['cluster', 'namespace', 'pod', 'node', ...renamed] as const;
export type ServerLabel = (typeof serverLabels)[number];

/** One pod of Gitaly, wherever it runs. */
export const podLabels = ['cluster', 'namespace', 'pod', ...renamed] as const;

/** Those with which a text finds the alert's own series. */
export const matchedPod = ['namespace', 'pod', ...renamed] as const;
export const matched = [...matchedPod, 'node'] as const;

/** Only series that name a pod can be taken for a Gitaly's. */
type OfServers<Labels extends string, Of> = 'namespace' | 'pod' extends Labels ? Of : never;

/** The same series, with the labels that they may have besides. */
export const own = <Labels extends string>(
  of: OfServers<Labels, Vector<Labels>>,
): Vector<Labels | Renamed> => {
  const vector: Vector<Labels> = of;
  return { ...vector, labels: [...vector.labels, ...renamed] };
};

/** The series by Gitaly's own namespace and pod, whatever the scrape made of them: to join what two jobs tell. */
export const byOwnName = <Labels extends string>(of: OfServers<Labels, Vector<Labels>>): Vector<Labels> => {
  const vector: Vector = of;
  return restored(restored(vector, 'namespace'), 'pod') as Vector<Labels>;
};

/** The highest value within the window. */
export const highest = <Labels extends string, By extends Labels | Renamed>(
  thresholds: Thresholds,
  by: readonly By[],
  selector: OfServers<Labels, GaugeSelector<Labels>>,
): Vector<By> => maxBy<string, By>(by, maxOverTime<string>(selector, gaugeWindow(thresholds)));

/** The lowest value within the window, by the exporter that has the best of it. */
export const lowest = <Labels extends string, By extends Labels | Renamed>(
  thresholds: Thresholds,
  by: readonly By[],
  selector: OfServers<Labels, GaugeSelector<Labels>>,
): Vector<By> => maxBy<string, By>(by, minOverTime<string>(selector, gaugeWindow(thresholds)));

/** What counters are judged over. */
export const rateWindow = ({ rateWindow: window }: Thresholds) => promDuration(window.value);

/** A label of Gitaly's own, whichever name the scrape left it. */
const eitherLabel = (name: 'namespace' | 'pod', then: string): string =>
  `{{ with or $labels.exported_${name} $labels.${name} }}${then}{{ end }}`;

/** `gitlab/gitaly-0 on worker-1`; a virtual machine's own name. In a text of an alert that has these labels. */
export const serverName = `${eitherLabel('pod', `${eitherLabel('namespace', '{{ . }}/')}{{ . }}{{ with $labels.node }} on {{ end }}`)}{{ $labels.node }}`;

/** Whether the alert's Gitaly is a pod, in a text. */
export const ifPod = (then: string, otherwise: string): string =>
  `{{ if or $labels.exported_pod $labels.pod }}${then}{{ else }}${otherwise}{{ end }}`;
