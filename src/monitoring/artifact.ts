/** What `generate` writes: files, as values, and how they compare with a folder. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

export interface Artefact {
  /** Relative to the output folder, with forward slashes. */
  readonly path: string;
  /** The same bytes for the same input, whenever and wherever it is made. */
  readonly content: string;
}

/** A file that is not what it should be. */
export interface Stale {
  readonly path: string;
  readonly state: 'missing' | 'differs';
}

/** The artefacts that a folder lacks or has otherwise. Rejects when a file is there and cannot be read. */
export async function staleIn(folder: string, artefacts: readonly Artefact[]): Promise<readonly Stale[]> {
  const found = await Promise.all(
    artefacts.map(async ({ path, content }): Promise<Stale | undefined> => {
      const text = await readIfThere(join(folder, path));
      if (text === content) return undefined;
      return { path, state: text === undefined ? 'missing' : 'differs' };
    }),
  );
  return found.filter((stale) => stale !== undefined);
}

/** Writes those that are stale, so that a file that is right keeps its time. Returns what it wrote. */
export async function writeTo(folder: string, artefacts: readonly Artefact[]): Promise<readonly Stale[]> {
  const stale = await staleIn(folder, artefacts);
  const paths = new Set(stale.map(({ path }) => path));
  for (const { path, content } of artefacts.filter((artefact) => paths.has(artefact.path))) {
    const file = join(folder, path);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, content);
  }
  return stale;
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (typeof error === 'object' && error !== null && 'code' in error && error.code === 'ENOENT')
      return undefined;
    throw error;
  }
}
