/**
 * What alerts, dashboards and runbooks need to link to each other: the dashboards' uids, the ids of their panels, and
 * the names of their variables. All are stable, so that links and bookmarks survive upgrades; the id of a removed panel
 * is never reused. Alerts and dashboards both import this file and never each other.
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

/*
 * The dashboards and the panels that an alert or another dashboard links to. The ids of the other panels are in
 * dashboards/, next to each panel.
 */

/** The first dashboard to open. Alerts about the exporter link to it. */
export const overviewDashboard = {
  uid: 'gitaly-exporter-overview',
  variables: praefectVariables,
  panels: { exporters: 31, collectors: 32, staleCollectors: 33, firingAlerts: 11 },
} as const;

export const praefectDashboard = {
  uid: 'gitaly-exporter-praefect',
  variables: praefectVariables,
  panels: {
    unavailable: 1,
    lost: 2,
    singleReplica: 3,
    storagesUnhealthy: 4,
    praefects: 5,
    database: 6,
    seenHealthy: 11,
    storageHealthy: 12,
    unavailableOverTime: 21,
    replicaCounts: 22,
    atRisk: 23,
    primaries: 24,
    primaryMoves: 25,
    connections: 41,
    blocked: 42,
    transactions: 43,
    tables: 44,
  },
} as const;

export const replicationDashboard = {
  uid: 'gitaly-exporter-replication',
  variables: praefectVariables,
  panels: {
    jobsByState: 11,
    jobsByTarget: 12,
    oldestJob: 13,
    jobRates: 14,
    timeToDrain: 15,
    staleJobs: 16,
    outdated: 21,
    stuck: 22,
    behindSince: 23,
    unscheduled: 24,
    generationsBehind: 25,
    verification: 41,
    verificationOldest: 42,
  },
} as const;

export const serversDashboard = {
  uid: 'gitaly-exporter-servers',
  variables: serverVariables,
  panels: {
    monitored: 1,
    down: 3,
    oomKills: 11,
    oomByBucket: 12,
    memoryShare: 21,
    bucketMemory: 31,
    bucketCpu: 32,
    bucketThrottled: 33,
    throttledShare: 41,
    pressureMemory: 51,
    pressureCpu: 52,
    pressureIo: 53,
    ready: 61,
    restarts: 62,
    waiting: 63,
    disruptions: 64,
    rotationPhases: 71,
    rotations: 72,
  },
} as const;

export const limitsDashboard = {
  uid: 'gitaly-exporter-limits',
  variables: serverVariables,
  panels: {
    dropsByReason: 1,
    dropsByRpc: 2,
    queued: 3,
    wait: 4,
    inProgress: 5,
    limit: 6,
    packDropped: 11,
    packUse: 12,
    backoffs: 14,
    unreadable: 15,
    errorRatio: 28,
  },
} as const;

export const capacityDashboard = {
  uid: 'gitaly-exporter-capacity',
  variables: serverVariables,
  panels: {
    checksFailing: 11,
    checksUnknown: 12,
    memorySizing: 21,
    cpuSizing: 22,
    memoryForecast: 31,
    volumes: 36,
    inodes: 37,
  },
} as const;

export const linkedDashboards = [
  overviewDashboard,
  praefectDashboard,
  replicationDashboard,
  serversDashboard,
  limitsDashboard,
  capacityDashboard,
] as const;

/** A panel of a dashboard, as the link of an alert names it. */
export interface PanelLink {
  readonly uid: string;
  readonly panel: number;
  /** The dashboard's variables, in their order on it. */
  readonly variables: readonly DashboardVariable[];
}

interface LinkedDashboard {
  readonly uid: string;
  readonly variables: readonly DashboardVariable[];
  readonly panels: Readonly<Record<string, number>>;
}

export const panelLink = <D extends LinkedDashboard>(
  dashboard: D,
  panel: keyof D['panels'] & string,
): PanelLink => ({
  uid: dashboard.uid,
  panel: dashboard.panels[panel] ?? 0,
  variables: dashboard.variables,
});
