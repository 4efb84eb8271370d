/** What `gitaly-exporter/alerts` exports: the rules as typed values, their files, and the builders for rules of your own. */
export * as promql from '../src/monitoring/promql/index.ts';
export {
  gaugeWindow,
  highest,
  lowest,
  type Recording,
  recorded,
  recording,
  sustained,
} from '../src/monitoring/recording.ts';
export { defaultMonitoringSettings, type MonitoringSettings } from '../src/monitoring/settings.ts';
export {
  type AlertThresholds,
  alertThresholds,
  type RuleName,
  ruleNames,
  type ThresholdOverrides,
  withOverrides,
} from '../src/rules/alert-thresholds.ts';
export type { Alert, AlertGroup, Inhibition } from './alert.ts';
export { alertGroups } from './index.ts';
export { inhibitions, sharedLoad } from './inhibitions.ts';
export { alertmanagerExample, prometheusRule, type RulesFileSettings, rulesFile } from './rules-file.ts';
