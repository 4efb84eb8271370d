/** Files of a simulated cgroup, rewritten in place: who holds one open reads the new text at position 0. */
import { closeSync, ftruncateSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';

export interface Folder {
  /** What stands there already is left alone. In one turn of the event loop, so that no reader sees a part. */
  write(file: string, text: string): void;
  remove(): void;
}

/** Makes the folder. Rejects nothing and throws what node:fs throws: without its folder there is no demo. */
export function createFolder(path: string): Folder {
  mkdirSync(path, { recursive: true });
  const texts = new Map<string, string>();
  return {
    write(file, text) {
      const before = texts.get(file);
      if (before === text) return;
      const descriptor = openSync(join(path, file), before === undefined ? 'w' : 'r+');
      try {
        writeSync(descriptor, text, 0);
        if (before !== undefined && text.length < before.length) ftruncateSync(descriptor, text.length);
      } finally {
        closeSync(descriptor);
      }
      texts.set(file, text);
    },
    remove: () => rmSync(path, { recursive: true, force: true }),
  };
}
