/** Why containers of a pod wait, and which of the reasons are failures that do not end by themselves in seconds. */
import { allContainers } from './counters.ts';
import { type WaitingReason, waitingReasons } from './metrics.ts';
import type { Pod } from './objects/types.ts';

/** One for each waiting container, init containers included. */
export const waitingReasonsOf = (pod: Pod): readonly WaitingReason[] =>
  allContainers(pod).flatMap(({ state }) =>
    state.kind === 'waiting' ? [waitingReasons.find((each) => each === state.reason) ?? 'other'] : [],
  );

export type StartFailure = 'crash' | 'image' | 'config';

const startFailures: ReadonlyMap<WaitingReason, StartFailure> = new Map([
  ['CrashLoopBackOff', 'crash'],
  ['ImagePullBackOff', 'image'],
  ['ErrImagePull', 'image'],
  ['InvalidImageName', 'image'],
  ['CreateContainerConfigError', 'config'],
  ['CreateContainerError', 'config'],
  ['RunContainerError', 'config'],
]);

/** The worst failure among the reasons; undefined where containers wait for something that usually comes. */
export function startFailureOf(reasons: readonly WaitingReason[]): StartFailure | undefined {
  const found = reasons.map((reason) => startFailures.get(reason));
  return (['crash', 'image', 'config'] as const).find((each) => found.includes(each));
}
