/** The version, from the package's own package.json, wherever the build put this file. */
import { readFileSync } from 'node:fs';

/** `0.1.0`; `unknown` when the file was moved out of its package. */
export function packageVersion(): string {
  let folder = new URL('./', import.meta.url);
  for (let depth = 0; depth < 5; depth += 1) {
    folder = new URL('../', folder);
    try {
      const found: unknown = JSON.parse(readFileSync(new URL('package.json', folder), 'utf8'));
      if (isPackage(found) && found.name === 'gitaly-exporter') return found.version;
    } catch {
      // Not this folder.
    }
  }
  return 'unknown';
}

const isPackage = (value: unknown): value is { readonly name: string; readonly version: string } =>
  typeof value === 'object' &&
  value !== null &&
  'name' in value &&
  'version' in value &&
  typeof value.version === 'string';
