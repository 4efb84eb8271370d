/**
 * Reading files that settings name, within a bound on bytes and time: a path may lead to a named pipe without a writer,
 * an endless device, or a mount whose server does not respond. Production passes these functions, tests a table of texts.
 */
import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { codeOf } from './errors.ts';
import { bytesText, durationText } from './format.ts';

/** The text of a file; rejects as node:fs does, and with a `FileLimitError`. */
export type ReadText = (path: string) => Promise<string>;

interface ReadLimits {
  readonly maxBytes?: number;
  /** Milliseconds. */
  readonly timeoutMs?: number;
}

type LimitCode = 'NOT_REGULAR' | 'TOO_LARGE' | 'TIMED_OUT';

/** The file exists, but reading it would not end, or not within the limits. */
export class FileLimitError extends Error {
  readonly code: LimitCode;
  constructor(code: LimitCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** Far above any configuration, certificate or list of pods. */
const defaultMaxBytes = 32 * 1024 ** 2;
const defaultTimeoutMs = 5000;
const chunkBytes = 64 * 1024;

/** Without O_NONBLOCK the opening of a named pipe waits for a writer. Regular files are not affected. */
const flags = constants.O_RDONLY | constants.O_NONBLOCK;

/** Links are followed: Kubernetes mounts ConfigMaps and Secrets as links. UTF-8. */
export async function readTextFile(path: string, limits: ReadLimits = {}): Promise<string> {
  const { maxBytes = defaultMaxBytes, timeoutMs = defaultTimeoutMs } = limits;
  let isOver = false;
  const { promise: timedOut, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => reject(new FileLimitError('TIMED_OUT', `no response within ${durationText(timeoutMs)}`)),
    timeoutMs,
  );
  try {
    return await Promise.race([readOpened(path, maxBytes, () => isOver), timedOut]);
  } finally {
    isOver = true;
    clearTimeout(timer);
  }
}

async function readOpened(path: string, maxBytes: number, isOver: () => boolean): Promise<string> {
  const file: FileHandle = await open(path, flags);
  try {
    requireRegular(await file.stat());
    const chunks: Buffer[] = [];
    let length = 0;
    for (;;) {
      const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(chunkBytes), 0, chunkBytes, null);
      if (bytesRead === 0) return Buffer.concat(chunks).toString('utf8');
      length += bytesRead;
      if (length > maxBytes || isOver()) throw tooLarge(maxBytes);
      chunks.push(buffer.subarray(0, bytesRead));
    }
  } finally {
    await file.close();
  }
}

/** For what is read at a point that cannot wait. Bounded in bytes only. `noFollow`: not through a link. */
export function readTextFileSync(
  path: string,
  {
    maxBytes = defaultMaxBytes,
    noFollow = false,
  }: { readonly maxBytes?: number; readonly noFollow?: boolean } = {},
): string {
  const file = openSync(path, noFollow ? flags | constants.O_NOFOLLOW : flags);
  try {
    requireRegular(fstatSync(file));
    const chunks: Buffer[] = [];
    let length = 0;
    for (;;) {
      const chunk = Buffer.allocUnsafe(chunkBytes);
      const bytesRead = readSync(file, chunk, 0, chunkBytes, null);
      if (bytesRead === 0) return Buffer.concat(chunks).toString('utf8');
      length += bytesRead;
      if (length > maxBytes) throw tooLarge(maxBytes);
      chunks.push(chunk.subarray(0, bytesRead));
    }
  } finally {
    closeSync(file);
  }
}

const tooLarge = (maxBytes: number): FileLimitError =>
  new FileLimitError('TOO_LARGE', `larger than ${bytesText(maxBytes)}`);

/** A directory fails as node:fs fails when it reads one. */
function requireRegular(stats: Stats): void {
  if (stats.isFile()) return;
  if (stats.isDirectory()) throw Object.assign(new Error('EISDIR'), { code: 'EISDIR' });
  throw new FileLimitError('NOT_REGULAR', `${kindText(stats)}, not a regular file`);
}

function kindText(stats: Stats): string {
  if (stats.isFIFO()) return 'named pipe';
  if (stats.isSocket()) return 'socket';
  return 'device';
}

/** `ENOENT`, `named pipe, not a regular file`: for the parentheses of a message. */
export const readErrorText = (error: unknown): string =>
  error instanceof FileLimitError ? error.message : (codeOf(error) ?? 'unknown error');

/** Why a file could not be read, as the end of a sentence: `does not exist`. */
export function whyUnreadable(error: unknown): string {
  switch (codeOf(error)) {
    case 'ENOENT':
    case 'ENOTDIR':
      return 'does not exist';
    case 'EACCES':
    case 'EPERM':
      return 'is not readable by this user';
    case 'EISDIR':
      return 'is a directory, not a file';
    default:
      return `cannot be read (${readErrorText(error)})`;
  }
}

/** Whether a right is missing. */
export const isForbidden = (error: unknown): boolean => ['EACCES', 'EPERM'].includes(codeOf(error) ?? '');
