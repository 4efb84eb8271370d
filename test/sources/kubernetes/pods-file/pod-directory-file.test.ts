/** Gitaly's pods from a file: what kubectl prints, what goes wrong with it, and its changes. */
import { mkdir, mkdtemp, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { stringify } from 'yaml';
import { systemClock } from '../../../../src/lib/clock.ts';
import {
  type PodFileDirectory,
  podDirectoryFromFile,
  type WatchFolder,
} from '../../../../src/sources/kubernetes/pods-file/pod-directory-file.ts';
import { readPodFile } from '../../../../src/sources/kubernetes/pods-file/pod-file.ts';
import { watchFolder } from '../../../../src/sources/kubernetes/pods-file/watch-folder.ts';
import { archive } from '../../../support/kubernetes-archive.ts';
import { createManualClock, settle } from '../../../support/manual-clock.ts';

const recorded = archive('posture-good');
/** As the API sends it: a PodList whose items have no kind. */
const podList = recorded.json('at-rest/pods.json') as {
  readonly items: readonly { readonly metadata: object }[];
};
const kinded = podList.items.map((item) => ({ ...item, apiVersion: 'v1', kind: 'Pod' }));
const gitalys = kinded.filter((item) => JSON.stringify(item).includes('"app":"gitaly"'));
const nodes = recorded.items('at-rest/nodes.json').map((item) => ({ ...(item as object), kind: 'Node' }));
const list = (items: readonly unknown[]): string => JSON.stringify({ apiVersion: 'v1', kind: 'List', items });
const three = ['gl-gitaly-default-0', 'gl-gitaly-default-1', 'gl-gitaly-default-2'];

const namesIn = (text: string): readonly string[] | string => {
  const read = readPodFile(text);
  return read.ok ? read.pods.map(({ name }) => name) : read.why;
};

describe('the text', () => {
  test.each([
    ['what the API sends', JSON.stringify(podList)],
    [
      'what kubectl get pods -o json prints',
      JSON.stringify({ kind: 'List', apiVersion: 'v1', items: kinded }, null, 4),
    ],
    ['a bare array', JSON.stringify(kinded)],
    ['the same as YAML', stringify({ kind: 'List', items: gitalys })],
    ['YAML of several documents', gitalys.map((pod) => stringify(pod)).join('---\n')],
  ])('%s lists the three', (_what, text) => {
    expect(namesIn(text)).toEqual(three);
  });

  test('a single pod, in JSON and in YAML', () => {
    expect(namesIn(JSON.stringify(gitalys[1]))).toEqual(['gl-gitaly-default-1']);
    expect(namesIn(stringify(gitalys[1]))).toEqual(['gl-gitaly-default-1']);
  });

  test('nodes beside the pods tell the versions', () => {
    const read = readPodFile(list([...gitalys, ...nodes]));
    expect(read.ok && read.pods[0]).toMatchObject({
      runtimeVersion: 'containerd://2.1.5',
      version: 'v18.10.0',
    });
    const alone = readPodFile(list(gitalys));
    expect(alone.ok && alone.pods[0]).toMatchObject({ runtimeVersion: '', kernelVersion: '' });
  });

  test('an empty list is a node without Gitaly, and right', () => {
    expect(readPodFile(list([]))).toEqual({ ok: true, pods: [], skipped: [] });
  });

  test.each([
    ['', 'it is empty'],
    ['\n  \n', 'it is empty'],
    [list(gitalys).slice(0, 5000), 'no whole JSON'],
    ['gitaly-0\n', 'neither a list of pods nor a pod'],
    ['"gitaly-0"', 'neither a list of pods nor a pod'],
    ['{}', 'none of its objects is a Pod'],
    [JSON.stringify({ kind: 'Secret', metadata: { name: 'x' } }), 'none of its objects is a Pod'],
    [
      list(kinded.filter((item) => !gitalys.includes(item))),
      'lists 3 pods, and none of them has a container named gitaly',
    ],
    ['a: [1, 2\nb: }', 'neither JSON nor YAML'],
    [`[${'1,'.repeat(5000)}1]`, 'lists 5001 objects'],
    [`a: ${'x'.repeat(1024 ** 2)}`, 'YAML larger than 1 MiB'],
    [`{"a": "${'x'.repeat(16 * 1024 ** 2)}"}`, 'larger than 16 MiB'],
    [
      'a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c,*c]',
      'unfolds without end',
    ],
  ])('%.30j is refused', (text, why) => {
    expect(namesIn(text)).toContain(why);
  });

  test('one broken pod costs the others nothing', () => {
    const read = readPodFile(list([...gitalys, { kind: 'Pod', metadata: { name: 'x' } }]));
    expect(read).toMatchObject({ ok: true, skipped: [expect.stringContaining('uid')] });
    expect(read.ok && read.pods).toHaveLength(3);
  });

  test('whatever the text is, it never throws', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.json(),
          fc.anything().map((value) => list([value])),
        ),
        (text) => {
          expect(typeof readPodFile(text).ok).toBe('boolean');
        },
      ),
      { numRuns: 300 },
    );
  });
});

const cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

describe('the file', () => {
  function fromMemory(first: string | { readonly code: string }) {
    let content = first;
    let changed = (): void => undefined;
    const clock = createManualClock();
    const directory = podDirectoryFromFile({
      file: '/etc/pods/pods.json',
      clock,
      watch: (folder, listener) => {
        expect(folder).toBe('/etc/pods');
        changed = listener;
        return () => {
          changed = () => undefined;
        };
      },
      readText: async () => {
        if (typeof content === 'string') return content;
        throw Object.assign(new Error(content.code), content);
      },
    });
    cleanups.push(() => directory.close());
    const told: number[] = [];
    directory.subscribe(() => told.push(directory.pods().pods.length));
    return {
      clock,
      directory,
      told,
      names: () => directory.pods().pods.map(({ name }) => name),
      write: (text: string | { readonly code: string }) => {
        content = text;
      },
      change: () => changed(),
    };
  }

  test('before it was read, the list says that it may not be whole', async () => {
    const { directory } = fromMemory(list(gitalys));
    expect(directory.pods()).toMatchObject({
      pods: [],
      failure: { message: expect.stringContaining('not read yet') },
    });
    await directory.ready;
    expect(directory.pods().failure).toBeUndefined();
    expect(directory.pods().pods).toHaveLength(3);
  });

  test('a change that the watch tells of is read at once, and listeners hear of it', async () => {
    const { directory, write, change, told, names } = fromMemory(list(gitalys));
    await directory.ready;
    write(list(gitalys.slice(1)));
    change();
    await settle();
    expect(told).toEqual([3, 3]);
    // It went, and lingers for a minute.
    expect(names()).toEqual(['gl-gitaly-default-1', 'gl-gitaly-default-2', 'gl-gitaly-default-0']);
    change();
    await settle();
    expect(told).toEqual([3, 3]);
  });

  test('a change that no watch told of is found at use, after five seconds at most', async () => {
    const { clock, directory, write, names } = fromMemory(list(gitalys));
    await directory.ready;
    write(list([]));
    names();
    await clock.advance(5000);
    names();
    await settle();
    await clock.advance(60_000);
    expect(names()).toEqual([]);
  });

  test.each<[string | { readonly code: string }, string, string]>([
    ['{"items": [', 'parse', 'no whole JSON'],
    [{ code: 'ENOENT' }, 'parse', 'does not exist'],
    [{ code: 'EACCES' }, 'permission', 'may not be read by this user'],
    [{ code: 'EISDIR' }, 'parse', 'cannot be read (EISDIR)'],
  ])(
    '%j keeps the last good list, and says which setting, what was found and the mend',
    async (broken, reason, words) => {
      const { directory, write, change, names } = fromMemory(list(gitalys));
      await directory.ready;
      write(broken);
      change();
      await settle();
      expect(names()).toEqual(three);
      expect(directory.pods().failure).toEqual({ reason, message: expect.stringContaining(words) });
      expect(directory.pods().failure?.message).toMatch(
        /^cgroup\.pods-file: \/etc\/pods\/pods\.json.*Mend: /,
      );
      write(list(gitalys));
      change();
      await settle();
      expect(directory.pods().failure).toBeUndefined();
    },
  );

  test('a change during a read makes one more after it', async () => {
    const { directory, write, change, names } = fromMemory(list(gitalys.slice(0, 1)));
    change();
    write(list(gitalys));
    change();
    await directory.ready;
    await settle();
    expect(names()).toEqual(three);
  });
});

describe('on disk', () => {
  async function folder(): Promise<string> {
    const made = await mkdtemp(join(tmpdir(), 'gitaly-exporter-pods-'));
    cleanups.push(() => rm(made, { recursive: true, force: true }));
    return made;
  }
  function open(file: string, watch: WatchFolder): PodFileDirectory {
    const directory = podDirectoryFromFile({
      file,
      readText: (path) => readFile(path, 'utf8'),
      clock: systemClock,
      watch,
    });
    cleanups.push(() => directory.close());
    return directory;
  }
  /** Resolves once the directory tells of a change after which the condition holds. */
  const until = (directory: PodFileDirectory, holds: () => boolean): Promise<void> =>
    new Promise((resolve) => {
      const stop = directory.subscribe(() => {
        if (!holds()) return;
        stop();
        resolve();
      });
    });

  test('a ConfigMap that is exchanged by links, as a kubelet does it, is read anew', async () => {
    const mount = await folder();
    const publish = async (version: string, text: string): Promise<void> => {
      await mkdir(join(mount, version));
      await writeFile(join(mount, version, 'pods.json'), text);
      await symlink(version, join(mount, '..data_tmp'));
      await rename(join(mount, '..data_tmp'), join(mount, '..data'));
    };
    await publish('..1', list(gitalys));
    await symlink('..data/pods.json', join(mount, 'pods.json'));
    const directory = open(join(mount, 'pods.json'), watchFolder);
    await directory.ready;
    expect(directory.pods()).toMatchObject({ failure: undefined, pods: { length: 3 } });
    const seen = until(directory, () => directory.pods().pods.some(({ uid }) => uid === 'replaced'));
    const [first] = gitalys;
    await publish('..2', list([{ ...first, metadata: { ...first?.metadata, uid: 'replaced' } }]));
    await seen;
    expect(directory.pods().failure).toBeUndefined();
  });

  test('a file that comes later is found, and one whose folder cannot be watched is read all the same', async () => {
    const mount = await folder();
    const file = join(mount, 'pods.json');
    const directory = open(file, watchFolder);
    await directory.ready;
    expect(directory.pods().failure?.message).toContain('does not exist');
    const seen = until(directory, () => directory.pods().failure === undefined);
    await writeFile(`${file}.new`, list(gitalys));
    await rename(`${file}.new`, file);
    await seen;
    expect(directory.pods().pods).toHaveLength(3);

    const blind = open(file, () => {
      throw Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' });
    });
    await blind.ready;
    expect(blind.pods().pods).toHaveLength(3);
  });
});
