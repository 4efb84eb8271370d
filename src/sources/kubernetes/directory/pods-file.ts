/**
 * Gitaly's pods on this node for the cgroup source, from a file (cgroup.pods-file) in place of the Kubernetes API.
 */
import { watch } from 'node:fs';
import { dirname } from 'node:path';
import type { Clock } from '../../../lib/clock.ts';
import { codeOf } from '../../../lib/errors.ts';
import { readErrorText } from '../../../lib/files.ts';
import type { Failure } from '../../../scheduler/outcome.ts';
import { asDeleted, type GitalyPodDirectory, keepDeletedMs, type PodSummary } from './pod-directory.ts';
import { parsePodsFile } from './pods-file-text.ts';

/**
 * Calls the listener when anything in a folder changes; returns how to stop. It may throw and may miss changes, as
 * fs.watch does: polling finds the same changes, only later.
 */
export type WatchFolder = (folder: string, listener: () => void) => () => void;

export const watchFolder: WatchFolder = (folder, listener) => {
  const watcher = watch(folder, { persistent: false }, listener);
  // When the folder is removed.
  watcher.on('error', () => watcher.close());
  return () => watcher.close();
};

interface PodsFileOptions {
  /** Path of the file. */
  readonly file: string;
  /** Rejects as node:fs does. */
  readonly readText: (path: string) => Promise<string>;
  readonly clock: Clock;
  readonly watch: WatchFolder;
}

export interface PodsFileDirectory extends GitalyPodDirectory {
  /** Resolves after the first attempt to read the file. */
  readonly ready: Promise<void>;
}

/** Each use reads the file again after this long, to find changes that the folder's watch missed. */
const pollMs = 5000;

/**
 * Compares the file's text, not its modification time: a mounted ConfigMap is updated by a symbolic link two
 * folders up, and two writes may have the same time. While the file cannot be read, its last pods are kept, and
 * `failure` has the reason.
 */
export function createPodsFileDirectory(options: PodsFileOptions): PodsFileDirectory {
  const { file, readText, clock } = options;
  let text: string | undefined;
  let listed: readonly PodSummary[] = [];
  let failure: Failure | undefined = {
    reason: 'timeout',
    message: `cgroup.pods-file: ${file} has not been read yet`,
  };
  let readAt = Number.NEGATIVE_INFINITY;
  let reading: Promise<void> | undefined;
  let isReadAgain = false;
  let isClosed = false;
  const deleted = new Map<string, { readonly pod: PodSummary; readonly until: number }>();
  const listeners = new Set<() => void>();

  async function readOnce(): Promise<void> {
    readAt = clock.monotonic();
    const before = JSON.stringify([listed, failure]);
    try {
      const found = await readText(file);
      if (found !== text || failure !== undefined) update(found);
      text = found;
    } catch (error) {
      failure = readFailure(file, error);
    }
    if (isClosed || JSON.stringify([listed, failure]) === before) return;
    for (const listener of [...listeners]) listener();
  }

  function update(found: string): void {
    const result = parsePodsFile(found);
    if (!result.ok) {
      failure = { reason: result.reason, message: `cgroup.pods-file: ${file}: ${result.why}. ${howToWrite}` };
      return;
    }
    const uids = new Set(result.pods.map(({ uid }) => uid));
    for (const pod of listed)
      if (!uids.has(pod.uid))
        deleted.set(pod.uid, { pod: asDeleted(pod), until: clock.monotonic() + keepDeletedMs });
    for (const uid of uids) deleted.delete(uid);
    listed = result.pods;
    const [first] = result.skipped;
    failure =
      first === undefined
        ? undefined
        : {
            reason: 'parse',
            message: `cgroup.pods-file: ${file}: ${result.skipped.length} of its objects were skipped, the first because of ${first}. ${howToWrite}`,
          };
  }

  /** One read at a time; a change during a read causes one more read after it. */
  function read(): Promise<void> {
    isReadAgain = reading !== undefined;
    reading ??= readOnce().finally(() => {
      reading = undefined;
      if (isReadAgain && !isClosed) void read();
    });
    return reading;
  }

  let stopWatching = (): void => undefined;
  try {
    stopWatching = options.watch(dirname(file), () => void read());
  } catch {
    // Without a watch (too many of them, or no such folder) polling finds the changes.
  }

  return {
    ready: read(),
    pods() {
      const now = clock.monotonic();
      if (!isClosed && now - readAt >= pollMs) void read();
      for (const [uid, { until }] of deleted) if (until <= now) deleted.delete(uid);
      return { pods: [...listed, ...[...deleted.values()].map(({ pod }) => pod)], failure };
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close() {
      isClosed = true;
      stopWatching();
      listeners.clear();
    },
  };
}

const howToWrite =
  'Write it with `kubectl get pods -A -l app=gitaly -o json` to another name, then rename it with mv';

function readFailure(file: string, error: unknown): Failure {
  const code = codeOf(error);
  const what = `cgroup.pods-file: ${file}`;
  if (code === 'ENOENT' || code === 'ENOTDIR')
    return { reason: 'parse', message: `${what} does not exist. ${howToWrite}` };
  if (code === 'EACCES' || code === 'EPERM')
    return {
      reason: 'permission',
      message: `${what} is not readable by this user. Allow it with chmod a+r; the names of pods are not secret`,
    };
  return { reason: 'parse', message: `${what} cannot be read (${readErrorText(error)}). ${howToWrite}` };
}
