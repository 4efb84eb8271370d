/** Paths from a stream of bytes, one a line or separated by NUL: however many, in bounded memory, a chunk at a time. */
import { readRelativePath } from '../sources/cgroup/buckets/relative-path.ts';

export type StreamedPath =
  | { readonly ok: true; readonly path: string }
  /** One sentence that begins with where it stands: `line 3 is empty`. */
  | { readonly ok: false; readonly problem: string };

/** Longer than any path; what does not end by then is no list of paths. */
const longestLine = 64 * 1024;

export async function* pathsOf(
  bytes: AsyncIterable<Uint8Array | string>,
  separator: '\n' | '\0',
): AsyncGenerator<readonly StreamedPath[]> {
  // Bytes that are no UTF-8 become U+FFFD, and a wrong bucket: told, not guessed.
  const decoder = new TextDecoder('utf-8');
  let rest = '';
  let line = 0;
  let tooLong = false;
  const read = (text: string): StreamedPath | undefined => {
    line += 1;
    if (tooLong) {
      tooLong = false;
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
    if (rest.length > longestLine) {
      tooLong = true;
      rest = '';
    }
  }
  rest += decoder.decode();
  const last = rest === '' && !tooLong ? undefined : read(rest);
  if (last !== undefined) yield [last];
}
