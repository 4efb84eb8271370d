/** One Gitaly's use of its limits: what its page says, whichever version it is, in this room's terms. */
import type { HistogramSample } from '../../metrics/samples.ts';
import { createHistograms, type Histograms } from './histograms.ts';
import {
  buildInfo,
  countsDrops,
  hadUser,
  history,
  limitNameOf,
  type Rpc,
  reasonOf,
  rpcOf,
  type Tells,
} from './history.ts';
import type { DropReason } from './metrics.ts';
import type { TextSample } from './parser/sample-line.ts';

export type Waits = Omit<HistogramSample, 'labelValues'>;

/** Undefined is what the page does not say. */
export interface RpcUse extends Rpc {
  readonly inProgress: number | undefined;
  readonly queued: number | undefined;
  readonly wait: Waits | undefined;
  /** Undefined where this version counts none. */
  readonly dropped: ReadonlyMap<DropReason, number> | undefined;
  /** Of these, those without a user; undefined where no drop says. */
  readonly droppedUnauthenticated: ReadonlyMap<DropReason, number> | undefined;
  readonly adaptiveLimit: number | undefined;
  readonly adaptiveUnauthenticatedLimit: number | undefined;
}

export type PackObjectsUse = Omit<RpcUse, 'service' | 'method' | 'droppedUnauthenticated'>;

export interface ServerUse {
  /** As the server says; undefined when it does not. */
  readonly version: string | undefined;
  readonly rpcs: readonly RpcUse[];
  /** Undefined where the version has no such limit (up to 15.5). */
  readonly packObjects: PackObjectsUse | undefined;
  /** By watcher: how often it had the adaptive limits cut. */
  readonly backoffs: ReadonlyMap<string, number>;
}

/** What is gathered of one RPC, or of pack-objects. */
interface Gathered {
  readonly numbers: Map<'inProgress' | 'queued' | 'adaptiveLimit' | 'adaptiveUnauthenticatedLimit', number>;
  readonly dropped: Map<DropReason, number>;
  readonly droppedUnauthenticated: Map<DropReason, number>;
  tellsUsers: boolean;
  readonly waits: Histograms;
}

/** Samples whose value is not finite say nothing, and are as if they were not there. */
export function serverUse(samples: readonly TextSample[]): ServerUse {
  const rpcs = new Map<string, Rpc & Gathered>();
  const packObjects = gathered();
  let limitsPackObjects = false;
  const backoffs = new Map<string, number>();
  let version: string | undefined;

  function of(rpc: Rpc): Gathered {
    const key = `${rpc.service}/${rpc.method}`;
    const known = rpcs.get(key) ?? { ...rpc, ...gathered() };
    rpcs.set(key, known);
    return known;
  }

  for (const sample of samples) {
    const { name, labels, value } = sample;
    if (name === buildInfo) version = labels.get('version');
    const told = tellsOf.get(name);
    if (told === undefined) continue;
    const { tells, part } = told;
    if (part === undefined && !Number.isFinite(value)) continue;

    if (tells === 'backoffs') {
      add(backoffs, labels.get('watcher') ?? '', value);
      continue;
    }
    if (tells === 'adaptive limit') {
      const limit = limitNameOf(labels.get('limit'));
      if (limit === undefined) continue;
      const subject = limit.of === 'pack-objects' ? packObjects : of(limit.of);
      const number = limit.unauthenticated ? 'adaptiveUnauthenticatedLimit' : 'adaptiveLimit';
      subject.numbers.set(number, value);
      continue;
    }
    const ofPackObjects = tells.startsWith('pack-objects');
    const rpc = ofPackObjects ? undefined : rpcOf(labels);
    if (rpc === undefined && !ofPackObjects) continue;
    limitsPackObjects ||= ofPackObjects;
    gather(rpc === undefined ? packObjects : of(rpc), tells, part, sample);
  }

  const drops = countsDrops(version, new Set(samples.map(({ name }) => name)));
  return {
    version,
    rpcs: [...rpcs.values()].map((rpc) => ({
      service: rpc.service,
      method: rpc.method,
      ...useOf(rpc, drops),
      droppedUnauthenticated: rpc.tellsUsers ? rpc.droppedUnauthenticated : undefined,
    })),
    packObjects: limitsPackObjects ? useOf(packObjects, true) : undefined,
    backoffs,
  };
}

type Part = 'bucket' | 'sum' | 'count';

const tellsOf: ReadonlyMap<string, { readonly tells: Tells; readonly part?: Part }> = new Map(
  history.flatMap(({ family, tells }): [string, { tells: Tells; part?: Part }][] =>
    tells === 'wait' || tells === 'pack-objects wait'
      ? (['bucket', 'sum', 'count'] as const).map((part) => [`${family}_${part}`, { tells, part }])
      : [[family, { tells }]],
  ),
);

function gather(
  subject: Gathered,
  tells: Tells,
  part: Part | undefined,
  { labels, value }: TextSample,
): void {
  switch (tells) {
    case 'in progress':
    case 'pack-objects in progress':
      add(subject.numbers, 'inProgress', value);
      return;
    case 'queued':
    case 'pack-objects queued':
      add(subject.numbers, 'queued', value);
      return;
    case 'wait':
    case 'pack-objects wait':
      if (part !== undefined) subject.waits.add(part, labels, value);
      return;
    case 'dropped':
    case 'pack-objects dropped': {
      const reason = reasonOf(labels.get('reason'));
      add(subject.dropped, reason, value);
      const user = hadUser(labels);
      subject.tellsUsers ||= user !== undefined;
      if (user === false) add(subject.droppedUnauthenticated, reason, value);
      return;
    }
    case 'shed':
      add(subject.dropped, 'load_shed', value);
      return;
    default:
      throw new Error(`${tells} is not of an RPC`);
  }
}

const gathered = (): Gathered => ({
  numbers: new Map(),
  dropped: new Map(),
  droppedUnauthenticated: new Map(),
  tellsUsers: false,
  waits: createHistograms(),
});

const useOf = ({ numbers, dropped, waits }: Gathered, drops: boolean): PackObjectsUse => ({
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
