/** The environment that jest's workers, and the programs that tests start, inherit. */
import { accessSync, constants, readFileSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const memoryFolder = '/dev/shm';
/** The servers of the tests have about 1 GiB of files at a time. */
const neededBytes = 6 * 2 ** 30;

/** Linux's folder in memory, when it has this much space, also in the machine's memory, and may have programs. */
function spaciousMemoryFolder() {
  try {
    accessSync(memoryFolder, constants.W_OK | constants.X_OK);
    const { bavail, bsize } = statfsSync(memoryFolder);
    const [, options = 'noexec'] =
      new RegExp(`^\\S+ ${memoryFolder} \\S+ (\\S+)`, 'm').exec(readFileSync('/proc/mounts', 'utf8')) ?? [];
    const hasSpace = Math.min(bavail * bsize, process.availableMemory()) >= neededBytes;
    return hasSpace && !options.split(',').includes('noexec') ? memoryFolder : undefined;
  } catch {
    return undefined; // not Linux
  }
}

/**
 * Sets what is not set already. `TMPDIR`: a new PostgreSQL database is a thousand small files, which cost a third of
 * the time in memory. `NODE_COMPILE_CACHE`: a started program neither strips its types nor compiles its code again.
 * `GOGC`: promtool, which has a processor of its own, otherwise collects garbage for a quarter of its time.
 */
export function setTestEnvironment() {
  process.env.NODE_COMPILE_CACHE ??= join(tmpdir(), 'node-compile-cache');
  process.env.GOGC ??= '400';
  process.env.TMPDIR ??= spaciousMemoryFolder() ?? tmpdir();
}
