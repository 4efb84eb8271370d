/** One question at a time, in order of arrival. */

export interface Queue {
  /**
   * Waits for its turn; the function that it gives must be called when the work is done. Undefined when the
   * signal aborts before: the place in the queue is given up.
   */
  enter(signal: AbortSignal): Promise<(() => void) | undefined>;
}

export function createQueue(): Queue {
  const waiting: (() => void)[] = [];
  let taken = false;

  function leave(): void {
    const next = waiting.shift();
    if (next === undefined) taken = false;
    else next();
  }

  function once(): () => void {
    let left = false;
    return () => {
      if (!left) leave();
      left = true;
    };
  }

  return {
    async enter(signal) {
      if (signal.aborted) return undefined;
      if (!taken) {
        taken = true;
        return once();
      }
      return new Promise((resolve) => {
        const giveUp = (): void => {
          waiting.splice(waiting.indexOf(turn), 1);
          resolve(undefined);
        };
        const turn = (): void => {
          signal.removeEventListener('abort', giveUp);
          resolve(once());
        };
        waiting.push(turn);
        signal.addEventListener('abort', giveUp, { once: true });
      });
    },
  };
}
