/** An alert as a value: a condition, how long it must hold, and the texts for the person on call. */
import type { PanelLink } from '../src/monitoring/links.ts';
import type { Vector } from '../src/monitoring/promql/index.ts';
import type { Recording } from '../src/monitoring/recording.ts';
import { type AlertName, alertRule, forSeconds } from '../src/rules/alert-rules.ts';
import type { RuleName } from '../src/rules/alert-thresholds.ts';
import type { Severity } from '../src/rules/finding.ts';
import type { Thresholds } from '../src/rules/thresholds.ts';
import { type AnnotationText, type Template, templateParts } from './annotations.ts';

export interface Alert {
  readonly name: RuleName;
  /** critical pages: users are affected, or data is at risk. warning is a ticket. info notifies no one. */
  readonly severity: Severity;
  readonly expression: Vector;
  readonly forSeconds: number;
  /** Why no problem on the page names it; undefined: one does. */
  readonly noProblem: string | undefined;
  /** Over 0: keeps firing for this long after the expression is empty. */
  readonly keepFiringForSeconds: number;
  /** Labels that the rule adds, as templates of the expression's labels; empty values are dropped by Prometheus. */
  readonly labels: Readonly<Record<string, string>>;
  readonly summary: AnnotationText;
  readonly description: AnnotationText;
  readonly panel: PanelLink;
  /** When it fires, for the runbook. Completes "Fires when ...". */
  readonly firesWhen: string;
}

type AlertDefinition<Labels extends string> = (JudgedWithPage | JudgedHere) & {
  readonly expression: Vector<Labels>;
  readonly keepFiringForSeconds?: number;
  readonly labels?: Readonly<Record<string, string>>;
  readonly summary: Template<Labels>;
  readonly description: Template<Labels>;
  readonly panel: PanelLink;
  readonly firesWhen: string;
};

/** No problem on the page stands for the alert. */
interface JudgedHere {
  readonly name: RuleName;
  readonly severity: Severity;
  readonly forSeconds: number;
  /** Why not. */
  readonly noProblem: string;
}

/** A problem on the page names the alert, and has the same severity and duration. */
interface JudgedWithPage {
  readonly name: AlertName;
  readonly severity: Severity;
  readonly forSeconds: number;
  readonly noProblem: undefined;
}

export const judgedWithPage = (name: AlertName, thresholds: Thresholds): JudgedWithPage => {
  const rule = alertRule(name);
  return { name, severity: rule.severity, forSeconds: forSeconds(rule, thresholds), noProblem: undefined };
};

/** The texts can only use labels that the expression carries: another one does not compile. */
export function alert<Labels extends string>(definition: AlertDefinition<Labels>): Alert {
  const parts = templateParts<Labels>();
  return Object.freeze({
    ...definition,
    labels: definition.labels ?? {},
    keepFiringForSeconds: definition.keepFiringForSeconds ?? 0,
    summary: definition.summary(parts),
    description: definition.description(parts),
  });
}

/** Alerts by name, and by severity where several rules share a name. */
export interface AlertsNamed {
  readonly names: readonly RuleName[];
  readonly severity?: Severity;
}

/** While the source fires, the targets notify no one, because they are its consequences. */
export interface Inhibition {
  readonly why: string;
  readonly source: AlertsNamed;
  readonly target: AlertsNamed;
  /** Labels that must be equal on both, or missing on both. */
  readonly equal: readonly string[];
}

/** Alerts on one subject. */
export interface AlertArea {
  /** A heading of docs/alerts.md. */
  readonly title: string;
  readonly alerts: readonly Alert[];
}

/** One rules file: a group of recording rules, and a group of alerts that read them. */
export interface AlertGroup {
  readonly name: string;
  /** `alerts/<file>.rules.yaml`. */
  readonly file: string;
  readonly recordings: readonly Recording[];
  readonly alerts: readonly Alert[];
}

/** A group of this project, with its alerts by area, too. */
export interface ShippedAlertGroup extends AlertGroup {
  readonly areas: readonly AlertArea[];
}
