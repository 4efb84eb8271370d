/** Whether Gitaly servers serve, and how well. */
import { durationInWords, lastInWords, promDuration } from '../../src/monitoring/durations.ts';
import { targetUp } from '../../src/monitoring/external-metrics.ts';
import { limitsDashboard, serversDashboard } from '../../src/monitoring/links.ts';
import {
  above,
  and,
  atLeast,
  avgOverTime,
  equals,
  increase,
  maxBy,
  maxOverTime,
  minBy,
  multiply,
  not,
  or,
  select,
  sumBy,
  unless,
  type Vector,
} from '../../src/monitoring/promql/index.ts';
import { eachHighest, lowest, recorded, sustained } from '../../src/monitoring/recording.ts';
import {
  hostLabels,
  podLabels,
  podsWithAgent,
  type ServerLabel,
  serverLabels,
  serverMaintenance,
  serverStorage,
  serving,
} from '../../src/monitoring/recordings/gitaly.ts';
import {
  type BurnWindow,
  grpcErrorRatio,
  grpcErrorRatioOfDays,
  grpcLabels,
  grpcRate,
} from '../../src/monitoring/recordings/platform.ts';
import type { AlertThresholds } from '../../src/rules/alert-thresholds.ts';
import { count, hour, minute, seconds, type ThresholdTable } from '../../src/rules/thresholds.ts';
import { cgroupGitalys, restarts as serverRestarts } from '../../src/sources/cgroup/metrics.ts';
import { scrapeUp } from '../../src/sources/gitaly/metrics.ts';
import {
  podPhase,
  podReady,
  podRestarts,
  podWaitingContainers,
  watchCurrent,
} from '../../src/sources/kubernetes/metrics.ts';
import { serverInfo } from '../../src/sources/server-info.ts';
import { type Alert, alert, judgedWithPage } from '../alert.ts';
import { percent, serverName, withoutProblem } from '../texts.ts';

export const availabilityThresholds = {
  gitalyUnwatched: seconds(
    15 * minute,
    'A Gitaly pod is Ready, and no agent reports its cgroups: longer than the start of a node and its agent.',
  ),
  errorBudgetMinimum: count(3600, "Gitaly's RPCs within an hour: the ratio of fewer means nothing."),
  errorBudgetFor: seconds(2 * minute, 'The ranges of the ratio already span minutes.'),
  errorBudgetSlowFor: seconds(
    3 * hour,
    'A ticket about three days: no hurry, and longer than the short history of a new Prometheus misleads.',
  ),
  restartLoop: count(
    3,
    'Restarts within 30 minutes: of the container for another reason than an OOM kill, of a Gitaly on a virtual machine for any.',
  ),
  podPending: seconds(10 * minute, 'Longer than a new node takes to start.'),
} satisfies ThresholdTable;

export const availabilityAlerts = (thresholds: AlertThresholds): readonly Alert[] => [
  down(thresholds),
  errorBudgetBurn(thresholds, { severity: 'critical', factor: 14.4, long: '1h', short: '5m' }),
  errorBudgetBurn(thresholds, { severity: 'warning', factor: 6, long: '6h', short: '30m' }),
  errorBudgetSlowBurn(thresholds),
  restartLoop(thresholds),
  podPending(thresholds),
  metricsUnreadable(thresholds),
  ...unwatched(thresholds),
  unwatchedHost(thresholds),
];

function down(thresholds: AlertThresholds): Alert {
  const { gitalyDown, keepFiring } = thresholds;
  const notServing = equals(minBy(serverLabels, recorded(serving)), 0);
  const on = { on: serverLabels };
  // One alert for each storage that it serves, so that PraefectStorageUnhealthy of the same storage inhibits it.
  const ofStorages = multiply(recorded(serverStorage), notServing, { ...on, group: 'left' });
  return alert({
    ...judgedWithPage('GitalyDown', thresholds),
    expression: unless(or<string, ServerLabel>(ofStorages, notServing, on), recorded(serverMaintenance), on),
    keepFiringForSeconds: keepFiring.value,
    // Without a known storage its own name, which storages often have, too.
    labels: { storage: '{{ or $labels.storage $labels.pod $labels.node }}' },
    panel: { dashboard: serversDashboard, title: 'Servers down' },
    firesWhen: `for ${durationInWords(gitalyDown.value)}, outside of maintenance windows, the pod of a Gitaly was not Ready, or a Gitaly on a virtual machine that served within the last week did not respond or had no cgroups`,
    summary: () =>
      `Gitaly ${serverName} is down{{ with $labels.virtual_storage }} (storage {{ $labels.storage }} of {{ . }}){{ end }}`,
    description: ({ list, same }) =>
      `Repositories that only this Gitaly has are unavailable; others are served by their other replicas. {{ if $labels.pod }}Read the events of the pod; containers that wait: ${list(
        above(maxBy(['reason'], select(podWaitingContainers, same('namespace', 'pod'))), 0),
        'reason',
        'none',
      )}.{{ else }}Read the log of its service.{{ end }}`,
  });
}

interface Burn {
  readonly severity: 'critical' | 'warning';
  readonly factor: number;
  readonly long: BurnWindow;
  readonly short: BurnWindow;
}

function errorBudgetBurn(thresholds: AlertThresholds, { severity, factor, long, short }: Burn): Alert {
  const { errorBudget, errorBudgetFor, errorBudgetMinimum, keepFiring } = thresholds;
  const limit = Number((factor * errorBudget.value).toPrecision(6));
  const ratio = above(recorded(grpcErrorRatio[long]), limit);
  const on = { on: grpcLabels };
  return alert({
    name: 'GitalyErrorBudgetBurn',
    severity,
    expression: and(
      and(ratio, above(recorded(grpcErrorRatio[short]), limit), on),
      above(recorded(grpcRate), errorBudgetMinimum.value / 3600),
      on,
    ),
    forSeconds: errorBudgetFor.value,
    noProblem: withoutProblem.notRead,
    keepFiringForSeconds: severity === 'critical' ? keepFiring.value : 0,
    panel: { dashboard: limitsDashboard, title: 'Error ratio of all RPCs' },
    firesWhen: `for ${durationInWords(errorBudgetFor.value)}, over ${percent(limit)} of Gitaly's RPCs (${factor} times the error budget of ${percent(errorBudget.value)}) failed by the server's fault, over ${long} and over ${short}, with over ${errorBudgetMinimum.value.toLocaleString('en')} RPCs within an hour. Needs grpc_server_handled_total of Gitaly in this Prometheus; without it the alert cannot fire`,
    summary: ({ label, value }) => `${value('percent')} of Gitaly's RPCs fail (job ${label('job')})`,
    description: ({ label }) =>
      `Errors Internal, Unavailable, Unknown or DataLoss within ${long}. Users see failed pages, clones and pushes. Find the RPC and code: sum by (grpc_method, grpc_code) (rate(grpc_server_handled_total{job="${label('job')}"}[5m])).`,
  });
}

/** The budget is used up by the end of the month. Its gate is an average, so that a quiet night does not resolve it. */
function errorBudgetSlowBurn(thresholds: AlertThresholds): Alert {
  const { errorBudget, errorBudgetMinimum, errorBudgetSlowFor } = thresholds;
  const on = { on: grpcLabels };
  return alert({
    name: 'GitalyErrorBudgetBurn',
    severity: 'warning',
    expression: and(
      and(
        above(recorded(grpcErrorRatioOfDays), errorBudget.value),
        above(recorded(grpcErrorRatio['6h']), errorBudget.value),
        on,
      ),
      above(avgOverTime(recorded(grpcRate), '3d'), errorBudgetMinimum.value / 3600),
      on,
    ),
    labels: { window: '3d' },
    forSeconds: errorBudgetSlowFor.value,
    noProblem: withoutProblem.notRead,
    panel: { dashboard: limitsDashboard, title: 'Error ratio of all RPCs' },
    firesWhen: `for ${durationInWords(errorBudgetSlowFor.value)}, over ${percent(errorBudget.value)} of Gitaly's RPCs (the error budget) failed by the server's fault, over 3d and over 6h, with over ${errorBudgetMinimum.value.toLocaleString('en')} RPCs per hour on average. Needs the same metrics`,
    summary: ({ label, value }) =>
      `${value('percent')} of Gitaly's RPCs failed within 3 days (job ${label('job')})`,
    description: ({ label }) =>
      `Errors Internal, Unavailable, Unknown or DataLoss. At this rate no error budget is left. Find the RPC and code: sum by (grpc_method, grpc_code) (increase(grpc_server_handled_total{job="${label('job')}"}[6h])).`,
  });
}

/** In GitLab's chart and operator. The restart of a sidecar is not an outage of Gitaly. */
const gitalyContainer = 'gitaly';

function restartLoop(thresholds: AlertThresholds): Alert {
  const { restartLoop: least } = thresholds;
  const ofPods = sumBy(
    podLabels,
    maxBy(
      [...podLabels, 'node', 'reason'],
      increase(select(podRestarts, { container: gitalyContainer, reason: not('OOMKilled') }), '30m'),
    ),
  );
  const ofHosts = maxBy(hostLabels, increase(select(serverRestarts), '30m'));
  return alert({
    name: 'GitalyRestartLoop',
    severity: 'warning',
    expression: atLeast(or<string, ServerLabel>(ofPods, ofHosts), least.value - 0.5),
    forSeconds: 0,
    noProblem: withoutProblem.overTime,
    panel: { dashboard: serversDashboard, title: 'Container restarts' },
    firesWhen: `the container of Gitaly was restarted ${least.value} times or more within 30 minutes for another reason than an OOM kill, or a Gitaly on a virtual machine for any reason (needs Gitaly's cgroups there)`,
    summary: ({ value }) => `Gitaly ${serverName} restarted ${value('count')} times within 30 minutes`,
    description: ({ label }) =>
      `Each restart ends the requests in flight. {{ if $labels.pod }}The log of the previous run shows the cause: kubectl -n ${label('namespace')} logs ${label('pod')} -c gitaly --previous.{{ else }}The log of its service, and the kernel's for an OOM kill, show the cause.{{ end }}`,
  });
}

function podPending(thresholds: AlertThresholds): Alert {
  const { podPending: pendingFor } = thresholds;
  return alert({
    name: 'GitalyPodPending',
    severity: 'warning',
    expression: equals(lowest(thresholds, podLabels, select(podPhase, { phase: 'Pending' })), 1),
    forSeconds: pendingFor.value,
    noProblem: withoutProblem.shownAsValue,
    panel: { dashboard: serversDashboard, title: 'Containers waiting to start' },
    firesWhen: `a pod of Gitaly has been Pending for ${durationInWords(pendingFor.value)}`,
    summary: ({ label }) => `Gitaly pod ${label('pod')} is Pending`,
    description: ({ label, list, same }) =>
      `Containers that wait: ${list(
        above(maxBy(['reason'], select(podWaitingContainers, same('namespace', 'pod'))), 0),
        'reason',
        'none, the pod is not scheduled',
      )}. No node has room for it, its volume cannot be attached, or its image cannot be pulled. See the events of kubectl -n ${label('namespace')} describe pod ${label('pod')}.`,
  });
}

function metricsUnreadable(thresholds: AlertThresholds): Alert {
  const { missingSeriesLookback, serverMetricsUnread } = thresholds;
  const targets = select(scrapeUp, { component: 'gitaly', pod: not('') });
  const on = { on: podLabels };
  // A target that the exporter no longer has is as unknown as one that it cannot read.
  const unread = unless(
    maxBy(podLabels, maxOverTime(targets, promDuration(missingSeriesLookback.value))),
    equals(eachHighest(thresholds, targets), 1),
    on,
  );
  // Not the last known state: while no exporter reports pods, GitalyExporterDown or GitalyExporterMissing fires instead.
  const ready = equals(eachHighest(thresholds, select(podReady)), 1);
  return alert({
    ...judgedWithPage('GitalyMetricsUnreadable', thresholds),
    expression: and(unread, ready, on),
    panel: { dashboard: limitsDashboard, title: 'Unreadable servers' },
    firesWhen: `for ${durationInWords(serverMetricsUnread.value)}, the exporter could not read the metrics of a Gitaly pod that is Ready, or no exporter reports them that did within ${lastInWords(missingSeriesLookback.value)}`,
    summary: () => `The metrics of Gitaly ${serverName} cannot be read`,
    description: () =>
      "The pod is Ready, but the exporter does not get its metrics. The use of its limits is unknown, and no alert on dropped requests can fire. Check prometheus_listen_addr and the network policy; the exporter's page shows the reason.",
  });
}

/** Two rules, as one expression would be too long to read. Where no agent was ever installed, none is missing. */
function unwatched(thresholds: AlertThresholds): readonly Alert[] {
  const { gitalyUnwatched, missingSeriesLookback } = thresholds;
  const lookback = promDuration(missingSeriesLookback.value);
  const ready = equals(maxBy(podLabels, recorded(serving, { source: 'pod' })), 1);
  const ofCluster = { on: ['cluster'] } as const;
  const someAgent = maxOverTime(podsWithAgent, lookback);
  const rule = (
    expression: Vector<(typeof podLabels)[number]>,
    whileAgents: string,
    // Without it, Prometheus takes two rules of this name for duplicates.
    labels: Readonly<Record<string, string>> = {},
  ): Alert =>
    alert({
      name: 'GitalyUnwatched',
      severity: 'warning',
      labels,
      expression,
      forSeconds: sustained(thresholds, gitalyUnwatched.value),
      noProblem:
        'only Prometheus sees that no agent reports a pod: an exporter of the cluster does not know the agents',
      panel: { dashboard: serversDashboard, title: 'Servers monitored' },
      firesWhen: `for ${durationInWords(gitalyUnwatched.value)}, no agent reported the cgroups of a Gitaly pod that is Ready, ${whileAgents}`,
      summary: ({ label }) => `No agent reports on Gitaly pod ${label('pod')}`,
      description: () =>
        'Its memory, CPU and OOM kills are unknown, and no alert on them can fire. Check that an agent runs on its node, is scraped, and may read the cgroups.',
    });
  // Agents do not run on the nodes of Gitaly, as those have taints, or find none there.
  const agents = and(
    maxOverTime(select(cgroupGitalys), lookback),
    maxOverTime(select(watchCurrent, { resource: 'pods' }), lookback),
    { on: ['cluster', 'job', 'instance'] },
  );
  return [
    rule(
      and(unless(ready, eachHighest(thresholds, podsWithAgent), { on: podLabels }), someAgent, ofCluster),
      'while some agent did within the last day',
    ),
    rule(
      and(unless(ready, someAgent, ofCluster), agents, ofCluster),
      'nor that of any other one within the last day, while agents ran',
      { server: 'pod' },
    ),
  ];
}

/** An agent that responds and has lost its Gitaly is GitalyDown, one that does not respond is GitalyExporterDown. */
function unwatchedHost(thresholds: AlertThresholds): Alert {
  const { gitalyUnwatched, missingSeriesLookback } = thresholds;
  const hosts = select(serverInfo, { pod: '' });
  const known = maxBy(
    [...hostLabels, 'job', 'instance'],
    maxOverTime(hosts, promDuration(missingSeriesLookback.value)),
  );
  const target = ['cluster', 'job', 'instance'] as const;
  const forgotten = unless(known, eachHighest(thresholds, select(targetUp)), { on: target });
  return alert({
    name: 'GitalyUnwatched',
    severity: 'warning',
    // Without it, Prometheus takes the two rules of this name for duplicates.
    labels: { server: 'virtual_machine' },
    expression: maxBy(hostLabels, unless(forgotten, eachHighest(thresholds, hosts), { on: hostLabels })),
    forSeconds: sustained(thresholds, gitalyUnwatched.value),
    noProblem: 'only Prometheus sees that it no longer has an agent as a target',
    panel: { dashboard: serversDashboard, title: 'Servers monitored' },
    firesWhen: `for ${durationInWords(gitalyUnwatched.value)}, Prometheus has no target that reports the Gitaly of a virtual machine, which one did within ${lastInWords(missingSeriesLookback.value)}`,
    summary: ({ label }) => `No agent reports on the Gitaly of ${label('node')}`,
    description: () =>
      'Whether it runs, its memory, CPU, OOM kills and dropped requests are unknown, and no alert on them can fire. Add its exporter to the targets of Prometheus again (service discovery, labels).',
  });
}
