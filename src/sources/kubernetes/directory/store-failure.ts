/** Whether what a watch holds may be told as what is there now. */

import type { Failure } from '../../../scheduler/outcome.ts';
import type { Store } from '../store.ts';

/** Undefined while the store is current; else why it is not, naming the right that is missing where one is. */
export function notCurrent(store: Store<unknown>, resource: string): Failure | undefined {
  const { current, failure, heardAt } = store.state();
  if (current) return undefined;
  return (
    failure ?? {
      reason: 'timeout',
      message:
        heardAt === undefined
          ? `the ${resource} of Kubernetes' API were not listed yet`
          : `nothing was heard of the ${resource} from Kubernetes' API for too long, not even a bookmark; what was last heard is withdrawn (kubernetes.stale-after)`,
    }
  );
}
