/**
 * Reads what Praefect itself says of its database (/db_metrics), on demand only: each read makes that Praefect run
 * queries over whole tables, which no budget of ours counts. Each Praefect answers for the whole cluster, so of
 * several the highest number is taken.
 *
 * Praefect answers with an empty page and HTTP 200 while its database is down, and leaves out what it could not
 * query: a page without the count of unavailable repositories is a failure, never zeros.
 */
import type { MetricsTarget } from '../../config/kinds/metrics-target.ts';
import type { Clock } from '../../lib/clock.ts';
import { type Block, samplesOf } from '../../metrics/samples.ts';
import type { Collector } from '../../scheduler/collector.ts';
import { type Failure, failed, type Outcome } from '../../scheduler/outcome.ts';
import { identityText } from '../identity.ts';
import { configuredTargets } from './configured.ts';
import { createNativeComparison, type Difference, type Unavailable } from './native-comparison.ts';
import {
  nativeMetrics,
  nativeReplicationQueueDepth,
  nativeRepositoriesUnavailable,
} from './native-metrics.ts';
import type { TextPage } from './parser/parser.ts';
import type { Access, ReadText } from './scrape/access.ts';
import { readPage } from './scrape/read-page.ts';
import type { Resolve } from './scrape/resolve.ts';
import type { Target } from './target.ts';

/** The names of all collectors of this part, for when it has nothing to read. */
export const nativeCollectorNames: readonly string[] = ['praefect_db_metrics'];

export interface NativeAnswersOptions {
  /** `settings.praefect.dbMetricsTarget` */
  readonly targets: readonly MetricsTarget[] | undefined;
  /** `settings.praefect.dbMetricsInterval` */
  readonly intervalMs: number;
  /** Of `settings.gitaly.scrape`: TLS files and credentials, as for praefect.target. */
  readonly access: Access;
  /** Of `settings.gitaly.scrape`. */
  readonly maxBytes: number;
  readonly maxSamples: number;
  readonly clock: Clock;
  readonly hostName: string;
  readonly resolve: Resolve;
  readonly readText: ReadText;
  /** praefect_db_repositories_unavailable as it is shown at this moment; empty where it is absent. */
  readonly ours: () => Unavailable;
}

export interface NativeAnswers {
  readonly collectors: readonly Collector[];
  /** Where Praefect's count and ours differed at the last read. */
  differences(): readonly Difference[];
}

const unavailableName = 'gitaly_praefect_unavailable_repositories';
const queueName = 'gitaly_praefect_replication_queue_depth';
const wanted: ReadonlySet<string> = new Set([unavailableName, queueName]);
const prefixes = ['gitaly_praefect_', 'gitaly_', 'go_'] as const;

/** Praefect's queries take seconds where there are millions of repositories. */
const pageTimeoutMs = 30_000;
const runTimeoutMs = pageTimeoutMs + 5000;

/** After a failed read the runner comes again sooner than the interval, by a step of half a minute. */
const slackMs = 1000;

/** Undefined where no target is set. */
export function createNativeAnswers(options: NativeAnswersOptions): NativeAnswers | undefined {
  const { targets: configured = [], intervalMs, clock } = options;
  if (configured.length === 0) return undefined;
  const source = configuredTargets({ ...options, gitaly: [], praefect: configured });
  // One read may fail, and the next come half a minute late.
  const maxAgeMs = 2 * intervalMs + runTimeoutMs + 30_000;
  const comparison = createNativeComparison(clock, maxAgeMs);
  let last: { readonly startedAt: number; readonly failure: Failure | undefined } | undefined;

  async function ask(signal: AbortSignal): Promise<Outcome> {
    const { targets, failures: unlisted } = await source.list(signal);
    const reads = await Promise.all(targets.map((target) => readAnswer(target, options, signal)));
    const answers = reads.filter((read) => 'unavailable' in read);
    const failures = [...unlisted, ...reads.filter((read) => 'reason' in read)];
    const native = highest(answers.map(({ unavailable }) => unavailable));
    if (answers.length > 0) comparison.look(native, options.ours());

    const block = answers.length === 0 ? undefined : blockOf(native, highest(answers.map((a) => a.queue)));
    const [first] = failures;
    if (first !== undefined)
      return failed(first.reason, failures.map(({ message }) => message).join('; '), block);
    return block === undefined
      ? failed('refused', 'no Praefect is found by praefect.db-metrics-target')
      : { kind: 'data', block };
  }

  const collector: Collector = {
    name: 'praefect_db_metrics',
    title: "Praefect's own answers from its database, for comparison (/db_metrics)",
    metrics: nativeMetrics,
    schedule: { kind: 'interval', everyMs: intervalMs, timeoutMs: runTimeoutMs, maxAgeMs },
    async collect({ signal }) {
      const startedAt = clock.monotonic();
      // A page that failed may have cost its queries all the same.
      if (last?.failure !== undefined && startedAt - last.startedAt < intervalMs - slackMs)
        return failed(
          last.failure.reason,
          `${last.failure.message} (not asked again before praefect.db-metrics-interval is over)`,
        );
      const outcome = await ask(signal);
      last = { startedAt, failure: outcome.kind === 'failed' ? outcome : undefined };
      return outcome;
    },
  };
  return { collectors: [collector], differences: () => comparison.current() };
}

interface Answer {
  readonly unavailable: Unavailable;
  /** Labels, as JSON of [virtual storage, storage, state] -> jobs. */
  readonly queue: ReadonlyMap<string, number>;
}

async function readAnswer(
  target: Target,
  options: NativeAnswersOptions,
  signal: AbortSignal,
): Promise<Answer | Failure> {
  const read = await readPage(target, { ...options, timeoutMs: pageTimeoutMs, wanted, prefixes, signal });
  const answer = read.ok ? answerOf(read.page) : read.failure;
  if (!('reason' in answer)) return answer;
  const { url, address, identity } = target;
  const at = `${url.origin}${url.pathname}${address === undefined ? '' : ` at ${address}`}`;
  const old =
    answer.message.includes('HTTP 404') && url.pathname === '/db_metrics'
      ? ': Praefect has /db_metrics from GitLab 14.8 on; before, give the address with /metrics'
      : '';
  return {
    reason: answer.reason,
    message: `Praefect ${identityText(identity)} (${at}) ${answer.message}${old}`,
  };
}

function answerOf({ samples, prefixes: seen }: TextPage): Answer | Failure {
  const unavailable = new Map<string, number>();
  const queue = new Map<string, number>();
  for (const { name, labels, value } of samples) {
    const virtualStorage = labels.get('virtual_storage');
    if (virtualStorage === undefined || !Number.isFinite(value)) continue;
    if (name === unavailableName) unavailable.set(virtualStorage, value);
    else
      queue.set(
        JSON.stringify([virtualStorage, labels.get('target_node') ?? '', labels.get('state') ?? '']),
        value,
      );
  }
  return unavailable.size > 0 ? { unavailable, queue } : { reason: 'parse', message: whyNothing(seen) };
}

function whyNothing(seen: ReadonlySet<string>): string {
  if (seen.size === 0) return 'answered with an empty page: it cannot query its database';
  return seen.has('gitaly_praefect_') && !seen.has('go_')
    ? `does not say ${unavailableName}: its query of it failed`
    : `does not say ${unavailableName}: this is not the page of Praefect's database (/db_metrics)`;
}

function highest(each: readonly ReadonlyMap<string, number>[]): ReadonlyMap<string, number> {
  const values = new Map<string, number>();
  for (const [key, value] of each.flatMap((map) => [...map]))
    values.set(key, Math.max(values.get(key) ?? value, value));
  return values;
}

function blockOf(unavailable: Unavailable, queue: ReadonlyMap<string, number>): Block {
  const repositories = samplesOf(nativeRepositoriesUnavailable);
  for (const [virtual_storage, value] of unavailable) repositories.set({ virtual_storage }, value);
  const jobs = samplesOf(nativeReplicationQueueDepth);
  for (const [key, value] of queue) {
    const [virtual_storage, storage, state] = JSON.parse(key) as [string, string, string];
    jobs.set({ virtual_storage, storage, state }, value);
  }
  return { families: [repositories.family(), jobs.family()] };
}
