/** Messages for people about cgroups: OOM kills, files that could not be read, refused watches. */
import { bytesText, listText } from '../../lib/format.ts';
import type { Failure, FailureReason } from '../../scheduler/outcome.ts';
import { identityText } from '../identity.ts';
import { type ReadFailure, readFailures } from './files/reading.ts';
import type { OomKill, OomLevel } from './oom/record.ts';

/**
 * `1 process OOM-killed in gitlab/gl-gitaly-0, bucket 3: the bucket's memory limit of 100 MiB was exceeded (99 MiB of
 * anonymous memory after the kill)`
 */
export function oomKillText(kill: OomKill): string {
  const { processes, memory, fromAncestor } = kill;
  const victims = processes === 1 ? '1 process' : `${processes} processes`;
  const anon =
    memory.anon === undefined ? '' : ` (${bytesText(memory.anon)} of anonymous memory after the kill)`;
  const estimate = fromAncestor
    ? '; the cgroup was removed before it was read, so the level is the most likely one'
    : '';
  return `${victims} OOM-killed in ${identityText(kill.identity)}${placeText(kill)}: ${causeText(kill)}${anon}${estimate}`;
}

const placeText = ({ bucket, container }: OomKill): string =>
  bucket !== undefined ? `, bucket ${bucket}` : container !== undefined ? `, container ${container}` : '';

function causeText({ level, memory }: OomKill): string {
  const size = memory.limit === undefined ? '' : ` of ${bytesText(memory.limit)}`;
  switch (level) {
    case 'bucket':
    case 'container':
    case 'pod':
      return `the ${level}'s memory limit${size} was exceeded`;
    case 'git':
      return `the memory limit${size} for all Git processes was exceeded`;
    case 'node':
      return 'the node ran out of memory; no limit of this Gitaly was exceeded';
  }
}

/** What ran out, by the level of an OOM kill. */
export const oomLevelText: Readonly<Record<OomLevel, string>> = {
  bucket: "a bucket's memory limit",
  git: 'the memory limit for all Git processes',
  container: "the container's memory limit",
  pod: "the pod's memory limit",
  node: "the node's memory",
};

/** Why a read of cgroups can fail. */
export const cgroupFailureReasons = [
  'timeout',
  'permission',
  'query',
  'parse',
  'missing',
  'internal',
] as const;

export type FailureCounts = Readonly<Record<ReadFailure, number>>;

const reasonOfFailure: Readonly<Record<ReadFailure, FailureReason>> = {
  permission: 'permission',
  too_many_open_files: 'query',
  malformed: 'parse',
  io: 'query',
};

const fixes: Readonly<Record<ReadFailure, string>> = {
  permission: "grant the exporter's user read access to them",
  too_many_open_files: "raise the exporter's limit on open files (LimitNOFILE, ulimit -n)",
  malformed: 'check that cgroup.root is a cgroup v2 file system',
  io: "check the kernel's log",
};

/**
 * Reads that failed between the two counts, as one failure of the collector; undefined when none did.
 * @param where names of files or buckets that are known to be among them
 */
export function readFailure(
  before: FailureCounts,
  after: FailureCounts,
  where: readonly string[],
): Failure | undefined {
  const failed = readFailures.filter((reason) => after[reason] > before[reason]);
  const [first] = failed;
  if (first === undefined) return undefined;
  const counts = failed.map((reason) => `${after[reason] - before[reason]} ${reason}`).join(', ');
  const places = where.length > 0 ? `: ${listText(where, 3)}` : '';
  return {
    reason: reasonOfFailure[first],
    message: `some cgroup files could not be read (${counts})${places}. Their values are absent; ${failed.map((reason) => fixes[reason]).join('; ')}`,
  };
}

/** @param code the error with which the kernel refused an inotify watch */
export function refusedWatchText(code: string): string {
  const fix =
    code === 'ENOSPC'
      ? ': raise fs.inotify.max_user_watches on the host'
      : code === 'EMFILE'
        ? ': raise fs.inotify.max_user_instances on the host'
        : '';
  return `the kernel refused an inotify watch (${code}), so OOM kills and new pods are found by polling only${fix}`;
}
