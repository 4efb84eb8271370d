/** Reads that failed, as one failure of the collector: what it could read is shown all the same. */
import type { Failure, FailureReason } from '../../scheduler/outcome.ts';
import { type ReadFailure, readFailures } from './files/reading.ts';

export type FailureCounts = Readonly<Record<ReadFailure, number>>;

const reasons: Readonly<Record<ReadFailure, FailureReason>> = {
  permission: 'permission',
  too_many_open_files: 'query',
  malformed: 'parse',
  io: 'query',
};

const mends: Readonly<Record<ReadFailure, string>> = {
  permission: "let the exporter's user read there",
  too_many_open_files: "raise the limit on the exporter's open files (LimitNOFILE, ulimit -n)",
  malformed: 'what stands there is not what a kernel writes: check that cgroup.root is a cgroup v2 tree',
  io: "the kernel does not let it be read: see the kernel's log",
};

/** Undefined when none failed between the two counts. `where`: names of files that are known to be among them. */
export function readProblem(
  before: FailureCounts,
  after: FailureCounts,
  where: readonly string[],
): Failure | undefined {
  const failed = readFailures.filter((reason) => after[reason] > before[reason]);
  const [first] = failed;
  if (first === undefined) return undefined;
  const counts = failed.map((reason) => `${after[reason] - before[reason]} ${reason}`).join(', ');
  const named = where.slice(0, 3).join('; ');
  const more = where.length > 3 ? ` and ${where.length - 3} more` : '';
  const places = where.length > 0 ? `: ${named}${more}` : '';
  return {
    reason: reasons[first],
    message: `some cgroup files could not be read (${counts})${places}. What they would have said is absent; ${failed.map((reason) => mends[reason]).join('; ')}`,
  };
}
