/**
 * Which buckets of one Gitaly get series of their own: the busiest, and every one that had an OOM kill. Series that come
 * and go are of little use on a graph, so a selected bucket stays until clearly overtaken, and for a minimum time.
 */

/** The score of a bucket without activity halves in this time. */
const halfLifeMs = 2 * 60_000;
/** How long a busy bucket stays at least. */
const holdMs = 10 * 60_000;
/** A bucket takes the place of another when its score exceeds the other's by this factor. */
const margin = 1.25;

export interface Busiest {
  /**
   * `at`: monotonic milliseconds. `activity`: by bucket, how busy it was since the last update, for every existing
   * bucket; undefined where that could not be read: then its score stays. `killed`: those that had an OOM kill.
   * Returns the selected buckets, including the killed ones, whether or not they still exist.
   */
  update(
    at: number,
    activity: ReadonlyMap<number, number | undefined>,
    killed: ReadonlySet<number>,
  ): ReadonlySet<number>;
}

/** A thousandth of a core, or a MiB in use: below it a bucket is idle, and idle buckets are not ranked. */
const idleBelow = 0.001;

/** @param top number of buckets at most, not counting those with kills */
export function createBusiest(top: number): Busiest {
  let updatedAt: number | undefined;
  const scores = new Map<number, number>();
  /** By bucket, until when it stays however busy the others are. */
  const members = new Map<number, number>();
  const scoreOf = (bucket: number): number => scores.get(bucket) ?? 0;

  function enterScores(at: number, activity: ReadonlyMap<number, number | undefined>): void {
    // Nothing is known about the time before the first update, so its activity is the score.
    const kept = updatedAt === undefined ? 0 : 0.5 ** ((at - updatedAt) / halfLifeMs);
    updatedAt = at;
    for (const bucket of scores.keys()) if (!activity.has(bucket)) scores.delete(bucket);
    for (const [bucket, busy] of activity) {
      const score = scoreOf(bucket);
      scores.set(bucket, busy === undefined ? score : score * kept + busy * (1 - kept));
    }
  }

  /** An idle bucket can be replaced immediately. */
  const admit = (bucket: number, at: number): void => {
    members.set(bucket, scoreOf(bucket) >= idleBelow ? at + holdMs : at);
  };

  const byScore = (a: number, b: number): number => scoreOf(b) - scoreOf(a) || a - b;

  return {
    update(at, activity, killed) {
      enterScores(at, activity);
      for (const bucket of members.keys())
        if (!scores.has(bucket) || killed.has(bucket)) members.delete(bucket);

      const replaceable = [...members.keys()].filter((bucket) => (members.get(bucket) ?? at) <= at);
      const isFull = members.size >= top;
      const toBeat = isFull ? Math.max(idleBelow, margin * Math.min(...replaceable.map(scoreOf))) : 0;
      const candidates = best(
        top,
        scores,
        (bucket, score) => score >= toBeat && !members.has(bucket) && !killed.has(bucket),
      ).values();
      for (let free = top - members.size; free > 0; free--) {
        const { value: next } = candidates.next();
        if (next === undefined) break;
        admit(next, at);
      }
      const weakestFirst = replaceable.sort(byScore).reverse();
      for (const [index, next] of [...candidates].entries()) {
        const weakest = weakestFirst[index];
        if (weakest === undefined || scoreOf(next) < idleBelow || scoreOf(next) <= margin * scoreOf(weakest))
          break;
        members.delete(weakest);
        admit(next, at);
      }
      return new Set([...killed, ...members.keys()]);
    },
  };
}

/**
 * At most `count` of the scores that pass, the highest first, equal ones by number. For 10,000 buckets this takes 2 ms;
 * sorting all of them with a map lookup per comparison took 20 ms.
 */
function best(
  count: number,
  scores: ReadonlyMap<number, number>,
  passes: (bucket: number, score: number) => boolean,
): readonly number[] {
  const passed = [...scores].filter(([bucket, score]) => passes(bucket, score));
  const lowest =
    Float64Array.from(passed, ([, score]) => score).sort()[Math.max(0, passed.length - count)] ?? 0;
  const above = passed.filter(([, score]) => score > lowest);
  const equal = passed.filter(([, score]) => score === lowest);
  return [
    ...above.sort(([a, x], [b, y]) => y - x || a - b),
    ...equal.sort(([a], [b]) => a - b).slice(0, count - above.length),
  ].map(([bucket]) => bucket);
}
