/** Lets others run: a burst of events must not hold the event loop, and scrapes with it. */

const mostMs = 2;

/** Each call waits for the event loop's next turn if the last turn was long ago; else it costs nothing. */
export function breather(): () => Promise<void> {
  let since = performance.now();
  return async () => {
    if (performance.now() - since < mostMs) return;
    await new Promise<void>((resolve) => setImmediate(resolve));
    since = performance.now();
  };
}
