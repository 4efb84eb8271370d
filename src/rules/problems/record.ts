/** Remembers since when each problem has been there, for as long as it is, and says in the log when it came and went. */
import type { Clock } from '../../lib/clock.ts';
import type { Log } from '../../lib/log.ts';
import type { Problem } from './praefect.ts';

export interface DatedProblem extends Problem {
  /** Seconds since 1970: what the data says, else when we first saw it. */
  readonly since: number;
}

/** Call it with the problems of the moment, every few seconds; it gives them back with their dates. */
export function createProblemRecord(
  clock: Clock,
  log: Log,
): (problems: readonly Problem[]) => readonly DatedProblem[] {
  let known = new Map<string, DatedProblem>();
  return (problems) => {
    const before = known;
    known = new Map(
      problems.map((problem) => {
        const since = problem.since ?? before.get(problem.key)?.since ?? clock.now() / 1000;
        return [problem.key, { ...problem, since }];
      }),
    );
    for (const [key, problem] of known) {
      if (!before.has(key))
        log.warn({ severity: problem.severity }, `${problem.title}: ${problem.detail ?? ''}`);
    }
    for (const [key, { title }] of before) if (!known.has(key)) log.info({}, `no longer: ${title}`);
    return [...known.values()];
  };
}
