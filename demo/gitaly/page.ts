/** The /metrics page of a simulated Gitaly, in the format of GitLab 18.11: its limits and some general metrics. */
import { type LimiterState, waitBounds } from './limits.ts';
import type { SimulatedGitaly } from './simulated-gitaly.ts';

const demoGitalyVersion = '18.11.0';

interface PageSample {
  readonly labels?: string;
  readonly suffix?: string;
  readonly value: number;
}

const inProgressHelp = 'Gauge of number of concurrent in-progress calls';
const queuedHelp = 'Gauge of number of queued calls';
const acquiringHelp = 'Histogram of time calls are rate limited (in seconds)';
const droppedHelp = 'Number of requests dropped from the queue';

/** @param now Clock.now() */
export function gitalyPage(gitaly: SimulatedGitaly, now: number): string {
  const rpcs = gitaly.rpcs.map(({ limit, limiter }) => ({
    ...limit,
    state: limiter.state,
    labels: `grpc_method="${limit.method}",grpc_service="${limit.service}",system="gitaly"`,
  }));
  const pack = gitaly.packObjects.state;
  const auth = 'auth="authenticated"';
  const uptime = (now - gitaly.startedAt) / 1000;
  const droppedCalls = ({ dropped }: LimiterState): number => dropped.max_size + dropped.max_time;

  return [
    family(
      'gitaly_burdenmonitor_active_rpcs',
      'gauge',
      'Number of RPCs currently tracked by the burden monitor',
      [{ value: rpcs.reduce((sum, { state }) => sum + state.inProgress, 0) }],
    ),
    family(
      'gitaly_concurrency_limiting_acquiring_seconds',
      'histogram',
      acquiringHelp,
      rpcs.flatMap(({ state, labels }) => histogram(state, labels)),
    ),
    family(
      'gitaly_concurrency_limiting_current_limit',
      'gauge',
      'The current limit value of an adaptive concurrency limit',
      rpcs
        .filter(({ adaptive }) => adaptive !== undefined)
        .map(({ service, method, state }) => ({
          labels: `limit="perRPC/${service}/${method}"`,
          value: state.limit,
        })),
    ),
    family(
      'gitaly_concurrency_limiting_in_progress',
      'gauge',
      inProgressHelp,
      rpcs.map(({ labels, state }) => ({ labels, value: state.inProgress })),
    ),
    family(
      'gitaly_concurrency_limiting_queued',
      'gauge',
      queuedHelp,
      rpcs.map(({ labels, state }) => ({ labels, value: state.queued })),
    ),
    family('gitaly_pack_objects_acquiring_seconds', 'histogram', acquiringHelp, histogram(pack, auth)),
    family(
      'gitaly_pack_objects_dropped_total',
      'counter',
      droppedHelp,
      drops(pack).map(({ reason, value }) => ({ labels: `${auth},reason="${reason}"`, value })),
    ),
    family('gitaly_pack_objects_in_progress', 'gauge', inProgressHelp, [
      { labels: auth, value: pack.inProgress },
    ]),
    family('gitaly_pack_objects_queued', 'gauge', queuedHelp, [{ labels: auth, value: pack.queued }]),
    family(
      'gitaly_requests_dropped_total',
      'counter',
      droppedHelp,
      rpcs.flatMap(({ method, service, state }) =>
        drops(state).map(({ reason, value }) => ({
          labels: `authenticated="true",grpc_method="${method}",grpc_service="${service}",reason="${reason}",system="gitaly"`,
          value,
        })),
      ),
    ),
    family('gitlab_build_info', 'gauge', 'Current build info for this GitLab Service', [
      { labels: `built="20260416.101500",git_version="2.54.0",version="${demoGitalyVersion}"`, value: 1 },
    ]),
    family('go_goroutines', 'gauge', 'Number of goroutines that currently exist.', [
      { value: 60 + rpcs.reduce((sum, { state }) => sum + 4 * state.inProgress, 0) },
    ]),
    family(
      'grpc_server_handled_total',
      'counter',
      'Total number of RPCs completed on the server, regardless of success or failure.',
      rpcs.flatMap(({ method, service, state }) => [
        { labels: handled(service, method, 'OK'), value: state.served },
        { labels: handled(service, method, 'ResourceExhausted'), value: droppedCalls(state) },
      ]),
    ),
    family('process_cpu_seconds_total', 'counter', 'Total user and system CPU time spent in seconds.', [
      { value: Math.round(uptime * 14) / 100 },
    ]),
    family('process_start_time_seconds', 'gauge', 'Start time of the process since unix epoch in seconds.', [
      { value: gitaly.startedAt / 1000 },
    ]),
  ].join('');
}

const handled = (service: string, method: string, code: string): string =>
  `grpc_code="${code}",grpc_method="${method}",grpc_service="${service}",grpc_type="server_stream"`;

/** As in Gitaly, a reason appears with its first drop. */
const drops = ({ dropped }: LimiterState): readonly { readonly reason: string; readonly value: number }[] =>
  Object.entries(dropped)
    .map(([reason, value]) => ({ reason, value }))
    .filter(({ value }) => value > 0);

const histogram = ({ waits }: LimiterState, labels: string): readonly PageSample[] => [
  ...waitBounds.map((bound, index) => ({
    suffix: '_bucket',
    labels: `${labels},le="${bound}"`,
    value: waits.buckets[index] ?? 0,
  })),
  { suffix: '_bucket', labels: `${labels},le="+Inf"`, value: waits.count },
  { suffix: '_sum', labels, value: waits.sum },
  { suffix: '_count', labels, value: waits.count },
];

function family(name: string, type: string, help: string, rows: readonly PageSample[]): string {
  if (rows.length === 0) return '';
  const lines = rows.map(
    ({ labels, suffix = '', value }) =>
      `${name}${suffix}${labels === undefined ? '' : `{${labels}}`} ${value}`,
  );
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join('\n')}\n`;
}
