/** How the limits of a group of servers were used, from their history. */
import { type Known, knownAmount } from '../../lib/known.ts';
import type { LimitUsage } from '../../rules/checks/limit-sizing.ts';
import { packObjectsName } from '../../rules/checks/sizing-values.ts';
import { hasBuiltInLimit } from '../../sources/gitaly/limits.ts';
import type { DailySeries } from './history.ts';
import type { CurrentQuery } from './queries.ts';
import { rounded, type ServerGroup } from './server-group.ts';

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
