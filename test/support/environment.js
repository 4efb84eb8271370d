/** The environment that jest's workers, and the programs that tests start, inherit. */
import {
  accessSync,
  chmodSync,
  constants,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
} from 'node:fs';
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

const folderOf = (pid) => join(memoryFolder, `gitaly-tests-${pid}`);

/** A folder of this run, so that nothing is left in memory; removes those of runs that were killed. */
function createRunFolder() {
  for (const name of readdirSync(memoryFolder)) {
    const [, pid] = /^gitaly-tests-(\d+)$/.exec(name) ?? [];
    if (pid !== undefined && !isRunning(Number(pid))) removeFolder(folderOf(pid));
  }
  const folder = folderOf(process.pid);
  mkdirSync(folder, { recursive: true });
  chmodSync(folder, 0o1777); // like /tmp: PostgreSQL runs as another user
  return folder;
}

function isRunning(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/** Without success where another user's run left it. */
function removeFolder(folder) {
  try {
    rmSync(folder, { recursive: true, force: true });
  } catch {}
}

/** At the end of the run (jest's globalTeardown). */
export default function removeRunFolder() {
  removeFolder(folderOf(process.pid));
}

/**
 * Sets what is not set already. `TMPDIR`: a new PostgreSQL database is a thousand small files, which cost a third of
 * the time in memory. `NODE_COMPILE_CACHE`: a started program neither strips its types nor compiles its code again.
 * `GOGC`: promtool, which has a processor of its own, otherwise collects garbage for a quarter of its time.
 */
export function setTestEnvironment() {
  process.env.NODE_COMPILE_CACHE ??= join(tmpdir(), 'node-compile-cache');
  process.env.GOGC ??= '400';
  if (process.env.TMPDIR === undefined && spaciousMemoryFolder() !== undefined)
    process.env.TMPDIR = createRunFolder();
}
