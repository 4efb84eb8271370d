/** `generate` through the command line: what it writes, and what `--check` reports. */
import { cp, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { main } from '../../../src/cli/main.ts';
import { testHost } from '../host.ts';

const root = join(import.meta.dirname, '../../..');
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'generate-'));
});

afterEach(() => rm(folder, { recursive: true }));

async function generate(...flags: readonly string[]) {
  const host = testHost();
  const code = await main(['generate', ...flags], host);
  return { code, out: host.out(), err: host.err() };
}

const filesBelow = async (parent: string) =>
  (await readdir(parent, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(parent.length + 1))
    .sort();

test('the checked-in files are up to date', async () => {
  expect(await generate('--check', `--output-dir=${root}`)).toEqual({ code: 0, out: '', err: '' });
});

describe('in an empty folder', () => {
  test('it writes rules, runbooks, dashboards and references, with the same bytes as the checked-in ones', async () => {
    const { code, err } = await generate(`--output-dir=${folder}`);
    expect({ code, err }).toEqual({
      code: 0,
      err: expect.stringMatching(/^wrote \d+ files, 0 unchanged\n$/),
    });
    const files = await filesBelow(folder);
    expect(files).toEqual(
      expect.arrayContaining([
        'alerts/alertmanager.example.yaml',
        'alerts/exporter.rules.yaml',
        'alerts/praefect.prometheusrule.yaml',
        'alerts/praefect.rules.yaml',
        'alerts/runbooks/PraefectQuorumLost.md',
        'alerts/runbooks/praefect-commands.md',
        'dashboards/replication.json',
        'deploy/helm/gitaly-exporter/README.md',
        'deploy/helm/gitaly-exporter/files/dashboards/overview.json',
        'deploy/helm/gitaly-exporter/files/rules/praefect.yaml',
        'docs/configuration.md',
        'docs/metrics.md',
      ]),
    );
    for (const file of files)
      expect(await readFile(join(folder, file), 'utf8')).toBe(await readFile(join(root, file), 'utf8'));
  });

  test('an unchanged file is not written again', async () => {
    await generate(`--output-dir=${folder}`);
    const before = await stat(join(folder, 'docs/metrics.md'));
    expect(await generate(`--output-dir=${folder}`)).toMatchObject({ code: 0, out: '' });
    expect((await stat(join(folder, 'docs/metrics.md'))).mtimeMs).toBe(before.mtimeMs);
  });

  test('--check names each file that is stale or missing, writes nothing, and exits with 1', async () => {
    for (const part of ['alerts', 'dashboards', 'deploy', 'docs'])
      await cp(join(root, part), join(folder, part), { recursive: true });
    const rules = join(folder, 'alerts/praefect.rules.yaml');
    const broken = (await readFile(rules, 'utf8')).replace('> 900', '> 901');
    await writeFile(rules, broken);
    await rm(join(folder, 'dashboards/replication.json'));
    await writeFile(
      join(folder, 'alerts/runbooks/PraefectQuorumLost.md'),
      (await readFile(join(root, 'alerts/runbooks/PraefectQuorumLost.md'), 'utf8')).replace(
        '- **critical**: for 2 minutes',
        '- **critical**: for 3 minutes',
      ),
    );

    const chartRules = join(folder, 'deploy/helm/gitaly-exporter/files/rules/gitaly.yaml');
    await writeFile(chartRules, (await readFile(chartRules, 'utf8')).replace('for: 5m', 'for: 6m'));

    const { code, out, err } = await generate('--check', `--output-dir=${folder}`);
    expect(code).toBe(1);
    expect(out).toBe(
      [
        `${folder}/alerts/praefect.rules.yaml: differs`,
        `${folder}/alerts/runbooks/PraefectQuorumLost.md: differs`,
        `${folder}/dashboards/replication.json: missing`,
        `${chartRules}: differs`,
        '',
      ].join('\n'),
    );
    expect(err).toMatch(/^4 of \d+ generated files are stale: run gitaly-exporter generate --output-dir=/);
    expect(await readFile(rules, 'utf8')).toBe(broken);
  });
});

test('URLs, job and thresholds are used in every file that depends on them', async () => {
  const { code } = await generate(
    `--output-dir=${folder}`,
    '--grafana-url=https://grafana.corp.example/g/',
    '--runbook-url=https://wiki.corp.example/gitaly',
    '--exporter-job=git-.*',
    '--threshold=databaseUnreachable=10m',
    '--threshold=quorumRatio=40%,replicationOldestJob=1h',
    '--praefect.stuck-threshold=30m',
  );
  expect(code).toBe(0);
  const text = (file: string) => readFile(join(folder, file), 'utf8');
  const rules = await text('alerts/praefect.rules.yaml');
  expect(rules).toContain(
    'dashboard_url: https://grafana.corp.example/g/d/gitaly-exporter-praefect?viewPanel=6&from=now-3h&to=now',
  );
  expect(rules).toContain('runbook_url: https://wiki.corp.example/gitaly/PraefectQuorumLost.md');
  expect(rules).toContain('for: 11m15s');
  expect(rules).toContain('>= bool 0.4');
  expect(await text('alerts/exporter.rules.yaml')).toContain('up{job=~"git-.*"}');
  expect(await text('alerts/runbooks/PraefectDatabaseUnreachable.md')).toContain('for 10 minutes');
  expect(await text('alerts/runbooks/PraefectReplicaStuck.md')).toContain('behind for over 30 minutes');
  expect(await text('dashboards/replication.json')).toContain('"value": 3600');
});

test('without --grafana-url and --runbook-url no file has a link to them', async () => {
  await generate(`--output-dir=${folder}`);
  for (const file of await filesBelow(folder))
    expect({ file, text: await readFile(join(folder, file), 'utf8') }).toEqual({
      file,
      text: expect.not.stringMatching(/example\.org|runbook_url|dashboard_url/),
    });
});

test.each([
  ['--threshold=databaseUnreachable=soon', 'databaseUnreachable is a duration such as 90s, 5m or 1h30m'],
  [
    '--threshold=databaseUnreachable=0s',
    'threshold databaseUnreachable: found 0, expected a whole number of seconds greater than 0 (default 120)',
  ],
  ['--threshold=databaseUnreacheable=5m', 'did you mean databaseUnreachable?'],
  ['--threshold=nonsense=5m', 'the thresholds are scrapeInterval, '],
  ['--threshold=quorumRatio=2', 'expected a ratio greater than 0 and at most 1'],
  ['--threshold=quorumRatio=40 percent', 'quorumRatio is a ratio such as 0.4, or a percentage such as 40%'],
  ['--threshold=oomRepeatedEvents=40%', 'oomRepeatedEvents is a whole number'],
  ['--grafana-url=grafana/', 'start it with https:// or http://'],
  ['--runbook-url=https://wiki.corp.example/?page=', 'leave out the part from ? or # on'],
  ['--exporter-job=gitaly(', 'Unterminated group'],
  ['--exporter-job=(?!gitaly).*', 'Prometheus supports neither lookaround nor backreferences ((?!)'],
])('%s is rejected with the expected form', async (flag, message) => {
  const { code, err } = await generate('--check', `--output-dir=${folder}`, flag);
  expect(code).toBe(2);
  expect(err.replaceAll(/\s+/g, ' ')).toContain(message);
});

test.each([[], ['--check']])('without --output-dir nothing is written: %p', async (...flags) => {
  expect(await generate(...flags)).toEqual({
    code: 2,
    out: '',
    err: 'gitaly-exporter: generate needs --output-dir, the folder to write to (. is the current one)\n',
  });
});

test('an output folder that cannot be written is one line of error', async () => {
  await writeFile(join(folder, 'file'), '');
  const { code, out, err } = await generate(`--output-dir=${folder}/file`);
  expect({ code, out }).toEqual({ code: 2, out: '' });
  expect(err).toMatch(/^gitaly-exporter: cannot write .+\/file: ENOTDIR: not a directory.+\n$/);
});
