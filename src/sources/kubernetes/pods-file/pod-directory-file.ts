/** Gitaly's pods for the cgroup room, from a file (cgroup.pods-file) in place of Kubernetes' API. */
import { dirname } from 'node:path';
import type { Clock } from '../../../lib/clock.ts';
import type { ReadText } from '../../../lib/files.ts';
import type { Failure } from '../../../scheduler/outcome.ts';
import type { KnownPod } from '../../cgroup/tree.ts';
import type { OpenPodDirectory } from '../directory/pod-directory.ts';
import { readPodFile } from './pod-file.ts';

/**
 * Calls the listener when anything in a folder changes; returns how to stop. May throw and may miss changes, as
 * fs.watch does: it only makes quicker what the poll finds as well.
 */
export type WatchFolder = (folder: string, listener: () => void) => () => void;

export interface PodFileOptions {
  /** Path of the file. */
  readonly file: string;
  readonly readText: ReadText;
  readonly clock: Clock;
  readonly watch: WatchFolder;
}

export interface PodFileDirectory extends OpenPodDirectory {
  /** Resolves when the file was read for the first time, well or not. */
  readonly ready: Promise<void>;
}

/** At each use the file is read again when the last read is older than this: what no watch told, this finds. */
const pollMs = 5000;
const lingersMs = 60_000;

/**
 * The file's text is compared, not its time: a mounted ConfigMap changes by exchanging a link two folders up, and
 * two writes may share one tick. A file that cannot be read keeps the last good pods, and `failure` says what is
 * wrong with it.
 */
export function podDirectoryFromFile({ file, readText, clock, watch }: PodFileOptions): PodFileDirectory {
  let text: string | undefined;
  let listed: readonly KnownPod[] = [];
  let failure: Failure | undefined = {
    reason: 'timeout',
    message: `cgroup.pods-file: ${file} was not read yet`,
  };
  let readAt = Number.NEGATIVE_INFINITY;
  let reading: Promise<void> | undefined;
  let again = false;
  let closed = false;
  const gone = new Map<string, { readonly pod: KnownPod; readonly until: number }>();
  const listeners = new Set<() => void>();

  async function readOnce(): Promise<void> {
    readAt = clock.monotonic();
    const before = JSON.stringify([listed, failure]);
    try {
      const found = await readText(file);
      if (found !== text || failure !== undefined) take(found);
      text = found;
    } catch (error) {
      failure = unreadable(file, error);
    }
    if (closed || JSON.stringify([listed, failure]) === before) return;
    for (const listener of [...listeners]) listener();
  }

  function take(found: string): void {
    const result = readPodFile(found);
    if (!result.ok) {
      failure = { reason: result.reason, message: `cgroup.pods-file: ${file}: ${result.why}. Mend: ${mend}` };
      return;
    }
    const uids = new Set(result.pods.map(({ uid }) => uid));
    for (const pod of listed)
      if (!uids.has(pod.uid)) gone.set(pod.uid, { pod, until: clock.monotonic() + lingersMs });
    for (const uid of uids) gone.delete(uid);
    listed = result.pods;
    const [first] = result.skipped;
    failure =
      first === undefined
        ? undefined
        : {
            reason: 'parse',
            message: `cgroup.pods-file: ${file}: ${result.skipped.length} of its objects were left out, the first is ${first}. Mend: ${mend}`,
          };
  }

  /** One read at a time; a change during a read makes one more after it. */
  function read(): Promise<void> {
    again = reading !== undefined;
    reading ??= readOnce().finally(() => {
      reading = undefined;
      if (again && !closed) void read();
    });
    return reading;
  }

  const folder = dirname(file);
  let stopWatch = (): void => undefined;
  try {
    stopWatch = watch(folder, () => void read());
  } catch {
    // Without a watch (too many, or no such folder) the poll alone finds what changes.
  }

  return {
    ready: read(),
    pods() {
      const now = clock.monotonic();
      if (!closed && now - readAt >= pollMs) void read();
      for (const [uid, { until }] of gone) if (until <= now) gone.delete(uid);
      return { pods: [...listed, ...[...gone.values()].map(({ pod }) => pod)], failure };
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close() {
      closed = true;
      stopWatch();
      listeners.clear();
    },
  };
}

const mend =
  'write it anew with `kubectl get pods -A -l app=gitaly -o json`, to another name first and then by mv';

function unreadable(file: string, error: unknown): Failure {
  const code =
    typeof error === 'object' && error !== null && 'code' in error && typeof error.code === 'string'
      ? error.code
      : 'unknown error';
  const what = `cgroup.pods-file: ${file}`;
  if (code === 'ENOENT' || code === 'ENOTDIR')
    return { reason: 'parse', message: `${what} does not exist. Mend: ${mend}` };
  if (code === 'EACCES' || code === 'EPERM')
    return {
      reason: 'permission',
      message: `${what} may not be read by this user. Mend: let it (chmod a+r; the pods' names are no secret)`,
    };
  return { reason: 'parse', message: `${what} cannot be read (${code}). Mend: ${mend}` };
}
