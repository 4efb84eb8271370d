/** The folder of the package itself, wherever the build put this file, its version and its runbooks. */
import { existsSync, readFileSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** Throws when this file was moved out of its package. */
function packageFolder(): string {
  let folder = import.meta.dirname;
  while (!existsSync(join(folder, 'package.json'))) {
    const above = dirname(folder);
    if (above === folder) throw new Error(`no package.json above ${import.meta.dirname}`);
    folder = above;
  }
  return folder;
}

/** `0.1.0`; `unknown` when this file was moved out of its package. */
export function packageVersion(): string {
  try {
    const found: { readonly name: string; readonly version: string } = JSON.parse(
      readFileSync(join(packageFolder(), 'package.json'), 'utf8'),
    );
    return found.name === 'gitaly-exporter' ? found.version : 'unknown';
  } catch {
    return 'unknown';
  }
}

/** The Markdown of each runbook by the name of its alert, and of the pages that they share. */
export async function readRunbooks(): Promise<ReadonlyMap<string, string>> {
  const folder = join(packageFolder(), 'alerts', 'runbooks');
  const files = (await readdir(folder)).filter((file) => file.endsWith('.md')).sort();
  const texts = files.map(
    async (file) => [basename(file, '.md'), await readFile(join(folder, file), 'utf8')] as const,
  );
  return new Map(await Promise.all(texts));
}
