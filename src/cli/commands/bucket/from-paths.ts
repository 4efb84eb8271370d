/** Bucket lookups without a database, for paths on the command line or on standard input. */
import { once } from 'node:events';
import { bucketName, bucketsOn } from '../../../buckets/hash.ts';
import { bucketsOfReplica } from '../../../buckets/listing.ts';
import { type PathReading, pathsOf } from '../../../buckets/paths.ts';
import { matchingGitalys } from '../../../buckets/sizes.ts';
import { counted } from '../../../lib/format.ts';
import type { ExitCode } from '../../command.ts';
import {
  BucketError,
  type BucketRequest,
  certainOrPossible,
  checkBucket,
  printable,
  printReplicas,
  sizesOn,
} from './lookup.ts';

export async function lookUpPaths(request: BucketRequest): Promise<ExitCode> {
  const { target } = request;
  if (target.kind !== 'path') return fromInput(request);
  const { path } = target;
  const replicas = storagesFor(request).map((storage) =>
    bucketsOfReplica({ storage, replicaPath: path }, sizesOn(storage, request)),
  );
  printReplicas(request, path, replicas);
  return 0;
}

/** The requested storage, or those that configurations name. A guess could give a wrong bucket. */
function storagesFor({ options, known }: BucketRequest): readonly string[] {
  if (options.storage !== undefined) return [options.storage];
  const names = new Set(matchingGitalys(known.gitalys, {}).flatMap(({ storages }) => storages));
  if (names.size > 0) return [...names];
  throw new BucketError(
    'the bucket depends on the storage: set --storage (`default` on a single GitLab server), or set gitaly.config-file to its config.toml',
  );
}

async function fromInput(request: BucketRequest): Promise<ExitCode> {
  const { target, io, options } = request;
  const input = io.stdin?.();
  if (input === undefined || input.isTTY === true)
    throw new BucketError(
      "no paths: set praefect.database.url and pass a path or a bucket's number, or pipe paths in, such as find @hashed -name '*.git' -prune | gitaly-exporter bucket 17 --storage default --count 100",
    );
  const [storage, ...others] = storagesFor(request);
  if (storage === undefined || others.length > 0)
    throw new BucketError('paths on standard input belong to one storage: set --storage');
  const sizes = sizesOn(storage, request);
  const wanted = target.kind === 'bucket' ? target.bucket : undefined;
  if (wanted !== undefined) checkBucket(wanted, storage, sizes);

  const bucketsHere = bucketsOn(storage, sizes);
  const separator = options.null ? '\0' : '\n';
  const wrong: string[] = [];
  let wrongPaths = 0;
  let paths = 0;
  let found = 0;
  let text = '';
  // The writer of the pipe may be silent for a long time.
  io.signal.addEventListener('abort', () => input.destroy?.(), { once: true });
  try {
    for await (const some of pathsOf(input, separator)) {
      for (const read of some) take(read);
      const lines = text;
      text = '';
      await write(lines);
    }
  } catch (error) {
    if (!io.signal.aborted) throw error;
  }
  if (io.signal.aborted) return 2;
  if (wrongPaths > 0)
    io.stderr.write(
      `gitaly-exporter: ${counted(wrongPaths, 'path was', 'paths were')} skipped: ${wrong.join('; ')}${wrongPaths > wrong.length ? '; …' : ''}\n`,
    );
  if (wanted !== undefined) {
    const more = found > options.limit ? `, of which ${options.limit} are listed (--limit)` : '';
    io.stderr.write(
      `${bucketName(wanted)} of ${sizes.count} on ${storage}: ${found.toLocaleString('en')} of ${counted(paths, 'path', 'paths')} ${certainOrPossible(found === 1 ? 'runs' : 'run', 'may run', sizes)} Git there${more}\n`,
    );
  }
  return paths === 0 && wrongPaths > 0 ? 2 : found > 0 ? 0 : 1;

  function take(read: PathReading): void {
    if (!read.ok) {
      wrongPaths += 1;
      if (wrong.length < 3) wrong.push(read.problem);
      return;
    }
    paths += 1;
    const buckets = bucketsHere(read.path);
    if (wanted !== undefined && !buckets.includes(wanted)) return;
    found += 1;
    if (wanted === undefined || found <= options.limit) text += `${lineOf(read.path, buckets)}${separator}`;
  }

  function lineOf(path: string, buckets: readonly number[]): string {
    if (options.output === 'json') return JSON.stringify({ path, storage, buckets: buckets.map(bucketName) });
    // Piped output must stay unchanged; output on a terminal must not move the cursor.
    const shown = io.stdout.isTTY ? printable(path) : path;
    return wanted === undefined ? `${buckets.map(bucketName).join(',')}\t${shown}` : shown;
  }

  /** Waits for a slow reader, so that output does not pile up in memory. */
  async function write(some: string): Promise<void> {
    const { stdout } = io;
    if (some === '' || stdout.write(some) !== false || !('once' in stdout)) return;
    await once(stdout as unknown as NodeJS.WritableStream, 'drain').catch(() => undefined);
  }
}
