/**
 * When a pod passed each point of its way to Ready, by two kinds of time that are never held against each other:
 * when the change came in (`seen`, our clock, only of changes that came live), and what the object itself says
 * (`told`, whole seconds, by the clock of whoever wrote it: the control plane's or that node's).
 */
import type { Container, Pod } from '../objects/types.ts';

export interface Mark {
  readonly seen: number | undefined;
  readonly told: Told | undefined;
}

export interface Told {
  readonly at: number;
  readonly by: Teller;
}

/** `api` is the control plane; else the node that the kubelet is on. */
export type Teller = 'api' | `node ${string}`;

export const nodeTeller = ({ node }: Pod): Teller => `node ${node}`;

export const podPoints = [
  'created',
  'scheduled',
  'sandbox',
  'initialized',
  'running',
  'started',
  'ready',
] as const;
export type PodPoint = (typeof podPoints)[number];

/** Points that were passed. */
export type Marks = Partial<Record<PodPoint, Mark>>;

/** Adds what `pod` has passed since; `at` is undefined where it was listed and not seen live. */
export function markPod(marks: Marks, pod: Pod, at: number | undefined): void {
  for (const point of podPoints) {
    if (marks[point] !== undefined) continue;
    const passed = passes[point](pod);
    if (passed !== undefined) marks[point] = { seen: at, told: passed.told };
  }
}

/** Forgets how far the containers were: one of them has ended. */
export function unmarkContainers(marks: Marks): void {
  delete marks.running;
  delete marks.started;
  delete marks.ready;
}

interface Passed {
  readonly told: Told | undefined;
}

/** Undefined: not passed yet. */
const passes: Readonly<Record<PodPoint, (pod: Pod) => Passed | undefined>> = {
  created: ({ createdAt }) => ({ told: { at: createdAt, by: 'api' } }),
  scheduled: (pod) =>
    pod.node === '' ? undefined : { told: told(pod.conditions['PodScheduled']?.since, 'api') },
  sandbox: (pod) => {
    const condition = pod.conditions['PodReadyToStartContainers'];
    const starts = [...pod.initContainers, ...pod.containers].flatMap(startsOf);
    // Once a container ran there was a sandbox, whatever became of it.
    if (condition?.status !== 'True' && starts.length === 0) return undefined;
    const at = condition?.status === 'True' ? condition.since : Math.min(...starts);
    return { told: told(at, nodeTeller(pod)) };
  },
  initialized: (pod) => {
    // Without init containers a kubelet says so before it has even a sandbox.
    if (!pod.initContainers.some(({ sidecar }) => !sidecar)) return passes.sandbox(pod);
    const condition = pod.conditions['Initialized'];
    return condition?.status === 'True' ? { told: told(condition.since, nodeTeller(pod)) } : undefined;
  },
  running: ({ containers, ...pod }) => {
    if (containers.length === 0 || containers.some(({ state }) => state.kind !== 'running')) return undefined;
    const starts = containers.map(({ state }) => (state.kind === 'running' ? state.startedAt : undefined));
    const known = starts.filter((start) => start !== undefined);
    // The last of them counts, which nobody knows while one is not told.
    return { told: told(known.length < starts.length ? undefined : Math.max(...known), `node ${pod.node}`) };
  },
  started: (pod) => {
    if (!pod.containers.every(({ started }) => started)) return undefined;
    // Nothing on the API says when a startup probe passed.
    return pod.containers.some(({ startupProbe }) => startupProbe !== undefined)
      ? { told: undefined }
      : passes.running(pod);
  },
  ready: (pod) =>
    isReady(pod) ? { told: told(pod.conditions['Ready']?.since, nodeTeller(pod)) } : undefined,
};

export const isReady = (pod: Pod): boolean => pod.conditions['Ready']?.status === 'True';

function startsOf({ state, lastTermination: last }: Container): readonly number[] {
  const current = state.kind === 'running' || state.kind === 'terminated' ? state.startedAt : undefined;
  return [current, last?.startedAt].filter((start) => start !== undefined);
}

export const told = (at: number | undefined, by: Teller): Told | undefined =>
  at === undefined ? undefined : { at, by };
