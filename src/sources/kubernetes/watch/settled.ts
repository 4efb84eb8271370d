/** Waiting until something is known, at the start: a first look at empty stores would call everything unknown. */
import type { Clock } from '../../../lib/clock.ts';
import type { KubeStores } from './stores.ts';

const pollMs = 50;

/** Resolves when every watched resource was listed or cannot be, or when the signal aborts. */
export async function settled(stores: KubeStores, clock: Clock, signal: AbortSignal): Promise<void> {
  const isOpen = (): boolean =>
    stores.watched.some((resource) => {
      const { heardAt, failure } = stores.byResource(resource).state();
      return heardAt === undefined && failure === undefined;
    });
  while (!signal.aborted && isOpen()) await clock.sleep(pollMs, signal);
}
