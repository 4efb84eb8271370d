/** What `gitaly-exporter/dashboards` exports: the builders behind the dashboards, for dashboards of your own. */
export * as promql from '../src/monitoring/promql/index.ts';
export { defaultMonitoringSettings, type MonitoringSettings } from '../src/monitoring/settings.ts';
export {
  buildDashboard,
  type Dashboard,
  type DashboardDefinition,
  type DashboardRow,
  type DashboardSettings,
} from './dashboard.ts';
export { dashboards } from './index.ts';
export { barGauge, heatmap, type SizedPanel, stat, stateTimeline, table, timeseries } from './panels.ts';
export { praefectCounter, praefectGauge, serverBuckets, serverCounter, serverGauge } from './variables.ts';
