/** fs.watch as the joins take it. */
import { watch } from 'node:fs';
import type { WatchFolder } from './pod-directory-file.ts';

/** A watch that breaks later (its folder is removed) ends without a word: who uses it polls as well. */
export const watchFolder: WatchFolder = (folder, listener) => {
  const watcher = watch(folder, { persistent: false }, listener);
  watcher.on('error', () => watcher.close());
  return () => watcher.close();
};
