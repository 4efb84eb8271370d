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
  expect(await generate('all', '--check', `--output-dir=${root}`)).toEqual({ code: 0, out: '', err: '' });
});

describe('generate in an empty folder', () => {
  test('writes rules, runbooks and dashboards, and nothing else without a word', async () => {
    expect((await generate(`--output-dir=${folder}`)).code).toBe(0);
    expect((await readdir(folder)).sort()).toEqual(['alerts', 'dashboards']);
  });

  test('does not write the chart without its values.yaml', async () => {
    expect(await generate('chart', `--output-dir=${folder}`)).toEqual({
      code: 2,
      out: '',
      err: expect.stringMatching(
        /^gitaly-exporter: cannot read .+values\.yaml: ENOENT.*set --output-dir to a clone of the repository\n$/,
      ),
    });
    expect(await readdir(folder)).toEqual([]);
  });
});

describe('generate all in a copy of the chart', () => {
  beforeEach(async () => {
    const values = 'deploy/helm/gitaly-exporter/values.yaml';
    await cp(join(root, values), join(folder, values));
  });

  test('writes everything, with the same bytes as the checked-in files', async () => {
    const { code, err } = await generate('all', `--output-dir=${folder}`);
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

  test('does not write an unchanged file again', async () => {
    await generate('all', `--output-dir=${folder}`);
    const before = await stat(join(folder, 'docs/metrics.md'));
    expect(await generate('all', `--output-dir=${folder}`)).toMatchObject({ code: 0, out: '' });
    expect((await stat(join(folder, 'docs/metrics.md'))).mtimeMs).toBe(before.mtimeMs);
  });

  test('with --check names each file that is stale or missing, writes nothing, and exits with 1', async () => {
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

    const { code, out, err } = await generate('all', '--check', `--output-dir=${folder}`);
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
    expect(err).toMatch(
      /^4 of \d+ generated files are stale: run gitaly-exporter generate all --output-dir=/,
    );
    expect(await readFile(rules, 'utf8')).toBe(broken);
  });
});

test('URLs, job and thresholds are used in every file that depends on them', async () => {
  const { code } = await generate(
    `--output-dir=${folder}`,
    '--alerts.grafana-url=https://grafana.corp.example/g/',
    '--alerts.runbook-url=https://wiki.corp.example/gitaly',
    '--alerts.exporter-job=git-.*',
    '--alerts.threshold.database-unreachable=10m',
    '--alerts.threshold.quorum-ratio=40%',
    '--alerts.threshold.replication-oldest-job=1h',
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

test('the volumes with repositories are those of the settings in every rule', async () => {
  const { code } = await generate(
    `--output-dir=${folder}`,
    '--alerts.volume-claim=git-data-.*',
    '--alerts.volume-mountpoint=/mnt/git.*|/',
  );
  expect(code).toBe(0);
  const rules = await readFile(join(folder, 'alerts/gitaly.rules.yaml'), 'utf8');
  const selected = (label: string) => [...new Set(rules.match(new RegExp(`(?<=${label}=~")[^"]*`, 'g')))];
  expect(selected('mountpoint')).toEqual(['/mnt/git.*|/']);
  expect(selected('persistentvolumeclaim')).toEqual(['git-data-.*']);
  const runbook = await readFile(join(folder, 'alerts/runbooks/GitalyVolumeMetricsMissing.md'), 'utf8');
  expect(runbook).toContain('mounted at /mnt/git.*|/');
});

test('the configuration file sets folder, tags, data source and thresholds of dashboards', async () => {
  const yaml = [
    'dashboards: {folder: Git storage, tag: [git, sre], datasource: prom-1}',
    'alerts: {threshold: {replication-oldest-job: 1h}}',
  ].join('\n');
  const host = testHost({ '/config.yml': yaml });
  const flags = [`--output-dir=${folder}`, '--config.file=/config.yml'];
  expect({ code: await main(['generate', 'dashboards', ...flags], host), err: host.err() }).toMatchObject({
    code: 0,
  });
  const text = (file: string) => readFile(join(folder, 'dashboards', file), 'utf8');
  expect(JSON.parse(await text('replication.json'))).toMatchObject({
    tags: ['gitaly-exporter', 'git', 'sre'],
    templating: {
      list: expect.arrayContaining([
        expect.objectContaining({
          name: 'datasource',
          current: expect.objectContaining({ value: 'prom-1' }),
        }),
      ]),
    },
  });
  expect(await text('replication.json')).toContain('"value": 3600');
  expect(await text('provisioning.yaml')).toContain('folder: Git storage');
  expect((await text('configmaps.yaml')).match(/grafana_folder: Git storage/g)).toHaveLength(6);
});

test('without alerts.grafana-url and alerts.runbook-url no file has such a link', async () => {
  await generate(`--output-dir=${folder}`);
  for (const file of await filesBelow(folder))
    expect({ file, text: await readFile(join(folder, file), 'utf8') }).toEqual({
      file,
      text: expect.not.stringMatching(/example\.org|runbook_url|dashboard_url/),
    });
});

test.each([
  [
    '--alerts.threshold.database-unreachable=soon',
    'found "soon", expected a duration in whole seconds such as 90s or 1h30m from 1s to 365d',
  ],
  ['--alerts.threshold.database-unreachable=0s', 'from 1s to 365d'],
  ['--alerts.threshold.database-unreachable=1500ms', 'from 1s to 365d'],
  ['--alerts.threshold.database-unreachable=120', 'write 120s for seconds'],
  ['--alerts.threshold.scrape-interval=5m', 'from 1s to 2m'],
  ['--alerts.threshold.database-unreacheable=5m', 'Did you mean --alerts.threshold.database-unreachable?'],
  ['--alerts.threshold.quorum-ratio=2', 'expected a ratio over 0 and at most 1'],
  ['--alerts.threshold.oom-repeated-events=40%', 'expected a whole number from 1'],
  [
    '--alerts.threshold.wraparound-critical=600000000',
    'alerts.threshold.wraparound-critical (600000000) must be lower than alerts.threshold.wraparound-warning (500000000), because the ticket must come before the page',
  ],
  [
    '--alerts.threshold.storage-unhealthy=5m',
    'alerts.threshold.storage-unhealthy (5m) must be lower than alerts.threshold.gitaly-down (5m)',
  ],
  [
    '--alerts.threshold.scrape-interval=2m',
    'alerts.threshold.scrape-interval (2m) must be at most 1/4 of alerts.threshold.rate-window (5m)',
  ],
  ['--alerts.severity=GitalyDown=page', 'found "page", expected one of critical, warning, info, none'],
  ['--alerts.severity=GitlayDown=warning', 'did you mean GitalyDown?'],
  ['--alerts.severity=GitalyDown', 'expected an alert and its severity (critical, warning, info, none)'],
  ['--alerts.severity=GitalyDown=info,GitalyDown=none', 'sets GitalyDown twice; set it once'],
  ['--alerts.label=cluster=blue', 'alerts have a label cluster of their own'],
  ['--alerts.label=my-team=git', 'a label is letters, digits and _'],
  ['--alerts.label=team={{ $value }}', 'templates are not supported; write a fixed value'],
  ['--alerts.grafana-url=grafana/', 'start it with https:// or http://'],
  ['--alerts.runbook-url=https://wiki.corp.example/?page=', 'leave out the part from ? or # on'],
  [
    '--alerts.runbook-url=https://me:secret@wiki.corp.example',
    'its value (not shown) has a user: remove user and password',
  ],
  ['--alerts.exporter-job=gitaly(', 'Unterminated group'],
  ['--alerts.exporter-job=[', 'Unterminated character class'],
  ['--alerts.exporter-job=\\u0041', 'Prometheus does not support \\u'],
  ['--alerts.exporter-job=x{1,1001}', 'Prometheus repeats at most 1000 times, not 1001'],
  ['--alerts.exporter-job=(?!gitaly).*', 'Prometheus supports neither lookaround nor backreferences ((?!)'],
])('%s is rejected with the expected form', async (flag, message) => {
  const { code, err } = await generate('--check', `--output-dir=${folder}`, flag);
  expect(code).toBe(2);
  expect(err.replaceAll(/\s+/g, ' ')).toContain(message);
});

test('the configuration file of the exporter sets thresholds, severities and labels', async () => {
  const yaml = [
    'alerts:',
    '  severity: {PraefectPrimarySkew: info, GitalyPodPending: none, GitalyErrorBudgetBurn: warning}',
    '  label: {team: git-storage}',
    '  threshold:',
    '    database-unreachable: 10m',
    '    volume-available: 5%',
  ].join('\n');
  const host = testHost({ '/config.yml': yaml });
  const flags = [`--output-dir=${folder}`, '--config.file=/config.yml'];
  expect({ code: await main(['generate', 'alerts', ...flags], host), err: host.err() }).toMatchObject({
    code: 0,
  });
  const rules = (
    await Promise.all(
      ['exporter', 'praefect', 'gitaly'].map((name) =>
        readFile(join(folder, `alerts/${name}.rules.yaml`), 'utf8'),
      ),
    )
  ).join('\n');
  const labelsOf = (alert: string) =>
    [...rules.matchAll(new RegExp(`- alert: ${alert}\\n[^]*?labels:\\n([^]*?) +annotations:`, 'g'))].map(
      ([, labels]) => labels!.trim().replaceAll(/\s*\n\s*/g, ' '),
    );
  expect(labelsOf('PraefectPrimarySkew')).toEqual(['severity: info team: git-storage']);
  expect(labelsOf('GitalyPodPending')).toEqual([]);
  expect(labelsOf('GitalyErrorBudgetBurn')).toEqual([
    'severity: warning team: git-storage',
    'severity: warning team: git-storage',
    'severity: warning window: 3d team: git-storage',
  ]);
  expect(rules).toContain('gitaly:volume_available:ratio < 0.05');
  expect(await filesBelow(folder)).toEqual(
    expect.not.arrayContaining([expect.stringMatching(/^(docs|dashboards)/)]),
  );
});

test.each([[], ['--check']])('without --output-dir nothing is written: %p', async (...flags) => {
  expect(await generate(...flags)).toEqual({
    code: 2,
    out: '',
    err: 'gitaly-exporter: generate needs --output-dir, the folder to write to (. is the current one)\n',
  });
});

test('an output folder that cannot be created fails with one line, without endless retries', async () => {
  const { code, out, err } = await generate('--output-dir=/proc');
  expect({ code, out }).toEqual({ code: 2, out: '' });
  expect(err).toMatch(/^gitaly-exporter: cannot write \/proc: \S+: .*\n$/);
});

test('missing parents of the output folder are created', async () => {
  expect((await generate(`--output-dir=${folder}/a/b`)).code).toBe(0);
  expect(await filesBelow(join(folder, 'a/b'))).toContain('alerts/praefect.rules.yaml');
});

test('an output folder that is not writable fails with one line', async () => {
  await writeFile(join(folder, 'file'), '');
  const { code, out, err } = await generate(`--output-dir=${folder}/file`);
  expect({ code, out }).toEqual({ code: 2, out: '' });
  expect(err).toMatch(/^gitaly-exporter: cannot write .+\/file: ENOTDIR: not a directory.+\n$/);
});
