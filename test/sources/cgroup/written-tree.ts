/** A cgroup tree of plain files in a temporary directory, with content written by the test. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface WrittenTree {
  readonly root: string;
  /** Creates the cgroup with the files of an idle one; the given files replace or remove those. */
  make(path: string, files?: CgroupText): void;
  /** Changes files of an existing cgroup; undefined removes a file. */
  write(path: string, files: CgroupText): void;
  removeCgroup(path: string): void;
  remove(): void;
}

/** Content by file name. */
export type CgroupText = Readonly<Record<string, string | undefined>>;

const mebibyte = 2 ** 20;

export const bytes = (mebibytes: number): string => `${mebibytes * mebibyte}\n`;

export const memoryStat = (anonMebibytes: number, fileMebibytes = 0): string =>
  `anon ${anonMebibytes * mebibyte}\nfile ${fileMebibytes * mebibyte}\nkernel 0\ninactive_anon 0\nactive_anon 0\ninactive_file ${fileMebibytes * mebibyte}\nactive_file 0\n`;

export const cpuStat = (usageUsec: number, throttledUsec = 0): string =>
  `usage_usec ${usageUsec}\nuser_usec ${usageUsec}\nsystem_usec 0\nnr_periods 0\nnr_throttled 0\nthrottled_usec ${throttledUsec}\n`;

export const memoryEvents = (counts: Readonly<Record<string, number>> = {}): string =>
  ['low', 'high', 'max', 'oom', 'oom_kill', 'oom_group_kill']
    .map((key) => `${key} ${counts[key] ?? 0}\n`)
    .join('');

export const populated = (yes: boolean): string => `populated ${Number(yes)}\nfrozen 0\n`;

const pressure =
  'some avg10=0.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n';

const idle: CgroupText = {
  'cgroup.controllers': 'cpu memory\n',
  'cgroup.events': populated(false),
  'cgroup.procs': '',
  'cpu.max': 'max 100000\n',
  'cpu.pressure': pressure,
  'cpu.stat': cpuStat(0),
  'io.pressure': pressure,
  'memory.current': '0\n',
  'memory.events': memoryEvents(),
  'memory.events.local': memoryEvents(),
  'memory.max': 'max\n',
  'memory.peak': '0\n',
  'memory.pressure': pressure,
  'memory.stat': memoryStat(0),
};

export function createWrittenTree(): WrittenTree {
  const root = mkdtempSync(join(tmpdir(), 'cgroup-'));
  writeFileSync(join(root, 'cgroup.controllers'), 'cpu memory\n');
  const write = (path: string, files: CgroupText): void => {
    for (const [file, text] of Object.entries(files)) {
      const place = join(root, path, file);
      if (text === undefined) rmSync(place, { force: true });
      else writeFileSync(place, text);
    }
  };
  return {
    root,
    make(path, files = {}) {
      mkdirSync(join(root, path), { recursive: true });
      write(path, { ...idle, ...files });
    },
    write,
    removeCgroup: (path) => rmSync(join(root, path), { recursive: true }),
    remove: () => rmSync(root, { recursive: true, force: true }),
  };
}
