import { mkdir, mkdtemp, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { stringify } from 'yaml';
import { systemClock } from '../../../../src/lib/clock.ts';
import {
  createPodsFileDirectory,
  type PodsFileDirectory,
  type WatchFolder,
  watchFolder,
} from '../../../../src/sources/kubernetes/directory/pods-file.ts';
import { parsePodsFile } from '../../../../src/sources/kubernetes/directory/pods-file-text.ts';
import { archive } from '../../../support/kubernetes-archive.ts';
import { createManualClock, settle } from '../../../support/manual-clock.ts';

const recorded = archive('posture-good');
/** As the API returns it: a PodList whose items have no kind. */
const podList = recorded.json('at-rest/pods.json') as {
  readonly items: readonly { readonly metadata: object }[];
};
const kinded = podList.items.map((item) => ({ ...item, apiVersion: 'v1', kind: 'Pod' }));
const gitalys = kinded.filter((item) => JSON.stringify(item).includes('"app":"gitaly"'));
const nodes = recorded.items('at-rest/nodes.json').map((item) => ({ ...(item as object), kind: 'Node' }));
const list = (items: readonly unknown[]): string => JSON.stringify({ apiVersion: 'v1', kind: 'List', items });
const three = ['gl-gitaly-default-0', 'gl-gitaly-default-1', 'gl-gitaly-default-2'];

const namesIn = (text: string): readonly string[] | string => {
  const read = parsePodsFile(text);
  return read.ok ? read.pods.map(({ name }) => name) : read.why;
};

describe('the parser of a pods file', () => {
  test.each([
    ['a PodList of the API', JSON.stringify(podList)],
    [
      'the output of kubectl get pods -o json',
      JSON.stringify({ kind: 'List', apiVersion: 'v1', items: kinded }, null, 4),
    ],
    ['a bare array', JSON.stringify(kinded)],
    ['the same as YAML', stringify({ kind: 'List', items: gitalys })],
    ['YAML of several documents', gitalys.map((pod) => stringify(pod)).join('---\n')],
  ])('finds the three Gitaly pods in %s', (_what, text) => {
    expect(namesIn(text)).toEqual(three);
  });

  test('accepts a single pod in JSON or YAML', () => {
    expect(namesIn(JSON.stringify(gitalys[1]))).toEqual(['gl-gitaly-default-1']);
    expect(namesIn(stringify(gitalys[1]))).toEqual(['gl-gitaly-default-1']);
  });

  test('takes versions from nodes in the same file', () => {
    const read = parsePodsFile(list([...gitalys, ...nodes]));
    expect(read.ok && read.pods[0]).toMatchObject({
      runtimeVersion: 'containerd://2.1.5',
      version: 'v18.10.0',
    });
    const alone = parsePodsFile(list(gitalys));
    expect(alone.ok && alone.pods[0]).toMatchObject({ runtimeVersion: '', kernelVersion: '' });
  });

  test('accepts an empty list, for a node without Gitaly', () => {
    expect(parsePodsFile(list([]))).toEqual({ ok: true, pods: [], skipped: [] });
  });

  test.each([
    ['', 'it is empty'],
    ['\n  \n', 'it is empty'],
    [list(gitalys).slice(0, 5000), 'incomplete or invalid JSON'],
    ['gitaly-0\n', 'neither a list of pods nor a pod'],
    ['"gitaly-0"', 'neither a list of pods nor a pod'],
    ['{}', 'none of its objects is a Pod'],
    [JSON.stringify({ kind: 'Secret', metadata: { name: 'x' } }), 'none of its objects is a Pod'],
    [
      list(kinded.filter((item) => !gitalys.includes(item))),
      'lists 3 pods, but none has a container named gitaly',
    ],
    ['a: [1, 2\nb: }', 'neither JSON nor YAML'],
    [`[${'1,'.repeat(5000)}1]`, 'lists 5001 objects'],
    [`a: ${'x'.repeat(1024 ** 2)}`, 'YAML larger than 1 MiB'],
    [`{"a": "${'x'.repeat(16 * 1024 ** 2)}"}`, 'larger than 16 MiB'],
    [
      'a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c,*c]',
      'expand without bound',
    ],
  ])('rejects %.30j', (text, why) => {
    expect(namesIn(text)).toContain(why);
  });

  test('skips a malformed pod and keeps the others', () => {
    const read = parsePodsFile(list([...gitalys, { kind: 'Pod', metadata: { name: 'x' } }]));
    expect(read).toMatchObject({ ok: true, skipped: [expect.stringContaining('uid')] });
    expect(read.ok && read.pods).toHaveLength(3);
  });

  test('never throws', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.json(),
          fc.anything().map((value) => list([value])),
        ),
        (text) => {
          expect(typeof parsePodsFile(text).ok).toBe('boolean');
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

describe('a pods file', () => {
  function fromMemory(first: string | { readonly code: string }) {
    let content = first;
    let changed = (): void => undefined;
    const clock = createManualClock();
    const directory = createPodsFileDirectory({
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
    const notified: number[] = [];
    directory.subscribe(() => notified.push(directory.pods().pods.length));
    return {
      clock,
      directory,
      notified,
      names: () => directory.pods().pods.map(({ name }) => name),
      write: (text: string | { readonly code: string }) => {
        content = text;
      },
      change: () => changed(),
    };
  }

  test('is reported as incomplete before the first read', async () => {
    const { directory } = fromMemory(list(gitalys));
    expect(directory.pods()).toMatchObject({
      pods: [],
      failure: { message: expect.stringContaining('has not been read yet') },
    });
    await directory.ready;
    expect(directory.pods().failure).toBeUndefined();
    expect(directory.pods().pods).toHaveLength(3);
  });

  test('is read immediately after a change that the folder watch reports, and listeners are notified', async () => {
    const { directory, write, change, notified, names } = fromMemory(list(gitalys));
    await directory.ready;
    write(list(gitalys.slice(1)));
    change();
    await settle();
    expect(notified).toEqual([3, 3]);
    // The removed pod is kept for a minute.
    expect(names()).toEqual(['gl-gitaly-default-1', 'gl-gitaly-default-2', 'gl-gitaly-default-0']);
    change();
    await settle();
    expect(notified).toEqual([3, 3]);
  });

  test('is read at the next use after five seconds when the folder watch missed a change', async () => {
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
    ['{"items": [', 'parse', 'incomplete or invalid JSON'],
    [{ code: 'ENOENT' }, 'parse', 'does not exist'],
    [{ code: 'EACCES' }, 'permission', 'is not readable by this user'],
    [{ code: 'EISDIR' }, 'parse', 'is a directory, not a file'],
  ])(
    'with %j keeps the last list, and the failure has the setting, the reason and the fix',
    async (broken, reason, words) => {
      const { directory, write, change, names } = fromMemory(list(gitalys));
      await directory.ready;
      write(broken);
      change();
      await settle();
      expect(names()).toEqual(three);
      expect(directory.pods().failure).toEqual({ reason, message: expect.stringContaining(words) });
      expect(directory.pods().failure?.message).toMatch(
        /^cgroup\.pods-file: \/etc\/pods\/pods\.json.*(Write it with|Allow it with)/,
      );
      write(list(gitalys));
      change();
      await settle();
      expect(directory.pods().failure).toBeUndefined();
    },
  );

  test('is read again after a change during a read', async () => {
    const { directory, write, change, names } = fromMemory(list(gitalys.slice(0, 1)));
    change();
    write(list(gitalys));
    change();
    await directory.ready;
    await settle();
    expect(names()).toEqual(three);
  });
});

describe('a pods file on disk', () => {
  async function folder(): Promise<string> {
    const made = await mkdtemp(join(tmpdir(), 'gitaly-exporter-pods-'));
    cleanups.push(() => rm(made, { recursive: true, force: true }));
    return made;
  }
  function open(file: string, watch: WatchFolder): PodsFileDirectory {
    const directory = createPodsFileDirectory({
      file,
      readText: (path) => readFile(path, 'utf8'),
      clock: systemClock,
      watch,
    });
    cleanups.push(() => directory.close());
    return directory;
  }
  /** Resolves at the first change after which the condition holds. */
  const until = (directory: PodsFileDirectory, holds: () => boolean): Promise<void> =>
    new Promise((resolve) => {
      const stop = directory.subscribe(() => {
        if (!holds()) return;
        stop();
        resolve();
      });
    });

  test('that is a ConfigMap, updated through symbolic links by a kubelet, is read again', async () => {
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

  test('that is created later is found, and a folder that cannot be watched is polled', async () => {
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

    const unwatched = open(file, () => {
      throw Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' });
    });
    await unwatched.ready;
    expect(unwatched.pods().pods).toHaveLength(3);
  });
});
