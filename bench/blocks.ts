/**
 * How long the event loop was blocked at most, in CPU time of this thread between two runs of a timer: wall time would
 * include other processes on a busy machine. An idle loop shows 1 ms.
 */
export function measureBlocks() {
  const used = (): number => {
    const { user, system } = process.threadCpuUsage();
    return (user + system) / 1000;
  };
  let last = used();
  let longest = 0;
  setInterval(() => {
    const now = used();
    longest = Math.max(longest, now - last);
    last = now;
  }, 1);
  return {
    longestMs: () => Math.max(longest, used() - last),
    reset() {
      longest = 0;
      last = used();
    },
    exclude(work: () => void) {
      const before = used();
      work();
      last += used() - before;
    },
  };
}
