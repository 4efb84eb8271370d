/** The folder of the package itself, wherever the build put this file: the runbooks are read from it. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Throws when this file was moved out of its package. */
export function packageFolder(): string {
  let folder = import.meta.dirname;
  while (!existsSync(join(folder, 'package.json'))) {
    const above = dirname(folder);
    if (above === folder) throw new Error(`no package.json above ${import.meta.dirname}`);
    folder = above;
  }
  return folder;
}
