/**
 * Measures reading the cgroups of a Gitaly with many buckets, compared with a C program that does the same; and checks
 * that nothing leaks with pods that are created and removed.
 *
 *   sh -c 'ulimit -n 50000; node --expose-gc --max-semi-space-size=4 bench/cgroup/index.ts \
 *       [--buckets 1000,10000] [--rounds 15] [--pods 10000]'
 *
 * Four files per bucket (memory.current, memory.events, cpu.stat, cgroup.events), and ten each of the pod, its container
 * and gitaly-1, including memory.stat. Both keep every file open and read it at position 0; rival.c does not check the
 * lines, the exporter checks each byte and reports what is wrong. Both must compute the same sum. CPU is user and system
 * time of the whole process, as a median, because it is reliable on a busy machine.
 *
 * Files beyond the limit on descriptors are opened with each read by both.
 *
 * The limit for any program in Node: fs.readSync of the same files through open descriptors, into one buffer, and nothing
 * else, in turn with the exporter's rounds. The exporter should take at most 1.2 times as long.
 *
 * --root DIR reads a real tree in place of a synthetic one: the Gitaly with the most buckets below DIR.
 * --rival FILE is a compiled rival.c, where there is no cc.
 * --pods N are created, found, watched, read and removed; 0 skips that part.
 */
import { strict as assert } from 'node:assert';
import { spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createFinder } from '../../src/sources/cgroup/discovery/finder.ts';
import { createCgroupFiles } from '../../src/sources/cgroup/files/files.ts';
import {
  type CgroupFolder,
  type CgroupLimit,
  type FileReading,
  knownOf,
} from '../../src/sources/cgroup/files/reading.ts';
import { watchPaths } from '../../src/sources/cgroup/path-watch.ts';
import type { GitalyTree } from '../../src/sources/cgroup/tree.ts';
import { git, writePod, writeRoot } from './tree.ts';

const { values } = parseArgs({
  options: {
    root: { type: 'string' },
    rival: { type: 'string' },
    buckets: { type: 'string', default: '1000,10000' },
    rounds: { type: 'string', default: '15' },
    pods: { type: 'string', default: '10000' },
  },
});
const rounds = Number(values.rounds);
/** Files read before measuring, so that the code is compiled. */
const warmUpFiles = 50_000;
const goals = { ofRival: 1.5, ofLimit: 1.2 };
/** In memory: on a disk, the disk would be measured. */
const scratch = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'bench-cgroup-'));
const { signal } = new AbortController();

const eventKeys = ['max', 'oom', 'oom_kill'] as const;
const cpuKeys = ['usage_usec', 'throttled_usec'] as const;
const levelCpuKeys = [
  'usage_usec',
  'user_usec',
  'system_usec',
  'nr_periods',
  'nr_throttled',
  'throttled_usec',
] as const;
const populatedKeys = ['populated'] as const;
const statKeys = ['anon', 'file', 'inactive_file'] as const;
const resources = ['cpu', 'memory', 'io'] as const;

const median = (numbers: readonly number[]): number =>
  numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? Number.NaN;

const number = (reading: FileReading<number>): number => knownOf(reading) ?? 0;
const limit = (reading: FileReading<CgroupLimit>): number => {
  const known = knownOf(reading);
  return known?.kind === 'limit' ? known.value : 0;
};
/** By name, as the collectors read it. */
const sum = <Key extends string>(
  reading: FileReading<Readonly<Partial<Record<Key, number>>>>,
  add: (values: Readonly<Partial<Record<Key, number>>>) => number,
): number => {
  const known = knownOf(reading);
  return known === undefined ? 0 : add(known);
};

const readBucket = (folder: CgroupFolder): number =>
  number(folder.number('memory.current')) +
  sum(folder.keyed('memory.events', eventKeys), sumOfEvents) +
  sum(folder.keyed('cpu.stat', cpuKeys), (cpu) => (cpu.usage_usec ?? 0) + (cpu.throttled_usec ?? 0)) +
  sum(folder.keyed('cgroup.events', populatedKeys), (events) => events.populated ?? 0);

const sumOfEvents = ({
  max = 0,
  oom = 0,
  oom_kill: kills = 0,
}: Readonly<Partial<Record<'max' | 'oom' | 'oom_kill', number>>>): number => max + oom + kills;

const sumOfAll = (values: Readonly<Partial<Record<string, number>>>): number =>
  Object.values(values).reduce<number>((total, value) => total + (value ?? 0), 0);

const readLevel = (folder: CgroupFolder): number =>
  number(folder.number('memory.current')) +
  number(folder.number('memory.peak')) +
  limit(folder.limit('memory.max')) +
  limit(folder.cores()) +
  sum(folder.keyed('memory.stat', statKeys), sumOfAll) +
  sum(folder.keyed('memory.events.local', eventKeys), sumOfEvents) +
  sum(folder.keyed('cpu.stat', levelCpuKeys), sumOfAll) +
  resources.reduce((total, resource) => total + sum(folder.pressure(resource), sumOfAll), 0);

const bucketFiles = (path: string): readonly string[] => [
  `number ${path}/memory.current`,
  `keyed ${path}/memory.events ${eventKeys.join(' ')}`,
  `keyed ${path}/cpu.stat ${cpuKeys.join(' ')}`,
  `keyed ${path}/cgroup.events ${populatedKeys.join(' ')}`,
];

const levelFiles = (path: string): readonly string[] =>
  [
    `number ${path}/memory.current`,
    `number ${path}/memory.peak`,
    `limit ${path}/memory.max`,
    `cores ${path}/cpu.max`,
    `keyed ${path}/memory.stat ${statKeys.join(' ')}`,
    `keyed ${path}/memory.events.local ${eventKeys.join(' ')}`,
    `keyed ${path}/cpu.stat ${levelCpuKeys.join(' ')}`,
    ...resources.map((resource) => `pressure ${path}/${resource}.pressure`),
  ].filter((line) => existsSync(line.split(' ')[1] ?? ''));

const warmUpsFor = (files: number): number => 3 + Math.ceil(warmUpFiles / files);

interface Measured {
  readonly cpuMs: number;
  readonly total: number;
}

/** Undefined where not all files can be kept open. */
function openReads(paths: readonly string[]): { read(): void; close(): void } | undefined {
  if (2 * paths.length > softLimit() - 100) return undefined;
  const descriptors = paths.map((path) => openSync(path, 'r'));
  const buffer = Buffer.allocUnsafeSlow(64 * 1024);
  return {
    read() {
      for (const descriptor of descriptors) readSync(descriptor, buffer, 0, buffer.length, 0);
    },
    close: () => descriptors.forEach(closeSync),
  };
}

function cpuMsOf(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

function measureOurs(
  root: string,
  levels: readonly string[],
  buckets: readonly string[],
  maxDescriptors: number,
  warmUps: number,
): Measured & { readonly limitMs: number | undefined } {
  const reads = openReads(
    [
      ...levels.map((path) => levelFiles(join(root, path))),
      ...buckets.map((path) => bucketFiles(join(root, path))),
    ]
      .flat()
      .map((line) => line.split(' ')[1] ?? ''),
  );
  const limits: number[] = [];
  const files = createCgroupFiles({ root, isKernel: true, maxDescriptors });
  const levelFolders = levels.map((path) => files.folder(path));
  const bucketFolders = buckets.map((path) => files.folder(path));
  const times: number[] = [];
  let total = 0;
  for (let round = 0; round < warmUps + rounds; round++) {
    const cpuMs = cpuMsOf(() => {
      total = 0;
      for (const folder of levelFolders) total += readLevel(folder);
      for (const folder of bucketFolders) total += readBucket(folder);
    });
    if (round < warmUps) continue;
    times.push(cpuMs);
    if (reads !== undefined) limits.push(cpuMsOf(reads.read));
  }
  const failures = Object.entries(files.failures()).filter(([, count]) => count > 0);
  if (failures.length > 0)
    console.log(`  the exporter could not read: ${JSON.stringify(Object.fromEntries(failures))}`);
  files.close();
  reads?.close();
  return { cpuMs: median(times), total, limitMs: reads && median(limits) };
}

function compileRival(): string | undefined {
  if (values.rival !== undefined) return values.rival;
  const program = join(scratch, 'rival');
  const { status } = spawnSync('cc', ['-O2', '-o', program, new URL('rival.c', import.meta.url).pathname]);
  return status === 0 ? program : undefined;
}

function measureRival(
  program: string,
  root: string,
  levels: readonly string[],
  buckets: readonly string[],
  maxDescriptors: number,
  warmUps: number,
): Measured {
  const input = [
    ...levels.map((path) => levelFiles(join(root, path))),
    ...buckets.map((path) => bucketFiles(join(root, path))),
  ]
    .flat()
    .join('\n');
  const { stdout, stderr, status } = spawnSync(program, [String(warmUps + rounds), String(maxDescriptors)], {
    input,
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
  });
  if (status !== 0) throw new Error(`the C program failed: ${stderr}`);
  const lines = stdout
    .trim()
    .split('\n')
    .map((line) => line.split(' ').map(Number));
  return {
    cpuMs: median(lines.slice(warmUps).map(([cpu = Number.NaN]) => cpu / 1000)),
    total: lines.at(-1)?.[1] ?? Number.NaN,
  };
}

function softLimit(): number {
  const [, soft = '0'] = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
  return Number(soft);
}

/** Whether one of the goals was met; true without a rival. */
function compare(
  name: string,
  root: string,
  tree: GitalyTree,
  rival: string | undefined,
  isLive: boolean,
): boolean {
  const levels = [tree.pod, tree.containers.at(-1)?.path, tree.git?.path].filter(
    (path) => path !== undefined,
  );
  const buckets = (tree.git?.buckets ?? []).map((n) => `${tree.git?.path}/repos-${n}`);
  const count = buckets.length * 4 + levels.length * 10;
  const spare = softLimit() - 100;
  const warmUps = warmUpsFor(count);
  if (spare < count)
    console.log(
      `${name}: ${spare} of ${count} files are kept open (ulimit -n), the others are opened with each read`,
    );
  const ours = measureOurs(root, levels, buckets, spare, warmUps);
  const each = (cpuMs: number): string => `${((cpuMs * 1000) / count).toFixed(2)} us per file`;
  console.log(`${name}: exporter ${ours.cpuMs.toFixed(2)} ms of CPU, ${each(ours.cpuMs)}`);
  if (ours.limitMs !== undefined)
    console.log(
      `${name}: readSync alone ${ours.limitMs.toFixed(2)} ms, ${each(ours.limitMs)}; exporter/readSync ${(ours.cpuMs / ours.limitMs).toFixed(2)}`,
    );
  if (rival === undefined) return true;
  const theirs = measureRival(rival, root, levels, buckets, spare, warmUps);
  const ratio = ours.cpuMs / theirs.cpuMs;
  if (!isLive)
    assert.ok(Math.abs(ours.total / theirs.total - 1) < 1e-9, `exporter ${ours.total}, C ${theirs.total}`);
  const verdict = ratio <= goals.ofRival ? 'met' : 'MISSED';
  console.log(
    `${name}: C ${theirs.cpuMs.toFixed(2)} ms, ${each(theirs.cpuMs)}; exporter/C ${ratio.toFixed(2)}, goal ${goals.ofRival} ${verdict}`,
  );
  return ratio <= goals.ofRival || (ours.limitMs !== undefined && ours.cpuMs <= goals.ofLimit * ours.limitMs);
}

const resident = (): number => {
  globalThis.gc?.();
  return process.memoryUsage.rss() / 2 ** 20;
};

/** Open descriptors and inotify watches of this process, as the kernel counts them. */
function openResources(): { readonly descriptors: number; readonly watches: number } {
  const descriptors = readdirSync('/proc/self/fd');
  const inotify = descriptors.filter((each) => {
    try {
      return readlinkSync(`/proc/self/fd/${each}`) === 'anon_inode:inotify';
    } catch {
      return false;
    }
  });
  const watches = inotify
    .map((each) => readFileSync(`/proc/self/fdinfo/${each}`, 'utf8').split('inotify wd:').length - 1)
    .reduce((total, count) => total + count, 0);
  return { descriptors: descriptors.length, watches };
}

/** Pods with three buckets are created, found, watched, read and removed. */
async function churnPods(count: number): Promise<boolean> {
  const root = join(scratch, 'pods');
  const burstable = 'kubepods.slice/kubepods-burstable.slice';
  writeRoot(root);
  writePod(root, 3);
  const finder = createFinder({ root, hostName: 'bench' });
  const files = createCgroupFiles({ root });
  const stop = new AbortController();
  const watch = watchPaths({ root, on: 'rename', onEvent: () => undefined, signal: stop.signal });
  const open = new Map<string, CgroupFolder>();
  const scan = async (): Promise<number> => {
    const found = await finder.find(signal);
    if (found.kind === 'failed') throw new Error(found.message);
    await watch.follow(found.folders);
    const paths = new Set(
      found.trees.flatMap(({ pod, containers, git: living }) => [
        pod ?? '',
        ...containers.map(({ path }) => path),
        ...(living?.buckets ?? []).map((n) => `${living?.path}/repos-${n}`),
      ]),
    );
    for (const [path, folder] of open) {
      if (paths.has(path)) continue;
      folder.close();
      open.delete(path);
    }
    for (const path of paths) {
      const folder = open.get(path) ?? files.folder(path);
      open.set(path, folder);
      readLevel(folder);
      readBucket(folder);
    }
    return found.trees.length;
  };
  const state = () => ({ ...openResources(), kept: files.openDescriptors(), resident: resident() });
  await scan();
  const steady: ReturnType<typeof state>[] = [];
  for (let n = 0; n < count; n++) {
    const uid = `${n.toString(16).padStart(8, '0')}_7b5e_4c0d_9a6f_1e2d3c4b5a69`;
    const pod = `${burstable}/kubepods-burstable-pod${uid}.slice`;
    writePod(root, 3, pod, `${pod}/cri-containerd-${n.toString(16).padStart(64, '0')}.scope`);
    assert.equal(await scan(), 2);
    rmSync(join(root, pod), { recursive: true });
    assert.equal(await scan(), 1);
    if ((n + 1) % Math.ceil(count / 10) !== 0) continue;
    const now = state();
    steady.push(now);
    console.log(
      `${n + 1} pods created and removed: ${now.descriptors} descriptors (${now.kept} of cgroups), ${now.watches} watches, ${now.resident.toFixed(0)} MiB resident`,
    );
  }
  stop.abort();
  files.close();
  // The first tenth fills caches and compiles code. State of removed pods is dropped with the full scan once a minute, so
  // memory is a sawtooth, whose peaks must not grow.
  const [first, ...rest] = steady.slice(1);
  const middle = rest.length >> 1;
  const most = (states: typeof rest): number => Math.max(...states.map((each) => each.resident));
  if (first === undefined || rest.length < 2) return true;
  const isFlat =
    rest.every(
      ({ descriptors, watches, kept }) =>
        descriptors === first.descriptors && watches === first.watches && kept === first.kept,
    ) && most(rest.slice(middle)) < most(rest.slice(0, middle)) * 1.1;
  console.log(`descriptors, watches and memory flat: ${isFlat ? 'yes' : 'NO'}`);
  return isFlat;
}

let isGood = true;
try {
  const rival = compileRival();
  if (rival === undefined) console.log('no C compiler (cc) found: the exporter is measured without a ratio');
  if (values.root !== undefined) {
    const found = await createFinder({ root: values.root, hostName: 'bench' }).find(signal);
    if (found.kind === 'failed') throw new Error(found.message);
    const [tree] = found.trees.toSorted(
      (a, b) => (b.git?.buckets.length ?? 0) - (a.git?.buckets.length ?? 0),
    );
    if (tree === undefined) throw new Error(`no cgroups of Gitaly below ${values.root}`);
    isGood = compare(
      `${tree.git?.buckets.length ?? 0} buckets of ${values.root}`,
      values.root,
      tree,
      rival,
      true,
    );
  } else {
    for (const buckets of values.buckets.split(',').map(Number)) {
      const root = join(scratch, String(buckets));
      writeRoot(root);
      writePod(root, buckets);
      const found = await createFinder({ root, hostName: 'bench' }).find(signal);
      const tree = found.kind === 'found' ? found.trees[0] : undefined;
      assert.equal(tree?.git?.path.endsWith(git), true);
      if (tree !== undefined) isGood = compare(`${buckets} buckets`, root, tree, rival, false) && isGood;
      rmSync(root, { recursive: true });
    }
    if (Number(values.pods) > 0) isGood = (await churnPods(Number(values.pods))) && isGood;
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
process.exitCode = isGood ? 0 : 1;
