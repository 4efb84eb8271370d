/**
 * What an alert is: an expression with the time for which it has to hold, and what it tells the person whom it
 * wakes. Pure values; `rules-file.ts` writes them.
 */

import { promDuration } from '../src/monitoring/durations.ts';
import type { PanelLink } from '../src/monitoring/links.ts';
import type { Range, targetLabels, Vector } from '../src/monitoring/promql/index.ts';
import type { AlertName } from '../src/rules/alert-rules.ts';
import type { Severity } from '../src/rules/finding.ts';
import { gaugeWindowSeconds, type Thresholds } from '../src/rules/thresholds.ts';
import { type AnnotationText, type Template, templateOf } from './annotations.ts';

/**
 * What tells one Praefect cluster from another in the same Prometheus; aggregation keeps these and drops the
 * rest, so that two exporters for one cluster count once. Two clusters under one job need a label `cluster`.
 */
export const clusterLabels = [
  'cluster',
  'namespace',
  'job',
] as const satisfies readonly (typeof targetLabels)[number][];
export type ClusterLabel = (typeof clusterLabels)[number];

export interface Alert {
  readonly name: string;
  readonly severity: Severity;
  readonly expression: Vector;
  readonly forSeconds: number;
  /** Over 0: stays firing for this long after the expression stopped to hold. */
  readonly keepFiringForSeconds: number;
  readonly summary: AnnotationText;
  readonly description: AnnotationText;
  /** The panel that shows it. */
  readonly panel: PanelLink;
  /** One sentence for the runbook: when it fires, in words. */
  readonly firesWhen: string;
}

export interface AlertDefinition<Labels extends string> {
  readonly name: AlertName;
  readonly severity: Severity;
  readonly expression: Vector<Labels>;
  readonly forSeconds: number;
  readonly keepFiringForSeconds?: number;
  readonly summary: Template<Labels>;
  readonly description: Template<Labels>;
  readonly panel: PanelLink;
  readonly firesWhen: string;
}

/** Checks the texts against the labels that the expression carries: one that it lacks does not compile. */
export function alert<Labels extends string>(definition: AlertDefinition<Labels>): Alert {
  const { name, expression, severity } = definition;
  const text = templateOf(name, severity, expression.labels);
  return Object.freeze({
    ...definition,
    keepFiringForSeconds: definition.keepFiringForSeconds ?? 0,
    summary: definition.summary(text),
    description: definition.description(text),
  });
}

/** The window over which gauges are judged, so that one missed scrape does not start an alert's time anew. */
export const gaugeWindow = (thresholds: Thresholds): Range => promDuration(gaugeWindowSeconds(thresholds));

/**
 * `for`, so that only what was bad for longer than `seconds` fires: a bad sample stays in the window of
 * `gaugeWindow` after all is well again, and that time does not count.
 */
export const sustained = (thresholds: Thresholds, seconds: number): number =>
  seconds + gaugeWindowSeconds(thresholds);

/** Alerts by name, and by severity where rules of one name have several. */
export interface AlertsNamed {
  readonly names: readonly string[];
  readonly severity?: Severity;
}

/** Alerts that another one makes superfluous: while it fires, they notify nobody. */
export interface Inhibition {
  readonly why: string;
  readonly source: AlertsNamed;
  readonly target: AlertsNamed;
  /** Labels that must be equal on both (or missing on both). */
  readonly equal: readonly string[];
}

/** One rules file: what is loaded together. */
export interface AlertGroup {
  readonly name: string;
  /** `alerts/<file>.rules.yaml`. */
  readonly file: string;
  readonly alerts: readonly Alert[];
  readonly inhibitions: readonly Inhibition[];
}
