/** From a history to proposals: for all pods of a namespace together, because they share their values, or for one host. */
import { type Known, known, knownAmount, notApplicable } from '../../lib/known.ts';
import { type LimitUsage, proposeBuckets, proposeLimit } from '../../rules/checks/limit-sizing.ts';
import { type CurrentSizes, type MeasuredUsage, proposeSizes } from '../../rules/checks/sizing.ts';
import { gitlabRb, helmValues, packObjectsName } from '../../rules/checks/sizing-values.ts';
import type { oomLevels } from '../../sources/cgroup/oom/record.ts';
import { hasBuiltInLimit } from '../../sources/gitaly/limits.ts';
import { identityText } from '../../sources/identity.ts';
import type { DailySeries, History, ServerHistory } from './history.ts';
import { gitInContainer } from './moment.ts';
import { type CurrentQuery, stepSeconds } from './queries.ts';
import type { SizingGroup } from './report.ts';
import { daySeconds, groupOf, rounded, type ServerGroup } from './server-group.ts';

export function adviceOf({ servers }: History): readonly SizingGroup[] {
  const groups = Map.groupBy(servers, ({ cluster, identity: { namespace, pod, node } }) =>
    JSON.stringify([cluster, pod === '' ? '' : namespace, pod === '' ? node : '']),
  );
  const hasClusters = new Set(servers.map(({ cluster }) => cluster)).size > 1;
  return [...groups.values()]
    .map((members) => adviceFor(members, hasClusters))
    .filter((group) => group !== undefined)
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

function adviceFor(servers: readonly ServerHistory[], hasClusters: boolean): SizingGroup | undefined {
  const [first] = servers;
  if (first === undefined) return undefined;
  const isPods = first.identity.pod !== '';
  const group = groupOf(servers);
  const now = currentSizes(group);
  const usage = usageOf(group, isPods);
  const proposal = proposeSizes(usage, now);
  const buckets = proposeBuckets({
    count: group.current('bucketCount'),
    activePeak: group.peak('bucketsActivePeak').value,
  });
  const scraped = group.seconds('scrapeSteps');
  const kills = knownAmount(rounded(group.total('oomKills')));
  const gitPeak = knownAmount(usage.gitAnonPeakBytes);
  const memory = {
    oomKills: kills ?? 0,
    gitMemoryRatio:
      gitPeak === undefined || now.gitMemoryBytes === undefined ? undefined : gitPeak / now.gitMemoryBytes,
  };
  const limits = limitUsages(group).map((limit) => proposeLimit(limit, memory, scraped));
  const canAdvise = { sizes: proposal.confidence !== 'low', limits: scraped >= daySeconds };
  const values = {
    sizes: canAdvise.sizes ? proposal.sizes : [],
    buckets: canAdvise.sizes ? buckets : undefined,
    limits: canAdvise.limits ? limits : [],
  };
  const seconds = Math.max(usage.windowSeconds, scraped);
  // A host without history of its own, such as the node of pods whose names are not known.
  if (seconds === 0) return undefined;
  return {
    name: `${hasClusters ? `${first.cluster}: ` : ''}${isPods ? first.identity.namespace : first.identity.node}`,
    servers: servers.map(({ identity }) => identityText(identity)).sort(),
    historySeconds: seconds,
    isAdvice: canAdvise.sizes || canAdvise.limits,
    confidence: proposal.confidence,
    caveats: [...caveatsOf(group, servers), ...(usage.windowSeconds === 0 ? [] : proposal.caveats)],
    sizes: proposal.sizes,
    buckets,
    limits,
    oomKills: kills,
    helm: isPods ? helmValues(values) : undefined,
    gitlabRb: isPods ? undefined : gitlabRb(values),
  };
}

/** Not `node`: its memory is no limit that is proposed here. */
const gitKillLevels: ReadonlySet<string> = new Set<(typeof oomLevels)[number]>(['bucket', 'git', 'pod']);

function usageOf(group: ServerGroup, isPods: boolean): MeasuredUsage {
  const gitaly = group.peak('gitalyPeak', 'gitalyP99');
  const git = group.peak('gitPeak', 'gitP99');
  const bucket = group.peak('bucketPeak');
  const cpu = group.peak('cpuPeak', 'cpuP99');
  const onHost = notApplicable('of pods only');
  return {
    windowSeconds: group.seconds('cgroupSteps'),
    gitalyMemoryPeakBytes: !isPods
      ? onHost
      : group.details('layout').has('none')
        ? gitInContainer
        : gitaly.value,
    gitAnonPeakBytes: git.value,
    bucketAnonPeakBytes: lower(bucket.value, git.value),
    gitPageCacheBytes: group.peak('gitFilePeak').value,
    cpuPeakCores: isPods ? cpu.value : onHost,
    oomKills: rounded(group.total('oomKills', ({ detail }) => gitKillLevels.has(detail))),
    gitalyOomKills: knownAmount(rounded(group.total('oomKills', ({ detail }) => detail === 'container'))),
    trends: {
      gitaly: gitaly.trend,
      git: git.trend,
      // Its page cache counts, so that its own percentile and growth are not those of anonymous memory.
      bucket: { p99: undefined, growthPerWeek: undefined, where: bucket.trend.where },
      cpu: cpu.trend,
    },
  };
}

/**
 * Of a bucket, only usage with page cache has a metric: its anonymous memory is at most that, and at most that of all
 * buckets together.
 */
const lower = (bucket: Known<number>, git: Known<number>): Known<number> =>
  'value' in bucket && 'value' in git ? known(Math.min(bucket.value, git.value)) : bucket;

function currentSizes(group: ServerGroup): CurrentSizes {
  const value = (query: CurrentQuery): number | undefined => {
    const found = knownAmount(group.current(query));
    // A request of 0 is none.
    return found === undefined || found <= 0 ? undefined : found;
  };
  return {
    memoryRequestBytes: value('memoryRequest'),
    memoryLimitBytes: value('memoryLimit'),
    cpuRequestCores: value('cpuRequest'),
    cpuLimitCores: value('cpuLimit'),
    gitMemoryBytes: value('gitLimit'),
    repositoryMemoryBytes: value('bucketLimit'),
    goMemoryLimitBytes: undefined,
  };
}

function caveatsOf(group: ServerGroup, servers: readonly ServerHistory[]): readonly string[] {
  const short = servers.filter(({ series }) => {
    const steps = series('cgroupSteps').flatMap(({ days }) => days);
    return steps.reduce((sum: number, count) => sum + (count ?? 0), 0) * stepSeconds < daySeconds;
  });
  const isUnread = group.seconds('cgroupSteps') === 0;
  return [
    ...(isUnread
      ? ['no series of cgroups: memory, CPU and OOM kills are unknown (does an agent run on its node?)']
      : []),
    ...(!isUnread && !group.isSingle && short.length > 0 && short.length < servers.length
      ? [
          `cgroups were measured for less than a day on ${short
            .map(({ identity }) => identityText(identity))
            .slice(0, 5)
            .join(', ')}`,
        ]
      : []),
    ...(group.details('layout').has('nested')
      ? [
          "Git's cgroups are inside Gitaly's container, whose peak then includes that of Git: the buffer is too large",
        ]
      : []),
    ...(group.seconds('scrapeSteps') === 0
      ? [
          "no series of Gitaly's own metrics: the use of concurrency limits is unknown (gitaly.target, kubernetes.scrape)",
        ]
      : []),
  ];
}

/** Drops by what a limit does: a client that left (`other`) is none of it. */
const isByLimit = ({ detail }: DailySeries): boolean => detail === 'queue_full' || detail === 'queue_wait';

/** How the limits of the group were used. */
function limitUsages(group: ServerGroup): readonly LimitUsage[] {
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
