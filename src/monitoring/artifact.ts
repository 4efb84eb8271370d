/** Generated files as values, and their comparison with a folder. */
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { codeOf } from '../lib/errors.ts';

export interface Artifact {
  /** Relative to the output folder, with forward slashes. */
  readonly path: string;
  /** Depends on the settings only: the same bytes at any time and on any machine. */
  readonly content: string;
}

export interface StaleFile {
  readonly path: string;
  readonly state: 'missing' | 'differs';
}

/** The artifacts that a folder lacks or has with other content. Rejects when an existing file cannot be read. */
export async function findStaleFiles(
  folder: string,
  artifacts: readonly Artifact[],
): Promise<readonly StaleFile[]> {
  const files = await Promise.all(
    artifacts.map(async ({ path, content }): Promise<StaleFile | undefined> => {
      const text = await readIfExists(join(folder, path));
      if (text === content) return undefined;
      return { path, state: text === undefined ? 'missing' : 'differs' };
    }),
  );
  return files.filter((file) => file !== undefined);
}

/** Writes the stale files only, so that unchanged ones keep their modification time. Returns what it wrote. */
export async function writeStaleFiles(
  folder: string,
  artifacts: readonly Artifact[],
): Promise<readonly StaleFile[]> {
  const stale = await findStaleFiles(folder, artifacts);
  const paths = new Set(stale.map(({ path }) => path));
  for (const { path, content } of artifacts.filter((artifact) => paths.has(artifact.path))) {
    const file = join(folder, path);
    await makeFolder(dirname(file));
    await writeFile(file, content);
  }
  return stale;
}

/**
 * With its parents. Not with Node's `recursive`, which tries forever where a folder exists and none can be made in it
 * (/proc).
 */
async function makeFolder(folder: string): Promise<void> {
  const failed = await mkdir(folder).then(
    () => undefined,
    (error: unknown) => error,
  );
  if (failed === undefined || codeOf(failed) === 'EEXIST') return;
  const parent = dirname(folder);
  if (codeOf(failed) !== 'ENOENT' || (await stat(parent).catch(() => undefined)) !== undefined) throw failed;
  await makeFolder(parent);
  await makeFolder(folder);
}

async function readIfExists(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}
