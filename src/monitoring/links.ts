/**
 * What alerts, dashboards and runbooks need to link to each other: the dashboards' uids and the names of their
 * variables. Both are stable, so that links and bookmarks survive upgrades. Alerts and dashboards import this file and
 * never each other.
 */

/** Dashboards of Praefect's database. `namespace` is the exporter's own, because these series have no other. */
export const praefectVariables = [
  'cluster',
  'namespace',
  'job',
  'instance',
  'virtual_storage',
  'storage',
] as const;

/**
 * Dashboards of Gitaly servers, whose series have their own namespace. The variable has another name than the exporter's
 * namespace, so that a selection on one kind of dashboard does not empty the other kind.
 */
export const serverVariables = ['cluster', 'job', 'instance', 'gitaly_namespace', 'pod', 'node'] as const;

/** Every dashboard has all of them, in this order, so that links between dashboards keep each selection. */
export const dashboardVariables = [
  'cluster',
  'namespace',
  'job',
  'instance',
  'virtual_storage',
  'storage',
  'gitaly_namespace',
  'pod',
  'node',
] as const satisfies readonly DashboardVariable[];

export type DashboardVariable = (typeof praefectVariables)[number] | (typeof serverVariables)[number];

/** The label that a variable selects by. */
export const labelOfVariable = (
  variable: DashboardVariable,
): Exclude<DashboardVariable, 'gitaly_namespace'> =>
  variable === 'gitaly_namespace' ? 'namespace' : variable;

/** The first dashboard to open. Alerts about the exporter link to it. */
export const overviewDashboard = { uid: 'gitaly-exporter-overview', variables: praefectVariables } as const;
export const praefectDashboard = { uid: 'gitaly-exporter-praefect', variables: praefectVariables } as const;
export const replicationDashboard = {
  uid: 'gitaly-exporter-replication',
  variables: praefectVariables,
} as const;
export const serversDashboard = { uid: 'gitaly-exporter-servers', variables: serverVariables } as const;
export const limitsDashboard = { uid: 'gitaly-exporter-limits', variables: serverVariables } as const;
export const capacityDashboard = { uid: 'gitaly-exporter-capacity', variables: serverVariables } as const;

/** A panel of a dashboard, as an alert names it: `generate` finds its id, and fails where there is no such panel. */
export interface PanelLink {
  readonly dashboard: {
    readonly uid: string;
    /** In their order on it. */
    readonly variables: readonly DashboardVariable[];
  };
  /** Titles are unique on a dashboard. */
  readonly title: string;
}
