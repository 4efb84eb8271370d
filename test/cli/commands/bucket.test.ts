/** `gitaly-exporter bucket`, with paths from standard input and with a real Praefect database. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { bucketsOf } from '../../../src/buckets/hash.ts';
import { main } from '../../../src/cli/main.ts';
import {
  praefectSchema,
  startPostgres,
  type TestDatabase,
  type TestPostgres,
} from '../../support/postgres.ts';
import { testHost } from '../host.ts';

const configFile = '/etc/gitaly/config.toml';
const config = (count: number, storage = 'gitaly-1', each = 1): string =>
  `[[storage]]\nname = "${storage}"\n[cgroups.repositories]\ncount = ${count}\nmax_cgroups_per_repo = ${each}\n`;

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function bucket(
  args: readonly string[],
  { input, files = {} }: { input?: readonly string[]; files?: Record<string, string> } = {},
): Promise<Ran> {
  const host = testHost(files);
  async function* chunks() {
    for (const text of input ?? []) yield Buffer.from(text, 'latin1');
  }
  const stdin = input === undefined ? {} : { stdin: () => chunks() };
  const code = await main(['bucket', ...args], { ...host, ...stdin });
  return { code, out: host.out(), err: host.err() };
}

const utf8 = (text: string): string => Buffer.from(text).toString('latin1');

describe('bucket without a database', () => {
  const sized = ['--storage=default', '--count=3'];

  test('prints the bucket of a path by its hash', async () => {
    const path = '@pools/d4/73/d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35.git';
    expect(await bucket([path, '--storage=default', '--count=100'])).toEqual({
      code: 0,
      out: `default  repos-16 of 100  ${path}\n`,
      err: '',
    });
  });

  test('prints several buckets where a path may be in several', async () => {
    expect(
      await bucket(['arg', '--storage=command', '--count=10', '--max-cgroups-per-repo=3']),
    ).toMatchObject({ out: 'command  may be in repos-5, repos-6 or repos-7 of 10  arg\n' });
  });

  test('takes storage and count from the configuration of the only Gitaly', async () => {
    const files = { [configFile]: config(10, 'command', 2) };
    expect(await bucket(['arg', `--gitaly.config-file=${configFile}`], { files })).toMatchObject({
      code: 0,
      out: 'command  may be in repos-5 or repos-6 of 10  arg\n',
    });
  });

  test('prints JSON', async () => {
    const { out } = await bucket(['arg', '--storage=command', '--count=10', '--output=json']);
    expect(JSON.parse(out)).toEqual({
      path: 'arg',
      replicas: [
        {
          storage: 'command',
          replica_path: 'arg',
          buckets: ['repos-5'],
          count: 10,
          max_cgroups_per_repo: 1,
          certain: true,
        },
      ],
    });
  });

  test.each<[string, string[], string]>([
    ['the count is unknown', ['a.git', '--storage=default'], 'set --count ([cgroups.repositories] count'],
    ['the storage is unknown', ['a.git', '--count=3'], 'set --storage'],
    [
      'the bucket does not exist',
      ['3', ...sized, '--null'],
      'default has no repos-3: it has 3 buckets, repos-0 to repos-2',
    ],
    ['the path is absolute', ['/var/a.git', ...sized], 'is absolute'],
  ])('has exit code 2 when %s', async (_, args, why) => {
    const { code, out, err } = await bucket(args, { input: [] });
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toContain(why);
  });

  test('has exit code 2 when standard input is empty', async () => {
    expect(await bucket(['1', ...sized])).toMatchObject({
      code: 2,
      err: expect.stringContaining('pipe paths in'),
    });
  });

  test('needs the storage where Gitalys have different buckets', async () => {
    const files = { '/1.toml': config(10), '/2.toml': config(20, 'gitaly-2') };
    const configs = ['--gitaly.config-file=gitaly-1=/1.toml', '--gitaly.config-file=gitaly-2=/2.toml'];
    expect((await bucket(['arg', ...configs, '--storage=gitaly-2'], { files })).out).toContain(' of 20 ');
    const { code, err } = await bucket(['arg', ...configs, '--storage=gitaly-3'], { files });
    expect({ code, err }).toEqual({
      code: 2,
      err: 'gitaly-exporter: Gitalys have different numbers of buckets (gitaly-1: 10; gitaly-2: 20): set --storage or --count\n',
    });
  });

  test('has exit code 2 for a Gitaly without buckets', async () => {
    const files = { [configFile]: '[[storage]]\nname = "default"\n' };
    const { code, err } = await bucket(['arg', `--gitaly.config-file=${configFile}`], { files });
    expect(code).toBe(2);
    expect(err).toContain('Git runs in no bucket');
  });
});

describe('a list of paths on standard input', () => {
  const sized = ['--storage=default', '--count=3'];
  const paths = ['@hashed/a.git', './b.git/', 'c.git'];
  const text = `${paths.join('\n')}\n`;

  test.each([[[text]], [[...text]], [[text.slice(0, 7), '', text.slice(7)]]])(
    'is printed with the bucket of each, for any split of the input into chunks',
    async (input) => {
      expect(await bucket(sized, { input })).toEqual({
        code: 0,
        out: 'repos-2\t@hashed/a.git\nrepos-2\tb.git\nrepos-1\tc.git\n',
        err: '',
      });
    },
  );

  test('is filtered to one bucket in a form that can be piped, with the count on standard error', async () => {
    expect(await bucket(['2', ...sized], { input: [paths.join('\n')] })).toEqual({
      code: 0,
      out: '@hashed/a.git\nb.git\n',
      err: 'repos-2 of 3 on default: 2 of 3 paths run Git there\n',
    });
  });

  test('may be separated by NUL, for paths with line breaks', async () => {
    const [own] = bucketsOf('default', 'x\ny.git', { count: 3, maxCgroupsPerRepo: 1 });
    expect(await bucket(['-0', ...sized], { input: ['@hashed/a.git\0x\ny.git\0'] })).toMatchObject({
      code: 0,
      out: `repos-2\t@hashed/a.git\0repos-${own}\tx\ny.git\0`,
    });
  });

  test('keeps multibyte characters that are split between chunks', async () => {
    const { out } = await bucket(['--storage=größe', '--count=100'], {
      input: [...utf8('gruppe/projekt-ä-日本語-🦊.git\n')],
    });
    expect(out).toBe('repos-70\tgruppe/projekt-ä-日本語-🦊.git\n');
  });

  test('is reported with "may" where each path has several buckets', async () => {
    const { err } = await bucket(['2', '--max-cgroups-per-repo=2', ...sized], { input: [text] });
    expect(err).toBe('repos-2 of 3 on default: 3 of 3 paths may run Git there\n');
  });

  test('is cut at the limit, and the full count is reported', async () => {
    const { out, err } = await bucket(['2', '--limit=1', ...sized], { input: [text] });
    expect(out).toBe('@hashed/a.git\n');
    expect(err).toBe(
      'repos-2 of 3 on default: 2 of 3 paths run Git there, of which 1 are listed (--limit)\n',
    );
  });

  test('without a path in the bucket has exit code 1', async () => {
    expect(await bucket(['0', ...sized], { input: ['@hashed/a.git\n'] })).toMatchObject({ code: 1, out: '' });
  });

  test('loses invalid paths, which are reported; exit code 2 when all are invalid', async () => {
    const invalid = ['/abs.git', '../x', `${'a'.repeat(100_000)}`, '\xff\xfe.git'];
    const { code, out, err } = await bucket(sized, { input: [`${invalid.join('\n')}\nc.git\n`] });
    expect({ code, out }).toEqual({ code: 0, out: 'repos-1\tc.git\n' });
    expect(err).toContain('4 paths were skipped: line 1 is absolute');
    expect(await bucket(sized, { input: [invalid.join('\n')] })).toMatchObject({ code: 2, out: '' });
  });

  test('with an endless line is not kept in memory', async () => {
    const { code, err } = await bucket(sized, {
      input: Array.from({ length: 300 }, () => 'a'.repeat(10_000)),
    });
    expect({ code, err }).toEqual({
      code: 2,
      err: 'gitaly-exporter: 1 path was skipped: line 1 is longer than any path\n',
    });
  });
});

describe('bucket with a database', () => {
  let server: TestPostgres;
  let database: TestDatabase;
  let access: string[];
  const files = { '/1.toml': config(10), '/2.toml': config(20, 'gitaly-2', 2) };
  const configs = ['--gitaly.config-file=gitaly-1=/1.toml', '--gitaly.config-file=gitaly-2=/2.toml'];

  beforeAll(async () => {
    server = await startPostgres();
    database = await server.createDatabase(praefectSchema('19.0'));
    const client = await database.client();
    await client.query(`
      SET search_path = public;
      SET session_replication_role = replica;
      INSERT INTO repositories (virtual_storage, relative_path, generation, replica_path)
      SELECT 'default', '@hashed/' || n || '.git', n, '@cluster/repositories/' || n FROM generate_series(1, 200) AS n;
      INSERT INTO storage_repositories (virtual_storage, relative_path, storage, generation, repository_id)
      SELECT virtual_storage, relative_path, storage, generation, repository_id
        FROM repositories, unnest(ARRAY['gitaly-1', 'gitaly-2']) AS storage;
      INSERT INTO node_status (praefect_name, shard_name, node_name, last_contact_attempt_at)
      VALUES ('p1', 'default', 'gitaly-1', now()), ('p1', 'default', 'gitaly-2', now())`);
    const { host, port } = database.connection;
    const { user, password } = server.superuser;
    access = [
      `--praefect.database.url=postgres://${user}:${password}@${host}:${port}/${database.name}?sslmode=disable`,
    ];
  });
  afterAll(() => server.stop());

  test('prints the bucket of a relative path on each storage, by its replica path', async () => {
    const path = '@cluster/repositories/7';
    const [one] = bucketsOf('gitaly-1', path, { count: 10, maxCgroupsPerRepo: 1 });
    const several = bucketsOf('gitaly-2', path, { count: 20, maxCgroupsPerRepo: 2 });
    expect(await bucket(['@hashed/7.git', ...access, ...configs], { files })).toEqual({
      code: 0,
      out: `gitaly-1  repos-${one} of 10  ${path}\ngitaly-2  may be in ${several.map((n) => `repos-${n}`).join(' or ')} of 20  ${path}\n`,
      err: '',
    });
  });

  test('lists the repositories that hash to a bucket, most writes first', async () => {
    const { code, out } = await bucket(['3', ...access, ...configs, '--output=json', '--limit=5'], { files });
    const result = JSON.parse(out);
    expect(code).toBe(0);
    expect(result).toMatchObject({ bucket: 'repos-3', repositories_examined: 200 });
    for (const { storage, count, max_cgroups_per_repo, repositories, listed } of result.storages) {
      const sizes = { count, maxCgroupsPerRepo: max_cgroups_per_repo };
      const own = Array.from({ length: 200 }, (_, at) => at + 1).filter((n) =>
        bucketsOf(storage, `@cluster/repositories/${n}`, sizes).includes(3),
      );
      expect(repositories).toBe(own.length);
      expect(listed.map(({ generation }: { generation: number }) => generation)).toEqual(
        own.reverse().slice(0, 5),
      );
    }
    expect(result.storages.map(({ storage }: { storage: string }) => storage)).toEqual([
      'gitaly-1',
      'gitaly-2',
    ]);
  });

  test('prints text', async () => {
    const { out } = await bucket(['3', ...access, ...configs, '--storage=gitaly-1', '--limit=1'], { files });
    expect(out).toMatch(
      /^repos-3 of 10 on gitaly-1: \d+ of 200 repositories run Git there, most writes first\n.*\n +\d+ {2}default {2}@hashed\/\d+\.git {2}@cluster\/repositories\/\d+\n +and \d+ more: --limit\n$/,
    );
  });

  test('has exit code 1 for an unknown repository', async () => {
    const { code, err } = await bucket(['@hashed/x.git', ...access, '--count=3']);
    expect(code).toBe(1);
    expect(err).toContain('Praefect has no repository @hashed/x.git');
  });

  test('escapes control characters of an unknown path', async () => {
    const { err } = await bucket(['a\u001b[31m.git', ...access, '--count=3']);
    expect(err).toContain('a\\x1b[31m.git');
  });

  test('names the storages that have a replica when the given one has none', async () => {
    const { code, err } = await bucket(['@hashed/7.git', ...access, '--count=3', '--storage=gitaly-9']);
    expect({ code, err }).toEqual({
      code: 1,
      err: 'gitaly-exporter: @hashed/7.git is not on gitaly-9, but on gitaly-1, gitaly-2\n',
    });
  });

  test('has exit code 2 and the reason for an unreachable database', async () => {
    const unreachable = '--praefect.database.url=postgres://u@127.0.0.1:1/p?sslmode=disable';
    const { code, out, err } = await bucket(['3', unreachable, '--count=10', '--storage=a']);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toContain('127.0.0.1:1');
  });
});
