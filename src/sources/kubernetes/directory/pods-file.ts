/**
 * Gitaly's pods on this node for the cgroup source, from a file (cgroup.pods-file) in place of the Kubernetes API.
 */
import { watch } from 'node:fs';
import { dirname } from 'node:path';
import type { Clock } from '../../../lib/clock.ts';
import { isForbidden, whyUnreadable } from '../../../lib/files.ts';
import type { Failure } from '../../../scheduler/outcome.ts';
import { createPodList, type GitalyPodDirectory } from './pod-list.ts';
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
  const list = createPodList(clock);
  let failure: Failure | undefined = {
    reason: 'timeout',
    message: `cgroup.pods-file: ${file} has not been read yet`,
  };
  let readAt = Number.NEGATIVE_INFINITY;
  let reading: Promise<void> | undefined;
  let isReadAgain = false;
  let isClosed = false;

  async function readOnce(): Promise<void> {
    readAt = clock.monotonic();
    const before = failure?.message;
    let isChanged = false;
    try {
      const found = await readText(file);
      if (found !== text || failure !== undefined) isChanged = update(found);
      text = found;
    } catch (error) {
      failure = readFailure(file, error);
    }
    if (!isClosed && (isChanged || failure?.message !== before)) list.notify();
  }

  /** Returns whether the pods changed. */
  function update(found: string): boolean {
    const result = parsePodsFile(found);
    if (!result.ok) {
      failure = { reason: result.reason, message: `cgroup.pods-file: ${file}: ${result.why}. ${howToWrite}` };
      return false;
    }
    const [first] = result.skipped;
    failure =
      first === undefined
        ? undefined
        : {
            reason: 'parse',
            message: `cgroup.pods-file: ${file}: ${result.skipped.length} of its objects were skipped, the first because of ${first}. ${howToWrite}`,
          };
    return list.replace(result.pods);
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
      if (!isClosed && clock.monotonic() - readAt >= pollMs) void read();
      return { pods: list.all(), failure };
    },
    subscribe: list.subscribe,
    close() {
      isClosed = true;
      stopWatching();
    },
  };
}

const howToWrite =
  'Write it with `kubectl get pods -A -l app=gitaly -o json` to another name, then rename it with mv';

function readFailure(file: string, error: unknown): Failure {
  const isDenied = isForbidden(error);
  const fix = isDenied ? 'Allow it with chmod a+r; the names of pods are not secret' : howToWrite;
  return {
    reason: isDenied ? 'permission' : 'parse',
    message: `cgroup.pods-file: ${file} ${whyUnreadable(error)}. ${fix}`,
  };
}
