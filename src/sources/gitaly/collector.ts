/**
 * Reads every server's own metrics and every configuration of Gitaly, each on its own: one failure affects nothing
 * else. A target that failed has `scrape_up` 0 and no other samples, and the run fails with a message that names it,
 * but all that was read is shown.
 */
import { type GitalyConfig, parseGitalyConfig } from '../../config/gitaly/gitaly-config.ts';
import { problemText } from '../../config/problem.ts';
import type { Clock } from '../../lib/clock.ts';
import type { ReadText } from '../../lib/files.ts';
import { type Block, createSamples } from '../../metrics/samples.ts';
import type { Collector } from '../../scheduler/collector.ts';
import { type Failure, failed, httpFailureReasons } from '../../scheduler/outcome.ts';
import { type Identity, identityKey, identityText } from '../identity.ts';
import type { DropTracker } from './drops.ts';
import { limitFamilies } from './families.ts';
import { limitsOf, type ServerSnapshot } from './limits.ts';
import { gitalyMetrics, scrapeDuration, scrapeUp, serverResponds } from './metrics.ts';
import type { Resolve } from './resolve.ts';
import { type PageRead, type ReadLimits, readPage } from './scrape.ts';
import { type ServerUse, serverUse } from './server-use.ts';
import type { ConfigSource, ScrapeTarget, TargetSource } from './target.ts';
import { gitalyPrefix, praefectPrefix, wantedSamples } from './versions.ts';
import type { GitalyView, TargetRead } from './view.ts';

/** Names of the collectors, for when there is nothing to read. */
export const gitalyCollectorNames: readonly string[] = ['gitaly_metrics'];

interface GitalyCollectorOptions {
  /** No two may list the same server. */
  readonly targets: readonly TargetSource[];
  readonly configs: readonly ConfigSource[];
  readonly limits: ReadLimits;
  readonly intervalMs: number;
  readonly clock: Clock;
  readonly resolve: Resolve;
  readonly readText: ReadText;
  readonly drops: DropTracker;
}

/** Sockets open at a time; further servers wait for a free one. */
const concurrentReads = 32;

/** Samples are withdrawn after this many intervals. */
const maxAgeIntervals = 4;

export function createGitalyCollector(options: GitalyCollectorOptions): Collector<GitalyView> {
  const { drops, intervalMs } = options;
  // Of many servers that hang, 32 are read at a time; those that remain at the timeout count as timed out.
  const timeoutMs = Math.max(intervalMs, 2 * options.limits.timeoutMs);
  return {
    name: 'gitaly_metrics',
    title: "Gitaly's and Praefect's own /metrics, Gitaly's config.toml",
    metrics: gitalyMetrics,
    failureReasons: httpFailureReasons,
    schedule: { kind: 'interval', everyMs: intervalMs, timeoutMs, maxAgeMs: maxAgeIntervals * timeoutMs },
    async collect({ signal }) {
      const failures: Failure[] = [];
      const [{ targets, excluded }, configs] = await Promise.all([
        listTargets(options.targets, failures, signal),
        readConfigs(options.configs, failures, signal),
      ]);
      if (targets.length === 0 && configs.size === 0 && failures.length === 0)
        return { kind: 'empty', why: excluded.join(' ') || 'there is no Gitaly to read at the moment' };

      const reads = await readAll(targets, options, signal);
      failures.push(...reads.flatMap(failuresOf));
      const uses = reads.flatMap(({ target, use }) =>
        use === undefined ? [] : [{ identity: target.identity, use }],
      );
      drops.record(uses, gitalyIdentities(targets));

      const view = viewOf(reads, snapshotsOf(reads, configs), drops, excluded);
      const block: Block = { families: [...readFamilies(reads), ...limitFamilies(view.servers)] };
      const [first] = failures;
      return first === undefined
        ? { kind: 'data', block, snapshot: view }
        : failed(first.reason, summaryOf(failures), block, view);
    },
  };
}

/** `use`: of a Gitaly whose read succeeded. */
type ServerRead = TargetRead & { readonly use: ServerUse | undefined };

/** The targets of all sources, of each name only the first. What is wrong is added to `failures`. */
export async function listTargets(
  sources: readonly TargetSource[],
  failures: Failure[],
  signal: AbortSignal,
): Promise<Required<Pick<Awaited<ReturnType<TargetSource['list']>>, 'targets' | 'excluded'>>> {
  const listed = await Promise.all(sources.map((source) => source.list(signal)));
  const known = new Set<string>();
  const targets: ScrapeTarget[] = [];
  for (const { targets: found, failures: own } of listed) {
    failures.push(...own);
    for (const target of found) {
      const key = target.component + identityKey(target.identity);
      if (known.has(key))
        failures.push({
          reason: 'parse',
          message: `two targets are called ${identityText(target.identity)}, and only the first is read: give one of them another name`,
        });
      else targets.push(target);
      known.add(key);
    }
  }
  return { targets, excluded: listed.flatMap((each) => each.excluded ?? []) };
}

type ConfigByIdentity = ReadonlyMap<string, { readonly identity: Identity; readonly config: GitalyConfig }>;

async function readConfigs(
  sources: readonly ConfigSource[],
  failures: Failure[],
  signal: AbortSignal,
): Promise<ConfigByIdentity> {
  const configs = new Map<string, { readonly identity: Identity; readonly config: GitalyConfig }>();
  for (const { texts, failures: own } of await Promise.all(sources.map((source) => source.read(signal)))) {
    failures.push(...own);
    for (const { name, text, identities } of texts) {
      const config = parseGitalyConfig(text, name);
      const problems = config.ok ? config.value.problems : config.problems;
      if (problems.length > 0 || !config.ok) {
        const [first] = problems;
        const more = problems.length - 1;
        failures.push({
          reason: 'parse',
          message: `Gitaly's configuration: ${first === undefined ? name : problemText(first)}${more > 0 ? ` (and ${more} more)` : ''}`,
        });
      }
      // An entry that is wrong is left out; the rest is used.
      if (!config.ok) continue;
      for (const identity of identities)
        configs.set(identityKey(identity), { identity, config: config.value });
    }
  }
  return configs;
}

type TargetReadOptions = Pick<GitalyCollectorOptions, 'limits' | 'clock' | 'resolve' | 'readText'>;

/** One read of a server: it succeeds only where its page is complete, and that of its component. */
export async function readTarget(
  target: ScrapeTarget,
  { clock, limits, resolve, readText }: TargetReadOptions,
  signal: AbortSignal,
): Promise<ServerRead> {
  const page = await readPage(target, {
    ...limits,
    wanted: wantedSamples,
    prefixes: [gitalyPrefix, praefectPrefix],
    clock,
    resolve,
    readText,
    signal,
  });
  return serverRead(target, page);
}

async function readAll(
  targets: readonly ScrapeTarget[],
  options: GitalyCollectorOptions,
  signal: AbortSignal,
): Promise<readonly ServerRead[]> {
  const reads: ServerRead[] = [];
  const remaining = targets.entries();
  const reader = async (): Promise<void> => {
    for (const [index, target] of remaining) reads[index] = await readTarget(target, options, signal);
  };
  await Promise.all(Array.from({ length: concurrentReads }, reader));
  return reads;
}

/** Failures that only a server that runs causes: expired certificates, other credentials, a page over the limits. */
const respondedReasons: readonly Failure['reason'][] = ['tls', 'authentication', 'permission', 'too_large'];

/** The page of another program would pass for a Gitaly without limits: it counts as a failed read. */
function serverRead(target: ScrapeTarget, read: PageRead): ServerRead {
  const { seconds } = read;
  const failedBy = (failure: Failure): ServerRead => ({
    ...{ target, seconds, failure, use: undefined },
    responds: respondedReasons.includes(failure.reason),
  });
  if (!read.ok) return { ...failedBy(read.failure), ...(read.isInconclusive && { responds: undefined }) };
  const { prefixes, samples } = read.page;
  const isPraefect = prefixes.has(praefectPrefix);
  if (!prefixes.has(gitalyPrefix))
    return failedBy({
      reason: 'parse',
      message: "serves metrics, but none of Gitaly's: it is another program",
    });
  if (target.component === 'gitaly' && isPraefect)
    return failedBy({
      reason: 'parse',
      message: 'is a Praefect, not a Gitaly: list it in praefect.target',
    });
  if (target.component === 'praefect' && !isPraefect)
    return failedBy({ reason: 'parse', message: 'is a Gitaly, not a Praefect: list it in gitaly.target' });
  const use = target.component === 'gitaly' ? serverUse(samples) : undefined;
  return { target, seconds, failure: undefined, responds: true, use };
}

function readFamilies(reads: readonly ServerRead[]): Block['families'] {
  const samples = createSamples();
  for (const { target, seconds, failure, responds } of reads) {
    const labels = { ...target.identity, component: target.component };
    samples.set(scrapeUp, labels, failure === undefined);
    samples.set(serverResponds, labels, responds);
    samples.set(scrapeDuration, labels, seconds);
  }
  return samples.families();
}

function snapshotsOf(reads: readonly ServerRead[], configs: ConfigByIdentity): readonly ServerSnapshot[] {
  const snapshots = new Map<string, ServerSnapshot>();
  for (const [key, { identity, config }] of configs) snapshots.set(key, { identity, use: undefined, config });
  for (const { target, use } of reads) {
    if (use === undefined) continue;
    const key = identityKey(target.identity);
    snapshots.set(key, { identity: target.identity, use, config: snapshots.get(key)?.config });
  }
  return [...snapshots.values()];
}

function viewOf(
  reads: readonly ServerRead[],
  snapshots: readonly ServerSnapshot[],
  drops: DropTracker,
  excluded: readonly string[],
): GitalyView {
  const servers = snapshots.map(limitsOf);
  const read = new Set(servers.filter(({ isRead }) => isRead).map(({ identity }) => identityKey(identity)));
  const isRead = ({ identity }: { readonly identity: Identity }): boolean => read.has(identityKey(identity));
  return {
    reads: reads.map(({ target, failure, responds, seconds }) => ({ target, failure, responds, seconds })),
    excluded,
    servers,
    episodes: drops.episodes().filter(isRead),
    recentDrops: drops.recent().filter(isRead),
  };
}

const gitalyIdentities = (targets: readonly ScrapeTarget[]): readonly Identity[] =>
  targets.filter(({ component }) => component === 'gitaly').map(({ identity }) => identity);

/** `gitaly-2 (http://10.0.0.7:9236/metrics) refused the connection`; without the query, which may hold a secret. */
function failuresOf({ target, failure }: ServerRead): readonly Failure[] {
  if (failure === undefined) return [];
  const { component, identity, url, address } = target;
  const at = `${url.origin}${url.pathname}${address === undefined ? '' : ` at ${address}`}`;
  const name = component === 'gitaly' ? 'Gitaly' : 'Praefect';
  return [
    { reason: failure.reason, message: `${name} ${identityText(identity)} (${at}) ${failure.message}` },
  ];
}

/** At most three, so that the page stays readable when a whole rack fails. */
function summaryOf(failures: readonly Failure[]): string {
  const messages = [...new Set(failures.map(({ message }) => message))];
  const shown = messages.slice(0, 3);
  const more = messages.length - shown.length;
  return `${shown.join('; ')}${more > 0 ? `; and ${more} more` : ''}`;
}
