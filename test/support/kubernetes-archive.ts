/** Recorded responses of the Kubernetes API in test/fixtures/kubernetes: text and JSON by path in an archive. */
import { readdirSync, readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';

const folder = new URL('../fixtures/kubernetes/', import.meta.url);

export interface Archive {
  /** Such as `0-before/pods.json`, without the folder of the archive. */
  readonly paths: readonly string[];
  text(path: string): string;
  json(path: string): unknown;
  /** The items of a recorded list, unparsed. */
  items(path: string): readonly unknown[];
  /** The lines of the recorded watch of a resource (`pods`). */
  watch(resource: string): readonly string[];
  /** When each of those lines arrived, in milliseconds since 1970. */
  watchTimes(resource: string): readonly number[];
}

/** `drain`, `evicted`, `posture-good`, ... */
export const archiveNames: readonly string[] = readdirSync(folder)
  .filter((file) => file.endsWith('.tar.gz'))
  .map((file) => file.slice(0, -'.tar.gz'.length))
  .sort();

const opened = new Map<string, Archive>();

export function archive(name: string): Archive {
  const known = opened.get(name);
  if (known !== undefined) return known;
  const files = untar(gunzipSync(readFileSync(new URL(`${name}.tar.gz`, folder))));
  const text = (path: string): string => {
    const content = files.get(`${name}/${path}`);
    if (content === undefined) throw new Error(`${name} has no ${path}`);
    return content.toString('utf8');
  };
  const json = (path: string): unknown => JSON.parse(text(path));
  const lines = (path: string): readonly string[] =>
    files.has(`${name}/${path}`)
      ? text(path)
          .split('\n')
          .filter((line) => line !== '')
      : [];
  const made: Archive = {
    paths: [...files.keys()].map((path) => path.slice(name.length + 1)),
    text,
    json,
    items: (path) => (json(path) as { items: readonly unknown[] }).items,
    watch: (resource) => lines(`watch/${resource}.ndjson`),
    watchTimes: (resource) => lines(`watch/${resource}.times`).map((line) => Number(line) * 1000),
  };
  opened.set(name, made);
  return made;
}

/** Files of a ustar archive. Headers are blocks of 512 bytes: name at 0, size (octal) at 124, type at 156. */
function untar(bytes: Buffer): Map<string, Buffer> {
  const files = new Map<string, Buffer>();
  const field = (at: number, length: number): string =>
    bytes.toString('latin1', at, at + length).replace(/\0.*$/s, '');
  for (let at = 0; at + 512 <= bytes.length && bytes[at] !== 0; ) {
    const size = Number.parseInt(field(at + 124, 12), 8);
    if (field(at + 156, 1) === '0')
      files.set(field(at, 100).replace(/^\.\//, ''), bytes.subarray(at + 512, at + 512 + size));
    at += 512 + Math.ceil(size / 512) * 512;
  }
  return files;
}
