/** From a history to proposals: for all pods of a namespace together, because they share their values, or for one host. */
import { type Known, known, notApplicable, unknown } from '../../lib/known.ts';
import { proposeBuckets, proposeLimit } from '../../rules/checks/limit-sizing.ts';
import { proposeSizes } from '../../rules/checks/sizing.ts';
import type { CurrentSizes, MeasuredUsage } from '../../rules/checks/sizing-inputs.ts';
import { gitlabRb, helmValues } from '../../rules/checks/sizing-values.ts';
import type { oomLevels } from '../../sources/cgroup/oom/record.ts';
import { type Identity, identityText } from '../../sources/identity.ts';
import type { DailySeries, History, ServerHistory } from './history.ts';
import { highestOf, knownAmount, limitUsages, rounded, type ServerGroup } from './limit-usage.ts';
import { type CurrentQuery, type DayQuery, stepSeconds } from './queries.ts';
import type { SizingGroup } from './report.ts';

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
  const canAdvise = { sizes: proposal.isAdvice, limits: scraped >= daySeconds };
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

const daySeconds = 86_400;

const notMeasured = unknown('Prometheus has no series of it');

function groupOf(servers: readonly ServerHistory[]): ServerGroup {
  const daily = (query: DayQuery): readonly { readonly series: DailySeries; readonly identity: Identity }[] =>
    servers.flatMap(({ identity, daily: of }) => of(query).map((series) => ({ series, identity })));
  const currentSeries = (query: CurrentQuery): readonly DailySeries[] =>
    servers.flatMap(({ current }) => current(query));
  /** Of each day, the highest of all servers. */
  const highestByDay = (all: readonly DailySeries[]): readonly (number | undefined)[] => {
    const length = Math.max(0, ...all.map(({ days }) => days.length));
    return Array.from({ length }, (_, day) => highestOf(all.map(({ days }) => days[day])));
  };
  return {
    isSingle: servers.length === 1,
    seconds: (query) =>
      highestByDay(daily(query).map(({ series }) => series))
        .map((steps) => Math.min(daySeconds, (steps ?? 0) * stepSeconds))
        .reduce((sum, seconds) => sum + seconds, 0),
    peak(query, p99, rpc = '') {
      const found = daily(query).filter(({ series }) => series.rpc === rpc);
      const value = highestOf(found.flatMap(({ series }) => series.days));
      const at = found.find(({ series }) => series.days.includes(value));
      const p99s =
        p99 === undefined
          ? []
          : daily(p99)
              .filter(({ series }) => series.rpc === rpc)
              .flatMap(({ series }) => series.days);
      return {
        value: value === undefined ? notMeasured : known(value),
        trend: {
          p99: highestOf(p99s),
          growthPerWeek: growthPerWeek(highestByDay(found.map(({ series }) => series))),
          where: at === undefined || servers.length === 1 ? undefined : identityText(at.identity),
        },
      };
    },
    total(query, isWanted = () => true) {
      const values = daily(query)
        .filter(({ series }) => isWanted(series))
        .flatMap(({ series }) => series.days)
        .filter((value) => value !== undefined);
      return values.length === 0 ? notMeasured : known(values.reduce((sum, value) => sum + value, 0));
    },
    current(query, isWanted = () => true) {
      const values = currentSeries(query)
        .filter(isWanted)
        .flatMap(({ days }) => days.slice(0, 1))
        .filter((value) => value !== undefined);
      return values.length === 0 ? notMeasured : known(Math.min(...values));
    },
    rpcs: (query) => [...new Set(currentSeries(query).map(({ rpc }) => rpc))].sort(),
    details: (query) => new Set(currentSeries(query).map(({ detail }) => detail)),
  };
}

/** Days of a week that must have a value, so that weekends are in both weeks. */
const leastDays = 6;

/** Medians, so that one busy day is no growth. */
function growthPerWeek(days: readonly (number | undefined)[]): number | undefined {
  const [last, before] = [days.slice(0, 7), days.slice(7, 14)].map(median);
  return last === undefined || before === undefined ? undefined : last - before;
}

function median(values: readonly (number | undefined)[]): number | undefined {
  const sorted = values.filter((value) => value !== undefined).sort((a, b) => a - b);
  return sorted.length < leastDays ? undefined : sorted[Math.floor(sorted.length / 2)];
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
    gitalyMemoryPeakBytes: isPods ? gitaly.value : onHost,
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
  const short = servers.filter(({ daily }) => {
    const steps = daily('cgroupSteps').flatMap(({ days }) => days);
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
