/** Relative paths of repositories: from the form that people and find(1) write to the form that Gitaly hashes. */

export type PathReading =
  | { readonly ok: true; readonly path: string }
  /** What is wrong, to be put after the path or its line: `is empty`. */
  | { readonly ok: false; readonly problem: string };

/** PATH_MAX of Linux. */
const maxPathLength = 4096;

/**
 * `./@hashed/ab/cd/abcd.git/` is read as `@hashed/ab/cd/abcd.git`: no client of Gitaly sends the leading `./` and the
 * trailing `/`, and the hash would differ. Nothing else is changed.
 */
export function readRelativePath(written: string): PathReading {
  const path = written.replace(/^(?:\.\/+)+/, '').replace(/\/+$/, '');
  const wrong = (problem: string): PathReading => ({ ok: false, problem });
  if (written.startsWith('/'))
    return wrong(
      'is absolute; expected a path relative to the storage directory, such as @hashed/ab/cd/abcd.git',
    );
  if (path === '' || path === '.') return wrong('is empty');
  if (path.length > maxPathLength) return wrong(`is longer than ${maxPathLength} characters`);
  if (path.includes('\0')) return wrong('contains a NUL; read NUL-separated paths with -0');
  if (path.split('/').includes('..')) return wrong('contains "..", which Gitaly rejects');
  return { ok: true, path };
}

/** Longer than any path: what has no end by then is not a list of paths. */
const maxLineLength = 64 * 1024;

/** Paths from a stream, one per line or separated by NUL, a chunk at a time: however many, in bounded memory. */
export async function* pathsOf(
  bytes: AsyncIterable<Uint8Array | string>,
  separator: '\n' | '\0',
): AsyncGenerator<readonly PathReading[]> {
  // Bytes that are not UTF-8 become U+FFFD, and would give a wrong bucket: they are rejected below.
  const decoder = new TextDecoder('utf-8');
  let rest = '';
  let line = 0;
  let isTooLong = false;
  const read = (text: string): PathReading | undefined => {
    line += 1;
    if (isTooLong) {
      isTooLong = false;
      return { ok: false, problem: `line ${line} is longer than any path` };
    }
    const written = separator === '\n' ? text.replace(/\r$/, '') : text;
    if (written === '') return undefined;
    if (written.includes('\ufffd')) return { ok: false, problem: `line ${line} is not UTF-8` };
    const found = readRelativePath(written);
    return found.ok ? found : { ok: false, problem: `line ${line} ${found.problem}` };
  };
  for await (const chunk of bytes) {
    const texts = (
      rest + (typeof chunk === 'string' ? chunk : decoder.decode(chunk, { stream: true }))
    ).split(separator);
    rest = texts.pop() ?? '';
    yield texts.flatMap((text) => read(text) ?? []);
    if (rest.length > maxLineLength) {
      isTooLong = true;
      rest = '';
    }
  }
  rest += decoder.decode();
  const last = rest === '' && !isTooLong ? undefined : read(rest);
  if (last !== undefined) yield [last];
}
