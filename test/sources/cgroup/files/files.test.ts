import { spawnSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createCgroupFiles } from '../../../../src/sources/cgroup/files/files.ts';
import type { CgroupFiles } from '../../../../src/sources/cgroup/files/reading.ts';
import { createManualClock, type ManualClock } from '../../../support/manual-clock.ts';

let base: string;
let root: string;
let clock: ManualClock;
let files: CgroupFiles;

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'cgroup-files-'));
  root = join(base, 'root');
  mkdirSync(root);
  clock = createManualClock();
  files = createCgroupFiles({ root, clock });
});

afterEach(() => {
  files.close();
  rmSync(base, { recursive: true, force: true });
});

const write = (path: string, text: string): void => {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
};

const value = <T>(of: T) => ({ kind: 'value', value: of });
const failure = (reason: string) => ({ kind: 'failed', reason });
const absent = { kind: 'absent' };
const removed = { kind: 'removed' };
const noFailures = { permission: 0, too_many_open_files: 0, malformed: 0, io: 0 };

describe('a file with one number is read from', () => {
  test.each([
    ['0\n', value(0)],
    ['218411008\n', value(218411008)],
    ['9007199254740993\n', value(9007199254740992)],
    ['9223372036854775807\n', value(2 ** 63)],
    ['9223372036854775808\n', failure('malformed')],
    ['18446744073709551615\n', failure('malformed')],
    ['-1\n', failure('malformed')],
    ['+1\n', failure('malformed')],
    ['1.5\n', failure('malformed')],
    ['1e3\n', failure('malformed')],
    ['0x10\n', failure('malformed')],
    ['007\n', failure('malformed')],
    [' 7\n', failure('malformed')],
    ['7 \n', failure('malformed')],
    ['7\r\n', failure('malformed')],
    ['7\n8\n', failure('malformed')],
    ['12', failure('malformed')],
    ['', failure('malformed')],
    ['\n', failure('malformed')],
    ['max\n', failure('malformed')],
    ['many\n', failure('malformed')],
    ['12345678901234567890123\n', failure('malformed')],
  ])('%j', (text, expected) => {
    write('pod/memory.current', text);
    expect(files.folder('pod').number('memory.current')).toEqual(expected);
    expect(files.failures().malformed).toBe(expected.kind === 'failed' ? 1 : 0);
  });
});

test('a file that is longer than any file of the kernel is malformed', () => {
  write('pod/memory.current', `${'1'.repeat(70_000)}\n`);
  expect(files.folder('pod').number('memory.current')).toEqual(failure('malformed'));
});

describe('a limit is read from', () => {
  test.each([
    ['max\n', value({ kind: 'unlimited' })],
    ['314572800\n', value({ kind: 'limit', value: 314572800 })],
    ['0\n', value({ kind: 'limit', value: 0 })],
    ['max', failure('malformed')],
    ['maximum\n', failure('malformed')],
    ['', failure('malformed')],
    ['-1\n', failure('malformed')],
  ])('%j', (text, expected) => {
    write('pod/memory.max', text);
    expect(files.folder('pod').limit('memory.max')).toEqual(expected);
  });
});

describe('cpu.max in cores is read from', () => {
  test.each([
    ['max 100000\n', value({ kind: 'unlimited' })],
    ['150000 100000\n', value({ kind: 'limit', value: 1.5 })],
    ['20000 100000\n', value({ kind: 'limit', value: 0.2 })],
    ['150000 0\n', failure('malformed')],
    ['150000\n', failure('malformed')],
    ['max\n', failure('malformed')],
    ['max max\n', failure('malformed')],
    ['150000 100000', failure('malformed')],
    ['150000 100000 1\n', failure('malformed')],
    ['', failure('malformed')],
  ])('%j', (text, expected) => {
    write('pod/cpu.max', text);
    expect(files.folder('pod').cores()).toEqual(expected);
  });
});

describe('keys and numbers are read from', () => {
  const keys = ['oom', 'oom_kill', 'oom_group_kill'] as const;
  test.each([
    ['low 0\nhigh 0\nmax 3312\noom 3\noom_kill 4\n', { oom: 3, oom_kill: 4 }, 0],
    ['low 0\n', {}, 0],
    ['oom 3\noom_kill -4\noom_group_kill 1\n', { oom: 3, oom_group_kill: 1 }, 1],
    ['oom 3\noom_kill\noom_group_kill\n', { oom: 3 }, 2],
    ['oom 3\noom_kill 12', { oom: 3 }, 1],
    ['oom 3\noom_ki', { oom: 3 }, 1],
    ['low -1\noom 3\n', { oom: 3 }, 0],
    ['oom 3\noom 4\noom_kill 1\n', { oom_kill: 1 }, 1],
    ['oom x\noom 4\noom_kill 1\n', { oom_kill: 1 }, 2],
    ['oom 9223372036854775808\noom_kill 1\n', { oom_kill: 1 }, 1],
    ['oom  3\noom_kill 1\n', { oom_kill: 1 }, 1],
    ['oom_kill 1\r\noom 3\n', { oom: 3 }, 1],
    ['oom max\noom_kill 1\n', { oom_kill: 1 }, 1],
    ['oom_killer 7\noo 8\n', {}, 0],
  ])('%j', (text, expected, malformed) => {
    write('pod/memory.events', text);
    expect(files.folder('pod').keyed('memory.events', keys)).toEqual(value(expected));
    expect(files.failures()).toEqual({ ...noFailures, malformed });
  });

  test.each([[''], ['\n\n'], ['some words and more\n'], ['oops'], [`oom 1\n${'a 1\n'.repeat(20_000)}`]])(
    'a file without any such line is malformed: %#',
    (text) => {
      write('pod/memory.events', text);
      expect(files.folder('pod').keyed('memory.events', keys)).toEqual(failure('malformed'));
      expect(files.failures().malformed).toBe(1);
    },
  );
});

describe('pressure is read from', () => {
  const some = 'some avg10=29.90 avg60=6.29 avg300=1.37 total=4535372\n';
  const full = 'full avg10=9.14 avg60=2.16 avg300=0.49 total=1772509\n';
  test.each([
    [some + full, value({ some: 4535372, full: 1772509 }), 0],
    [some, value({ some: 4535372 }), 0],
    [some + full.slice(0, -3), value({ some: 4535372 }), 1],
    [some + full.replace('=1772509', '=-1'), value({ some: 4535372 }), 1],
    [some.replace('4535372', '9223372036854775808'), failure('malformed'), 1],
    [some + some, failure('malformed'), 1],
    ['', failure('malformed'), 1],
    ['total=5\n', failure('malformed'), 1],
  ])('%j', (text, expected, malformed) => {
    write('pod/cpu.pressure', text);
    expect(files.folder('pod').pressure('cpu')).toEqual(expected);
    expect(files.failures().malformed).toBe(malformed);
  });
});

describe('processes are counted in', () => {
  test.each([
    ['', value(0)],
    ['1\n22\n333\n', value(3)],
    ['0\n0\n0\n', value(3)],
    ['1\n22\n333', failure('malformed')],
    ['1\n\n2\n', failure('malformed')],
    ['1\n-2\n', failure('malformed')],
    ['123456\n'.repeat(100_000), value(100_000)],
    ['123456\n'.repeat(200_000), failure('malformed')],
  ])('%#', (text, expected) => {
    write('pod/cgroup.procs', text);
    expect(files.folder('pod').processes()).toEqual(expected);
  });
});

describe('a missing file or cgroup', () => {
  test('a file that the kernel lacks is absent, and found within a minute after its controller is enabled', () => {
    write('pod/memory.current', '1\n');
    const pod = files.folder('pod');
    expect(pod.number('memory.peak')).toEqual(absent);
    write('pod/memory.peak', '5\n');
    expect(pod.number('memory.peak')).toEqual(absent);
    clock.stall(60_000);
    expect(pod.number('memory.peak')).toEqual(value(5));
    expect(files.failures()).toEqual(noFailures);
  });

  test('a missing cgroup is removed, and found as soon as it is created', () => {
    const pod = files.folder('pod');
    expect(pod.number('memory.current')).toEqual(removed);
    write('pod/memory.current', '1\n');
    expect(pod.number('memory.current')).toEqual(value(1));
  });

  test('a removed cgroup is reported, and its descriptors are closed', () => {
    write('pod/memory.current', '1\n');
    write('pod/cgroup.procs', '1\n');
    const pod = files.folder('pod');
    expect(pod.number('memory.current')).toEqual(value(1));
    expect(pod.processes()).toEqual(value(1));
    rmSync(join(root, 'pod'), { recursive: true });
    expect(pod.number('memory.current')).toEqual(removed);
    expect(pod.processes()).toEqual(removed);
    expect(files.openDescriptors()).toBe(0);
    expect(files.failures()).toEqual(noFailures);
  });

  test('a cgroup created again at the same path is removed first, and then read without old state', () => {
    write('pod/memory.current', '1\n');
    const pod = files.folder('pod');
    expect(pod.number('memory.current')).toEqual(value(1));
    expect(pod.number('memory.peak')).toEqual(absent);
    rmSync(join(root, 'pod'), { recursive: true });
    write('pod/memory.current', '2\n');
    write('pod/memory.peak', '2\n');
    expect(pod.number('memory.current')).toEqual(removed);
    expect(pod.number('memory.current')).toEqual(value(2));
    expect(pod.number('memory.peak')).toEqual(value(2));
  });

  test('a cgroup created again is removed first also when no descriptor is kept open', () => {
    files = createCgroupFiles({ root, clock, maxDescriptors: 0 });
    write('pod/memory.current', '1\n');
    const pod = files.folder('pod');
    expect(pod.number('memory.current')).toEqual(value(1));
    rmSync(join(root, 'pod'), { recursive: true });
    write('pod/memory.current', '2\n');
    expect(pod.number('memory.current')).toEqual(removed);
    expect(pod.number('memory.current')).toEqual(value(2));
    rmSync(join(root, 'pod'), { recursive: true });
    expect(pod.number('memory.current')).toEqual(removed);
    expect(files.failures()).toEqual(noFailures);
  });

  test('on a cgroup file system it is noticed with the first read after 50 ms', async () => {
    files = createCgroupFiles({ root, clock, maxDescriptors: 0, isKernel: true });
    write('pod/memory.current', '1\n');
    const pod = files.folder('pod');
    expect(pod.number('memory.current')).toEqual(value(1));
    renameSync(join(root, 'pod'), join(root, 'old')); // so that the inode number is not used again
    write('pod/memory.current', '2\n');
    await clock.advance(50);
    expect(pod.number('memory.current')).toEqual(removed);
    expect(pod.number('memory.current')).toEqual(value(2));
    rmSync(join(root, 'pod'), { recursive: true });
    expect(pod.number('memory.current')).toEqual(removed);
  });

  test('a file that is removed from an existing cgroup is absent', () => {
    write('pod/memory.current', '1\n');
    const pod = files.folder('pod');
    expect(pod.number('memory.current')).toEqual(value(1));
    rmSync(join(root, 'pod/memory.current'));
    expect(pod.number('memory.current')).toEqual(absent);
    expect(files.openDescriptors()).toBe(0);
  });

  test('a file that a simulation replaces is opened again', () => {
    write('pod/memory.current', '1\n');
    const pod = files.folder('pod');
    expect(pod.number('memory.current')).toEqual(value(1));
    write('pod/new', '2\n');
    renameSync(join(root, 'pod/new'), join(root, 'pod/memory.current'));
    expect(pod.number('memory.current')).toEqual(value(2));
    expect(files.openDescriptors()).toBe(1);
  });
});

describe('a read through an open descriptor', () => {
  test('of shorter content contains nothing of the longer one before', () => {
    write('pod/memory.current', '123456\n');
    const pod = files.folder('pod');
    expect(pod.number('memory.current')).toEqual(value(123456));
    write('pod/memory.current', '7\n');
    expect(pod.number('memory.current')).toEqual(value(7));
    truncateSync(join(root, 'pod/memory.current'));
    expect(pod.number('memory.current')).toEqual(failure('malformed'));
    expect(files.openDescriptors()).toBe(1);
  });
});

describe('descriptors', () => {
  test('are kept open up to the limit; beyond it files are still read', () => {
    files = createCgroupFiles({ root, clock, maxDescriptors: 3 });
    const folders = Array.from({ length: 5 }, (_, n) => {
      write(`repos-${n}/memory.current`, `${n}\n`);
      write(`repos-${n}/cgroup.procs`, '');
      return files.folder(`repos-${n}`);
    });
    const before = readdirSync('/proc/self/fd').length;
    for (let round = 0; round < 3; round++)
      for (const [n, folder] of folders.entries()) {
        expect(folder.number('memory.current')).toEqual(value(n));
        expect(folder.processes()).toEqual(value(0));
      }
    expect(files.openDescriptors()).toBe(3);
    expect(readdirSync('/proc/self/fd').length).toBe(before + 3);
    folders[0]?.close();
    expect(files.openDescriptors()).toBe(1);
    folders[4]?.number('memory.current');
    expect(files.openDescriptors()).toBe(2);
  });

  test('a closed cgroup is removed and opens nothing', () => {
    write('pod/memory.current', '1\n');
    const pod = files.folder('pod');
    pod.number('memory.current');
    pod.close();
    expect(pod.number('memory.current')).toEqual(removed);
    expect(files.openDescriptors()).toBe(0);
    files.close();
    expect(files.folder('pod').number('memory.current')).toEqual(removed);
  });

  test('at the limit of the process, failed reads are counted, and open files are still read', () => {
    write('pod/memory.current', '1\n');
    write('pod/memory.peak', '2\n');
    const script = `
      import { openSync } from 'node:fs';
      import { createCgroupFiles } from ${JSON.stringify(new URL('../../../../src/sources/cgroup/files/files.ts', import.meta.url).href)};
      const files = createCgroupFiles({ root: ${JSON.stringify(root)} });
      const pod = files.folder('pod');
      const before = pod.number('memory.current');
      try { for (;;) openSync('/dev/null'); } catch {}
      console.log(JSON.stringify([before, pod.number('memory.current'), pod.number('memory.peak'), files.failures()]));`;
    const { stdout } = spawnSync(
      'sh',
      ['-c', 'ulimit -n 64 && exec "$0" --input-type=module -e "$1"', process.execPath, script],
      { encoding: 'utf8' },
    );
    expect(JSON.parse(stdout)).toEqual([
      value(1),
      value(1),
      failure('too_many_open_files'),
      { ...noFailures, too_many_open_files: 1 },
    ]);
  });
});

describe('nothing outside the root is read', () => {
  beforeEach(() => {
    mkdirSync(join(base, 'outside/deep'), { recursive: true });
    for (const name of ['outside', 'outside/deep'])
      writeFileSync(join(base, name, 'memory.current'), '666\n');
  });

  test.each([
    ['..'],
    ['../outside'],
    ['pod/../../outside'],
    ['/outside'],
    ['pod//x'],
    ['./pod'],
    ['a\0b'],
    ['pod/'],
  ])('through the path %j', (path) => {
    mkdirSync(join(root, 'pod'));
    expect(files.folder(path).number('memory.current')).toEqual(failure('io'));
  });

  test.each([['../memory.current'], ['..'], ['.'], [''], ['a/b'], ['a\0b']])(
    'through the file name %j',
    (file) => {
      mkdirSync(join(root, 'pod'));
      expect(files.folder('pod').number(file)).toEqual(failure('io'));
    },
  );

  test('through a link: of the file, its directory, a parent directory, or one created later', () => {
    mkdirSync(join(root, 'pod'));
    symlinkSync(join(base, 'outside/memory.current'), join(root, 'pod/memory.current'));
    symlinkSync(join(base, 'outside'), join(root, 'link'));
    symlinkSync('pod', join(root, 'inner'));
    for (const path of ['pod', 'link', 'link/deep', 'inner'])
      expect([path, files.folder(path).number('memory.current')]).toEqual([path, failure('io')]);

    write('later/deep/memory.peak', '1\n');
    const deep = files.folder('later/deep');
    expect(deep.number('memory.peak')).toEqual(value(1));
    renameSync(join(root, 'later'), join(root, 'moved'));
    symlinkSync(join(base, 'outside'), join(root, 'later'));
    expect(deep.number('memory.current')).toEqual(failure('io'));
  });

  test('but a root that is itself a link is read', () => {
    write('pod/memory.current', '1\n');
    symlinkSync(root, join(base, 'alias'));
    const aliased = createCgroupFiles({ root: join(base, 'alias') });
    expect(aliased.folder('pod').number('memory.current')).toEqual(value(1));
    aliased.close();
  });

  test('and a named pipe or a directory in place of a file does not block', () => {
    mkdirSync(join(root, 'pod/memory.peak'), { recursive: true });
    spawnSync('mkfifo', [join(root, 'pod/memory.current')]);
    const pod = files.folder('pod');
    expect(pod.number('memory.current')).toEqual(failure('io'));
    expect(pod.number('memory.peak')).toEqual(failure('io'));
  });
});
