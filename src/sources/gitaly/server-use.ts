/** The use of one Gitaly's limits, from the samples on its page, whichever version it is. Pure. */
import type { RpcName } from '../../config/gitaly/gitaly-config.ts';
import type { HistogramSample } from '../../metrics/samples.ts';
import type { DropReason } from './metrics.ts';
import { readValue, type TextSample } from './parser.ts';
import {
  adaptiveLimitName,
  buildInfoSample,
  countsDrops,
  type HistogramPart,
  hadUser,
  type NativeSample,
  nativeSamples,
  reasonOf,
  rpcOf,
} from './versions.ts';

/** How long requests waited before they ran. */
export type WaitHistogram = Omit<HistogramSample, 'labelValues'>;

/** Undefined is what the page does not report. */
export interface LimitUse {
  readonly inProgress: number | undefined;
  readonly queued: number | undefined;
  readonly wait: WaitHistogram | undefined;
  /** Undefined where this version counts none. */
  readonly dropped: ReadonlyMap<DropReason, number> | undefined;
  readonly adaptiveLimit: number | undefined;
  readonly adaptiveUnauthenticatedLimit: number | undefined;
}

export interface RpcUse extends RpcName, LimitUse {
  /** The part of `dropped` that had no user; undefined where no drop reports it. */
  readonly droppedUnauthenticated: ReadonlyMap<DropReason, number> | undefined;
}

export interface ServerUse {
  /** Undefined when the page does not report it. */
  readonly version: string | undefined;
  readonly rpcs: readonly RpcUse[];
  /** Undefined where the version has no such limit (up to 15.5). */
  readonly packObjects: LimitUse | undefined;
  /** By watcher: how often it had the adaptive limits cut. */
  readonly backoffs: ReadonlyMap<string, number>;
}

/** Nothing of a limit is negative: samples whose value is, or is not finite, are ignored. */
export function serverUse(samples: readonly TextSample[]): ServerUse {
  const rpcs = new Map<string, RpcName & Totals>();
  const packObjects = newTotals();
  let hasPackObjects = false;
  const backoffs = new Map<string, number>();
  let version: string | undefined;

  function totalsOf(rpc: RpcName): Totals {
    const key = `${rpc.service}/${rpc.method}`;
    const known = rpcs.get(key) ?? { ...rpc, ...newTotals() };
    rpcs.set(key, known);
    return known;
  }

  for (const sample of samples) {
    const { name, labels, value } = sample;
    if (name === buildInfoSample) version = labels.get('version');
    const native = nativeSamples.get(name);
    if (native === undefined) continue;
    const { measures, part } = native;
    if (part === undefined && !(Number.isFinite(value) && value >= 0)) continue;

    if (measures === 'backoffs') {
      add(backoffs, labels.get('watcher') ?? '', value);
      continue;
    }
    if (measures === 'adaptive limit') {
      const limit = adaptiveLimitName(labels.get('limit'));
      if (limit === undefined) continue;
      const totals = limit.of === 'pack-objects' ? packObjects : totalsOf(limit.of);
      const number = limit.unauthenticated ? 'adaptiveUnauthenticatedLimit' : 'adaptiveLimit';
      totals.numbers.set(number, value);
      continue;
    }
    const isPackObjects = native.of === 'pack-objects';
    const rpc = isPackObjects ? undefined : rpcOf(labels);
    if (rpc === undefined && !isPackObjects) continue;
    hasPackObjects ||= isPackObjects;
    addSample(rpc === undefined ? packObjects : totalsOf(rpc), native, sample);
  }

  const drops = countsDrops(version, new Set(samples.map(({ name }) => name)));
  return {
    version,
    rpcs: [...rpcs.values()].map((rpc) => ({
      service: rpc.service,
      method: rpc.method,
      ...useOf(rpc, drops),
      droppedUnauthenticated: rpc.reportsUsers ? rpc.droppedUnauthenticated : undefined,
    })),
    packObjects: hasPackObjects ? useOf(packObjects, true) : undefined,
    backoffs,
  };
}

/** Sums over the samples of one RPC, or of pack-objects. */
interface Totals {
  readonly numbers: Map<'inProgress' | 'queued' | 'adaptiveLimit' | 'adaptiveUnauthenticatedLimit', number>;
  readonly dropped: Map<DropReason, number>;
  readonly droppedUnauthenticated: Map<DropReason, number>;
  reportsUsers: boolean;
  readonly waits: HistogramSum;
}

const newTotals = (): Totals => ({
  numbers: new Map(),
  dropped: new Map(),
  droppedUnauthenticated: new Map(),
  reportsUsers: false,
  waits: createHistogramSum(),
});

function addSample(totals: Totals, { measures, part }: NativeSample, { labels, value }: TextSample): void {
  switch (measures) {
    case 'in progress':
      add(totals.numbers, 'inProgress', value);
      return;
    case 'queued':
      add(totals.numbers, 'queued', value);
      return;
    case 'wait':
      if (part !== undefined) totals.waits.add(part, labels, value);
      return;
    case 'dropped': {
      const reason = reasonOf(labels.get('reason'));
      add(totals.dropped, reason, value);
      const user = hadUser(labels);
      totals.reportsUsers ||= user !== undefined;
      if (user === false) add(totals.droppedUnauthenticated, reason, value);
      return;
    }
    case 'shed':
      add(totals.dropped, 'load_shed', value);
      return;
    default:
      throw new Error(`${measures} is not of an RPC`);
  }
}

const useOf = ({ numbers, dropped, waits }: Totals, drops: boolean): LimitUse => ({
  inProgress: numbers.get('inProgress'),
  queued: numbers.get('queued'),
  wait: waits.sum(),
  dropped: drops ? dropped : undefined,
  adaptiveLimit: numbers.get('adaptiveLimit'),
  adaptiveUnauthenticatedLimit: numbers.get('adaptiveUnauthenticatedLimit'),
});

function add<Key>(numbers: Map<Key, number>, key: Key, value: number): void {
  numbers.set(key, (numbers.get(key) ?? 0) + value);
}

/** Rebuilds histograms from the samples of a page, and adds up those that differ only in labels. */
interface HistogramSum {
  add(part: HistogramPart, labels: ReadonlyMap<string, string>, value: number): void;
  /** Undefined when there was none, when one of them is inconsistent, or when their buckets differ. */
  sum(): WaitHistogram | undefined;
}

interface HistogramParts {
  readonly buckets: Map<number, number>;
  sum: number | undefined;
  count: number | undefined;
}

function createHistogramSum(): HistogramSum {
  const series = new Map<string, HistogramParts>();
  return {
    add(part, labels, value) {
      const others = [...labels].filter(([name]) => name !== 'le').sort(([a], [b]) => (a < b ? -1 : 1));
      const key = JSON.stringify(others);
      const parts = series.get(key) ?? { buckets: new Map(), sum: undefined, count: undefined };
      series.set(key, parts);
      if (part !== 'bucket') parts[part] = value;
      else parts.buckets.set(readValue(labels.get('le') ?? '') ?? Number.NaN, value);
    },
    sum() {
      const [first, ...others] = [...series.values()].map(histogramFrom);
      return others.reduce((total, next) => total && next && plus(total, next), first);
    },
  };
}

/** A histogram whose buckets rise and end at +Inf with its count, or undefined. */
function histogramFrom({ buckets, sum, count }: HistogramParts): WaitHistogram | undefined {
  if (sum === undefined || count === undefined || !Number.isFinite(count)) return undefined;
  const rising = [...buckets].sort(([a], [b]) => a - b).map(([le, inBucket]) => ({ le, count: inBucket }));
  const last = rising.at(-1);
  if (last?.le !== Number.POSITIVE_INFINITY || last.count !== count) return undefined;
  const isConsistent = rising.every(
    (bucket, index) => !Number.isNaN(bucket.le) && bucket.count >= (rising[index - 1]?.count ?? 0),
  );
  return isConsistent ? { buckets: rising, sum, count } : undefined;
}

function plus(a: WaitHistogram, b: WaitHistogram): WaitHistogram | undefined {
  if (a.buckets.length !== b.buckets.length || a.buckets.some(({ le }, i) => le !== b.buckets[i]?.le))
    return undefined;
  return {
    buckets: a.buckets.map(({ le, count }, index) => ({ le, count: count + (b.buckets[index]?.count ?? 0) })),
    sum: a.sum + b.sum,
    count: a.count + b.count,
  };
}
