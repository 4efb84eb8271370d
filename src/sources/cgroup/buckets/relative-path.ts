/** A repository's path as people and find write it, and as Gitaly hashes it. */

export type PathReading =
  | { readonly ok: true; readonly path: string }
  /** What is wrong with it, to follow the path itself. */
  | { readonly ok: false; readonly problem: string };

/** Linux takes no longer path. */
const longestPath = 4096;

/**
 * `./@hashed/ab/cd/abcd.git/` is `@hashed/ab/cd/abcd.git`: no client of Gitaly's sends those ends, and the hash
 * would differ. Nothing else is changed.
 */
export function readRelativePath(written: string): PathReading {
  const path = written.replace(/^(?:\.\/+)+/, '').replace(/\/+$/, '');
  const wrong = (problem: string): PathReading => ({ ok: false, problem });
  if (written.startsWith('/'))
    return wrong(
      "is absolute; a relative path begins below the storage's folder, such as @hashed/ab/cd/abcd.git",
    );
  if (path === '' || path === '.') return wrong('is empty');
  if (path.length > longestPath) return wrong(`is longer than ${longestPath} characters`);
  if (path.includes('\0')) return wrong('holds a NUL; paths that are separated by NUL are read with -0');
  if (path.split('/').includes('..')) return wrong('goes upwards (..), which Gitaly refuses');
  return { ok: true, path };
}
