/**
 * A concurrency limit as Gitaly's internal/limiter has it: so many at once for each key (a repository, a client's
 * address), so many more in that key's queue, each for so long at most.
 *
 * Time comes in steps from outside; nothing runs by itself.
 */

export interface LimitSetting {
  readonly limit: number;
  readonly queueSize: number;
  readonly queueWaitMs: number;
}

export type Refusal = 'max_size' | 'max_time';

export interface Limiter {
  /** A call that will take this long once it runs. */
  arrive(key: string, durationMs: number, now: number): void;
  /** Ends what has ended by now, and lets in what waits. */
  advance(now: number): void;
  setLimit(limit: number): void;
  readonly state: LimiterState;
}

export interface LimiterState {
  limit: number;
  inProgress: number;
  queued: number;
  served: number;
  readonly dropped: Record<Refusal, number>;
  /** How long those that ran had waited: cumulative counts by `waitBounds`, then the sum. */
  readonly waits: { readonly buckets: number[]; sum: number; count: number };
}

/** grpc_latency_buckets, in seconds, as Gitaly has them by default. */
export const waitBounds = [0.001, 0.005, 0.025, 0.1, 0.5, 1, 10, 30, 60, 300, 1500] as const;

interface Call {
  readonly durationMs: number;
  readonly arrivedAt: number;
}

interface Key {
  /** When each that runs will end. */
  running: number[];
  waiting: Call[];
}

export function createLimiter(setting: LimitSetting): Limiter {
  const keys = new Map<string, Key>();
  const state: LimiterState = {
    limit: setting.limit,
    inProgress: 0,
    queued: 0,
    served: 0,
    dropped: { max_size: 0, max_time: 0 },
    waits: { buckets: waitBounds.map(() => 0), sum: 0, count: 0 },
  };

  function run(key: Key, call: Call, now: number): void {
    key.running.push(now + call.durationMs);
    state.inProgress += 1;
    const waited = (now - call.arrivedAt) / 1000;
    for (const [index, bound] of waitBounds.entries())
      if (waited <= bound) state.waits.buckets[index] = (state.waits.buckets[index] ?? 0) + 1;
    state.waits.sum += waited;
    state.waits.count += 1;
  }

  return {
    state,
    setLimit(limit) {
      state.limit = limit;
    },
    arrive(name, durationMs, now) {
      const key = keys.get(name) ?? { running: [], waiting: [] };
      keys.set(name, key);
      const call = { durationMs, arrivedAt: now };
      if (key.running.length < state.limit) run(key, call, now);
      else if (key.waiting.length < setting.queueSize) {
        key.waiting.push(call);
        state.queued += 1;
      } else state.dropped.max_size += 1;
    },
    advance(now) {
      for (const [name, key] of keys) {
        const still = key.running.filter((endsAt) => endsAt > now);
        state.served += key.running.length - still.length;
        state.inProgress -= key.running.length - still.length;
        key.running = still;
        const patient = key.waiting.filter(({ arrivedAt }) => now - arrivedAt < setting.queueWaitMs);
        state.dropped.max_time += key.waiting.length - patient.length;
        state.queued -= key.waiting.length - patient.length;
        key.waiting = patient;
        while (key.running.length < state.limit) {
          const next = key.waiting.shift();
          if (next === undefined) break;
          state.queued -= 1;
          run(key, next, now);
        }
        if (key.running.length === 0 && key.waiting.length === 0) keys.delete(name);
      }
    },
  };
}
