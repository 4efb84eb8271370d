/**
 * Reads every server's own metrics and every configuration of Gitaly, each on its own: one that fails costs nobody
 * else anything. It reads `scrape_up` 0 and has no other samples, the run is a failed one that names it, and all
 * that came through is shown all the same.
 */
import { type GitalyConfig, parseGitalyConfig } from '../../config/gitaly/gitaly-config.ts';
import { problemText } from '../../config/problem.ts';
import type { Clock } from '../../lib/clock.ts';
import { type Block, samplesOf } from '../../metrics/samples.ts';
import type { Collector } from '../../scheduler/collector.ts';
import { type Failure, failed } from '../../scheduler/outcome.ts';
import { type Identity, identityKey, identityText } from '../identity.ts';
import { limitFamilies, type ServerLook } from './block.ts';
import type { TurnedAwayWatch } from './dropped-requests.ts';
import { gitalyPrefix, praefectPrefix, wantedSamples } from './history.ts';
import { gitalyMetrics, scrapeDuration, scrapeUp } from './metrics.ts';
import type { ReadText } from './scrape/access.ts';
import { type PageRead, type ReadLimits, readPage } from './scrape/read-page.ts';
import type { Resolve } from './scrape/resolve.ts';
import { type ServerUse, serverUse } from './server-use.ts';
import type { ConfigSource, Target, TargetSource } from './target.ts';

export interface GitalyCollectorOptions {
  readonly targets: readonly TargetSource[];
  readonly configs: readonly ConfigSource[];
  readonly limits: ReadLimits;
  readonly intervalMs: number;
  readonly clock: Clock;
  readonly resolve: Resolve;
  readonly readText: ReadText;
  readonly turnedAway: TurnedAwayWatch;
  /** Told of each read of each target, for the page. */
  readonly onRead: (reads: readonly TargetRead[]) => void;
}

/** How the last read of a target went. */
export interface TargetRead {
  readonly target: Target;
  /** Undefined: it came through. */
  readonly failure: Failure | undefined;
}

/** Sockets open at a time; more servers wait for their turn. */
const readersAtOnce = 32;

/** What was read is withdrawn after so many intervals. */
const maxAgeIntervals = 4;

export function createGitalyCollector(options: GitalyCollectorOptions): Collector {
  const { intervalMs } = options;
  return {
    name: 'gitaly_metrics',
    title: "Gitaly's and Praefect's own /metrics, Gitaly's config.toml",
    metrics: gitalyMetrics,
    schedule: {
      kind: 'interval',
      everyMs: intervalMs,
      // Many servers that hang are read 32 at a time; those that are left when it is time count as timed out.
      timeoutMs: Math.max(intervalMs, 2 * options.limits.timeoutMs),
      maxAgeMs: maxAgeIntervals * Math.max(intervalMs, 2 * options.limits.timeoutMs),
    },
    async collect({ signal }) {
      const failures: Failure[] = [];
      const [targets, configs] = await Promise.all([
        listTargets(options.targets, failures, signal),
        readConfigs(options.configs, failures, signal),
      ]);
      if (targets.length === 0 && configs.size === 0 && failures.length === 0)
        return { kind: 'empty', why: 'there is no Gitaly to read at the moment' };

      const reads = await readAll(targets, options, signal);
      options.onRead(reads.map(({ target, failure }) => ({ target, failure })));
      failures.push(...reads.flatMap(failureText));
      const uses = reads.flatMap(({ target, use }) =>
        use === undefined ? [] : [{ identity: target.identity, use }],
      );
      options.turnedAway.look(uses, gitalysOf(targets));

      const block: Block = { families: [...readFamilies(reads), ...limitFamilies(looksOf(reads, configs))] };
      const [first] = failures;
      return first === undefined ? { kind: 'data', block } : failed(first.reason, summary(failures), block);
    },
  };
}

interface Read extends TargetRead {
  readonly seconds: number;
  /** Of a Gitaly that was read. */
  readonly use: ServerUse | undefined;
}

async function listTargets(
  sources: readonly TargetSource[],
  failures: Failure[],
  signal: AbortSignal,
): Promise<readonly Target[]> {
  const listed = await Promise.all(sources.map((source) => source.list(signal)));
  const known = new Set<string>();
  const targets: Target[] = [];
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
  return targets;
}

/** Identity (as a key) -> its configuration. */
async function readConfigs(
  sources: readonly ConfigSource[],
  failures: Failure[],
  signal: AbortSignal,
): Promise<ReadonlyMap<string, { readonly identity: Identity; readonly config: GitalyConfig }>> {
  const configs = new Map<string, { readonly identity: Identity; readonly config: GitalyConfig }>();
  for (const { texts, failures: own } of await Promise.all(sources.map((source) => source.read(signal)))) {
    failures.push(...own);
    for (const { name, text, identities } of texts) {
      const config = parseGitalyConfig(text, name);
      if (!config.ok) {
        const [first] = config.problems;
        const more = config.problems.length - 1;
        failures.push({
          reason: 'parse',
          message: `Gitaly's configuration: ${first === undefined ? name : problemText(first)}${more > 0 ? ` (and ${more} more)` : ''}`,
        });
        continue;
      }
      for (const identity of identities)
        configs.set(identityKey(identity), { identity, config: config.value });
    }
  }
  return configs;
}

async function readAll(
  targets: readonly Target[],
  options: GitalyCollectorOptions,
  signal: AbortSignal,
): Promise<readonly Read[]> {
  const reads: Read[] = [];
  const waiting = targets.entries();
  const reader = async (): Promise<void> => {
    for (const [index, target] of waiting) {
      const { clock, limits, resolve, readText } = options;
      const page = await readPage(target, {
        ...limits,
        wanted: wantedSamples,
        prefixes: [gitalyPrefix, praefectPrefix],
        clock,
        resolve,
        readText,
        signal,
      });
      reads[index] = readOf(target, page);
    }
  };
  await Promise.all(Array.from({ length: readersAtOnce }, reader));
  return reads;
}

/** A page of the wrong program would read as a Gitaly without limits: it counts as not read. */
function readOf(target: Target, read: PageRead): Read {
  const { seconds } = read;
  const failedBy = (failure: Failure): Read => ({ target, seconds, failure, use: undefined });
  if (!read.ok) return failedBy(read.failure);
  const { prefixes, samples } = read.page;
  const isPraefect = prefixes.has(praefectPrefix);
  if (!prefixes.has(gitalyPrefix))
    return failedBy({
      reason: 'parse',
      message: "shows metrics, but none of Gitaly's: it is another program",
    });
  if (target.component === 'gitaly' && isPraefect)
    return failedBy({
      reason: 'parse',
      message: 'is a Praefect, not a Gitaly: it belongs to praefect.target',
    });
  if (target.component === 'praefect' && !isPraefect)
    return failedBy({ reason: 'parse', message: 'is a Gitaly, not a Praefect: it belongs to gitaly.target' });
  const use = target.component === 'gitaly' ? serverUse(samples) : undefined;
  return { target, seconds, failure: undefined, use };
}

function readFamilies(reads: readonly Read[]): Block['families'] {
  const up = samplesOf(scrapeUp);
  const duration = samplesOf(scrapeDuration);
  for (const { target, seconds, failure } of reads) {
    const labels = { ...target.identity, component: target.component };
    up.set(labels, failure === undefined ? 1 : 0);
    duration.set(labels, seconds);
  }
  return [up.family(), duration.family()];
}

function looksOf(
  reads: readonly Read[],
  configs: ReadonlyMap<string, { readonly identity: Identity; readonly config: GitalyConfig }>,
): readonly ServerLook[] {
  const looks = new Map<string, ServerLook>();
  for (const [key, { identity, config }] of configs) looks.set(key, { identity, use: undefined, config });
  for (const { target, use } of reads) {
    if (use === undefined) continue;
    const key = identityKey(target.identity);
    looks.set(key, { identity: target.identity, use, config: looks.get(key)?.config });
  }
  return [...looks.values()];
}

const gitalysOf = (targets: readonly Target[]): readonly Identity[] =>
  targets.filter(({ component }) => component === 'gitaly').map(({ identity }) => identity);

/** `gitaly-2 (http://10.0.0.7:9236/metrics) refuses the connection`; without the query, which may hold a secret. */
function failureText({ target, failure }: Read): readonly Failure[] {
  if (failure === undefined) return [];
  const { component, identity, url, address } = target;
  const at = `${url.origin}${url.pathname}${address === undefined ? '' : ` at ${address}`}`;
  const name = component === 'gitaly' ? 'Gitaly' : 'Praefect';
  return [
    { reason: failure.reason, message: `${name} ${identityText(identity)} (${at}) ${failure.message}` },
  ];
}

/** At most three, so that a whole rack does not fill the page. */
function summary(failures: readonly Failure[]): string {
  const messages = [...new Set(failures.map(({ message }) => message))];
  const shown = messages.slice(0, 3);
  const more = messages.length - shown.length;
  return `${shown.join('; ')}${more > 0 ? `; and ${more} more` : ''}`;
}
