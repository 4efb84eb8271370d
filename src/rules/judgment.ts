/** An operator's values by which alerts, the problems on the page and dashboards judge: one value for all of them. */
import type { Settings } from '../config/sections/index.ts';
import type { RuleName } from './alert-thresholds.ts';
import { type AlertThresholds, alertThresholds, withOverrides } from './alert-thresholds.ts';
import type { Severity } from './finding.ts';

export interface Judgment {
  readonly thresholds: AlertThresholds;
  /** In place of an alert's own. `none`: there is no rule, and the page shows the problem as info. */
  readonly severities: ReadonlyMap<RuleName, Severity | 'none'>;
}

export const defaultJudgment: Judgment = Object.freeze({
  thresholds: alertThresholds,
  severities: new Map(),
});

/** Of settings without problems: thresholds in range and in order. */
export const judgmentOf = ({ alerts, praefect }: Pick<Settings, 'alerts' | 'praefect'>): Judgment => ({
  thresholds: withOverrides({
    ...alerts.threshold,
    replicaStuckThreshold: Math.ceil(praefect.stuckThreshold / 1000),
  }),
  severities: new Map(alerts.severity?.map(({ name, value }) => [name, value])),
});
