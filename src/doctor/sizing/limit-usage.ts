/** How the limits of a group of servers were used, from their history. */
import { type Known, known } from '../../lib/known.ts';
import type { LimitUsage } from '../../rules/checks/limit-sizing.ts';
import type { Trend } from '../../rules/checks/sizing-inputs.ts';
import { packObjectsName } from '../../rules/checks/sizing-values.ts';
import { hasBuiltInLimit } from '../../sources/gitaly/limits.ts';
import type { DailySeries } from './history.ts';
import type { CurrentQuery, DayQuery } from './queries.ts';

export const knownAmount = (fact: Known<number>): number | undefined =>
  'value' in fact ? fact.value : undefined;

/** increase() extrapolates to the ends of the day. */
export const rounded = (fact: Known<number>): Known<number> =>
  'value' in fact ? known(Math.ceil(fact.value)) : fact;

export interface ServerGroup {
  readonly isSingle: boolean;
  /** Seconds in which at least one server was there. */
  seconds(query: 'cgroupSteps' | 'scrapeSteps'): number;
  /** The highest value of any server and day, with its trend. `rpc` and `detail`: only series with these. */
  peak(
    query: DayQuery,
    p99?: DayQuery,
    rpc?: string,
  ): { readonly value: Known<number>; readonly trend: Trend };
  /** Summed over servers and days; unknown without a series. */
  total(query: DayQuery, isWanted?: (series: DailySeries) => boolean): Known<number>;
  /** The lowest of all servers: a limit that differs is being changed. */
  current(query: CurrentQuery, isWanted?: (series: DailySeries) => boolean): Known<number>;
  /** Every RPC with a series of the query. */
  rpcs(query: CurrentQuery): readonly string[];
  details(query: CurrentQuery): ReadonlySet<string>;
}

export function highestOf(values: readonly (number | undefined)[]): number | undefined {
  const found = values.filter((value) => value !== undefined);
  return found.length === 0 ? undefined : found.reduce((most, value) => Math.max(most, value), -Infinity);
}

/** Drops by what a limit does: a client that left (`other`) is none of it. */
const isByLimit = ({ detail }: DailySeries): boolean => detail === 'queue_full' || detail === 'queue_wait';

export function limitUsages(group: ServerGroup): readonly LimitUsage[] {
  const rpcs = group.rpcs('rpcLimits').filter((rpc) => {
    const [service = '', method = ''] = rpc.split('/');
    return !hasBuiltInLimit({ service, method });
  });
  return [
    ...rpcs.flatMap((rpc) => {
      const progress = group.peak('inProgressPeak', 'inProgressP99', rpc);
      const queued = group.peak('queuedPeak', 'queuedP99', rpc);
      const dropped = group.total('dropped', (series) => series.rpc === rpc && isByLimit(series));
      return usageOfLimit(rpc, limitIn(group, 'rpcLimits', rpc), { progress, queued, dropped });
    }),
    ...usageOfLimit(packObjectsName, limitIn(group, 'packLimits', ''), {
      progress: group.peak('packInProgressPeak', 'packInProgressP99'),
      queued: group.peak('packQueuedPeak', 'packQueuedP99'),
      dropped: group.total('packDropped', isByLimit),
    }),
  ];
}

type ConfiguredLimit = Pick<LimitUsage, 'kind' | 'limit'> | undefined;

function limitIn(group: ServerGroup, query: CurrentQuery, rpc: string): ConfiguredLimit {
  for (const [detail, kind] of [
    ['adaptive max', 'adaptive'],
    ['static current', 'static'],
  ] as const) {
    const limit = knownAmount(
      group.current(query, (series) => series.rpc === rpc && series.detail === detail),
    );
    if (limit !== undefined && limit > 0) return { kind, limit };
  }
  return undefined;
}

function usageOfLimit(
  name: string,
  limit: ConfiguredLimit,
  {
    progress,
    queued,
    dropped,
  }: {
    readonly progress: ReturnType<ServerGroup['peak']>;
    readonly queued: ReturnType<ServerGroup['peak']>;
    readonly dropped: Known<number>;
  },
): readonly LimitUsage[] {
  if (limit === undefined) return [];
  return [
    {
      name,
      ...limit,
      inProgressPeak: progress.value,
      inProgressP99: progress.trend.p99,
      queuedPeak: queued.value,
      queuedP99: queued.trend.p99,
      dropped: rounded(dropped),
    },
  ];
}
