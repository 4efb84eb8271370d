/** The exporter's own series of the last days, read from Prometheus and kept by server, with what could not be read. */
import type { Clock } from '../../lib/clock.ts';
import type { Identity } from '../../sources/identity.ts';
import type { Prometheus, VectorSample } from './prometheus.ts';
import { type CurrentQuery, currentQueries, type DayQuery, dayQueries } from './queries.ts';

/** One series of one server by day, the last 24 hours first. */
export interface DailySeries {
  /** `gitaly.SSHService/SSHUploadPack`; empty for others than RPCs. */
  readonly rpc: string;
  /** The reason of drops, the level of OOM kills, or kind and bound of a limit; else empty. */
  readonly detail: string;
  readonly days: readonly (number | undefined)[];
}

export interface ServerHistory {
  /** Label of the Prometheus, empty without one. */
  readonly cluster: string;
  /** Of a pod, the node on which it was last. */
  readonly identity: Identity;
  /** Of a query of the last day only the first entry. */
  series(query: DayQuery | CurrentQuery): readonly DailySeries[];
}

export interface History {
  readonly servers: readonly ServerHistory[];
  /** What is missing or partial, for people. No secrets. */
  readonly problems: readonly string[];
}

export type HistoryResult =
  | { readonly ok: true; readonly history: History }
  | { readonly ok: false; readonly message: string };

export interface HistoryOptions {
  readonly prometheus: Prometheus;
  readonly days: number;
  readonly clock: Clock;
}

const dayMs = 86_400_000;
const maxServers = 500;
/** An expensive query fails every day; after these it is not repeated. */
const maxFailures = 2;

/** One query at a time, the newest day first, so that what an abort leaves is complete. Never rejects. */
export async function readHistory(
  { prometheus, days, clock }: HistoryOptions,
  signal: AbortSignal,
): Promise<HistoryResult> {
  const now = clock.now();
  const servers = createServers(days);
  const failures = new Map<string, { readonly message: string; count: number }>();
  const warnings = new Set<string>();
  let end: string | undefined;
  let daysRead = 0;

  /** Undefined: not read. */
  async function read(
    name: string,
    text: string,
    time: number,
  ): Promise<readonly VectorSample[] | undefined> {
    if (end !== undefined || (failures.get(name)?.count ?? 0) >= maxFailures) return undefined;
    if (signal.aborted) {
      end = 'was not read completely in time (--timeout)';
      return undefined;
    }
    const response = await prometheus.query(text, time, signal);
    if (response.ok) {
      for (const warning of response.warnings) warnings.add(warning);
      return response.samples;
    }
    if (response.isFinal) end = response.message;
    else failures.set(name, { message: response.message, count: (failures.get(name)?.count ?? 0) + 1 });
    return undefined;
  }

  for (const [name, { text }] of Object.entries(currentQueries))
    for (const sample of (await read(name, text, now)) ?? []) servers.add(name, 0, sample);

  for (let day = 0; day < days && end === undefined; day++) {
    let found = 0;
    let queries = 0;
    for (const [name, { text }] of Object.entries(dayQueries)) {
      // Without a server that day there is nothing else.
      if (queries >= 2 && found === 0) break;
      const samples = await read(name, text, now - day * dayMs);
      queries++;
      found += samples?.length ?? 1;
      for (const sample of samples ?? []) servers.add(name, day, sample);
    }
    if (end === undefined && found > 0) daysRead++;
  }
  if (end !== undefined && daysRead === 0) return { ok: false, message: end };
  return {
    ok: true,
    history: {
      servers: servers.all(),
      problems: [
        ...(end === undefined ? [] : [`Only ${daysRead} of ${days} days were read: Prometheus ${end}.`]),
        ...[...failures].map(
          ([name, { message, count }]) =>
            `${metricName(name)} (${name}) was not read ${count < maxFailures ? 'on one day' : 'completely'}: Prometheus ${message}.`,
        ),
        ...[...warnings].slice(0, 5).map((text) => `Prometheus warns: ${text}.`),
        ...(servers.omitted() === 0
          ? []
          : [`${servers.omitted()} series of more than ${maxServers} servers were left out.`]),
      ],
    },
  };
}

const metricName = (name: string): string =>
  ({ ...dayQueries, ...currentQueries })[name as DayQuery]?.metrics[0]?.name ?? '';

/** Counts of which two series of one server and day are summed, as when a pod moved; of all others the higher one counts. */
const sums: ReadonlySet<string> = new Set<DayQuery>([
  'cgroupSteps',
  'scrapeSteps',
  'oomKills',
  'dropped',
  'packDropped',
]);

function createServers(days: number) {
  interface Writable {
    readonly cluster: string;
    readonly identity: Identity;
    readonly series: Map<string, Map<string, { rpc: string; detail: string; days: (number | undefined)[] }>>;
  }
  const servers = new Map<string, Writable>();
  let omitted = 0;

  function serverOf(cluster: string, identity: Identity): Writable | undefined {
    const { namespace, pod, node } = identity;
    const key = JSON.stringify([cluster, namespace, pod, pod === '' ? node : '']);
    const known = servers.get(key);
    if (known !== undefined || servers.size >= maxServers) return known;
    const server = { cluster, identity, series: new Map() };
    servers.set(key, server);
    return server;
  }

  return {
    add(query: string, day: number, { labels, value }: VectorSample): void {
      const label = (name: string): string => labels.get(name) ?? '';
      const identity = { namespace: label('namespace'), pod: label('pod'), node: label('node') };
      const server = serverOf(label('cluster'), identity);
      if (server === undefined) {
        omitted++;
        return;
      }
      const service = label('grpc_service');
      const rpc = service === '' ? '' : `${service}/${label('grpc_method')}`;
      const detail = ['reason', 'level', 'cgroup_layout', 'kind', 'bound']
        .map(label)
        .filter((part) => part)
        .join(' ');
      const ofQuery = server.series.get(query) ?? new Map();
      server.series.set(query, ofQuery);
      const key = JSON.stringify([rpc, detail]);
      const series = ofQuery.get(key) ?? { rpc, detail, days: Array<undefined>(days).fill(undefined) };
      ofQuery.set(key, series);
      const before = series.days[day];
      series.days[day] =
        before === undefined ? value : sums.has(query) ? before + value : Math.max(before, value);
    },
    omitted: () => omitted,
    all(): readonly ServerHistory[] {
      return [...servers.values()].map(({ cluster, identity, series }) => ({
        cluster,
        identity,
        series: (query) => [...(series.get(query)?.values() ?? [])],
      }));
    },
  };
}
