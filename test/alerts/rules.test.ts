/** The rules as values and as files: what is required of every alert and every recording rule. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { alertGroups } from '../../alerts/index.ts';
import { alertList, alertListFile } from '../../alerts/list.ts';
import { prometheusRule, type RulesFileSettings, rulesFile } from '../../alerts/rules-file.ts';
import { dashboards } from '../../dashboards/index.ts';
import { everyMetric } from '../../src/app/catalog.ts';
import { panelIdsOf } from '../../src/cli/generate/artifacts.ts';
import { durationInWords } from '../../src/monitoring/durations.ts';
import { externalMetrics } from '../../src/monitoring/external-metrics.ts';
import { gaugeWindow, sustained } from '../../src/monitoring/recording.ts';
import { defaultMonitoringSettings, type MonitoringSettings } from '../../src/monitoring/settings.ts';
import { type ThresholdOverrides, withOverrides } from '../../src/rules/alert-thresholds.ts';
import { gaugeWindowSeconds } from '../../src/rules/thresholds.ts';
import { promqlErrors, selectorsIn } from '../support/promql.ts';
import { testWith } from '../support/tools.ts';

const folder = join(import.meta.dirname, '../../alerts');
const shown = dashboards(defaultMonitoringSettings);
const linked: RulesFileSettings = {
  ...defaultMonitoringSettings,
  panelId: panelIdsOf(shown),
  grafanaUrl: 'https://grafana.corp.example',
  runbookUrl: 'https://wiki.corp.example/gitaly',
};
const groups = alertGroups(linked);
const alerts = groups.flatMap((group) => group.alerts);
const names = [...new Set(alerts.map(({ name }) => name))];
const recordings = groups.flatMap((group) => group.recordings);

interface AlertRule {
  readonly alert: string;
  readonly expr: string;
  readonly for?: string;
  readonly keep_firing_for?: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

interface RecordingRule {
  readonly record: string;
  readonly expr: string;
}

type FileOfRules = { groups: [{ rules: RecordingRule[] }, { rules: AlertRule[] }] };

const fileOf = (settings: MonitoringSettings): readonly FileOfRules[] =>
  alertGroups(settings).map(
    (group) => parse(rulesFile(group, { ...settings, panelId: linked.panelId })) as FileOfRules,
  );

const rulesOf = (settings: MonitoringSettings): readonly AlertRule[] =>
  fileOf(settings).flatMap((file) => file.groups[1].rules);

const rules = rulesOf(linked);
const recordingRules = fileOf(linked).flatMap((file) => file.groups[0].rules);

const declared = new Set<string>([
  ...[...everyMetric, ...externalMetrics].flatMap(({ name, type }) =>
    type === 'histogram' ? [`${name}_count`, `${name}_bucket`] : [name],
  ),
  ...recordings.map(({ name }) => name),
]);

/** The queries in the texts, with values for the labels. */
const queriesIn = (text: string): readonly string[] =>
  [...text.matchAll(/(?:printf|query) `([^`]*)`/g)].map(([, query]) =>
    query!.replaceAll('%q', '"x"').replaceAll('%%', '%'),
  );

describe.each(rules.map((rule) => [`${rule.alert} (${rule.labels['severity']})`, rule] as const))(
  '%s',
  (_, rule) => {
    const { summary = '', description = '', runbook_url, dashboard_url = '' } = rule.annotations;

    test('its expression and queries are PromQL over declared metrics and recorded series', () => {
      for (const expression of [rule.expr, ...queriesIn(description)]) {
        expect({ expression, errors: promqlErrors(expression) }).toEqual({ expression, errors: [] });
        expect(selectorsIn(expression).filter(({ metric }) => !declared.has(metric))).toEqual([]);
      }
    });

    test('its expression can be read in the Prometheus UI', () => {
      expect(rule.expr.split('\n').length).toBeLessThanOrEqual(10);
      expect(rule.expr.length).toBeLessThanOrEqual(600);
    });

    test('its description is short and has one query at most', () => {
      expect(description.length).toBeLessThanOrEqual(500);
      expect(queriesIn(description).length).toBeLessThanOrEqual(1);
      expect(queriesIn(summary)).toEqual([]);
    });

    test('it reads neither the state of alerts nor, except for the alert on them, renamed labels', () => {
      const text = JSON.stringify(rule);
      expect(text).not.toMatch(/ALERTS/);
      if (rule.alert !== 'GitalyExporterLabelsRenamed') expect(text).not.toMatch(/exported_/);
    });

    test('one failed scrape changes nothing: every gauge is read over a window or recorded', () => {
      const bare = selectorsIn(rule.expr)
        .filter(({ range }) => range === undefined)
        .map(({ metric }) => metric);
      expect(bare.filter((metric) => !metric.includes(':') && !rule.expr.includes('exported_'))).toEqual([]);
    });

    test('its links need no query and open an existing panel at the time of the alert', () => {
      expect(Object.keys(rule.annotations)).toEqual([
        'summary',
        'description',
        'runbook_url',
        'dashboard_url',
      ]);
      expect(runbook_url).toBe(`${linked.runbookUrl}/${rule.alert}.md`);
      expect(dashboard_url).not.toContain('query "');
      const [, uid, panel] =
        /\/d\/([a-z-]+)\?viewPanel=(\d+)&from=now-3h&to=now(?:\{\{|$)/.exec(dashboard_url) ?? [];
      const dashboard = shown.find((each) => each.uid === uid);
      expect([...(dashboard?.panelIds.values() ?? [])]).toContain(Number(panel));
    });
  },
);

describe('recording rules', () => {
  test('are named level:metric:operations and read declared metrics', () => {
    for (const { record, expr } of recordingRules) {
      expect(record).toMatch(/^[a-z_]+:[a-z_]+:[a-z0-9_]+$/);
      expect({ record, errors: promqlErrors(expr) }).toEqual({ record, errors: [] });
      expect(selectorsIn(expr).filter(({ metric }) => !declared.has(metric))).toEqual([]);
    }
  });

  /** Rules with one user, which are meant for the panels of the same quantity. */
  const forPanels = new Set([
    'praefect:database_up:max',
    'praefect:repositories_unavailable:max',
    'praefect:storage_unhealthy:unavailable_repositories',
    'gitaly:server_storage:info',
    // Used by one panel, which would read thousands of series without it.
    'gitaly_exporter:collector_failures:rate',
    'gitaly:concurrency_wait_bucket:rate',
    'gitaly_exporter:kubernetes_watch_failures:rate',
    'gitaly:bucket_memory_usage:top',
    'gitaly:bucket_cpu_usage:top',
    'gitaly:bucket_cpu_throttled:top',
    'gitaly_exporter:clock_skew:seconds',
    'praefect:repositories_read_only:max',
    'praefect:repositories_lost:max',
    'praefect:repositories_single_copy:max',
    'praefect:repositories_at_risk:max',
    'praefect:replicas_stuck:max',
    'praefect:primaries:max',
    'praefect:repositories:max',
    'praefect:replication_progress:active',
    'praefect:praefects_alive:count',
    'gitaly:server_maintenance:active',
    'gitaly:memory_pressure:ratio',
    'gitaly:cpu_throttled:ratio',
    'gitaly:oom_kills:increase',
    'gitaly:last_oom:timestamp_seconds',
    'gitaly:concurrency_queued:min',
    'gitaly:adaptive_limit_position:ratio',
    'gitaly:node_cordoned:active',
    'gitaly:volume_inodes_available:ratio',
    'gitaly:grpc_errors:ratio_rate5m',
    'gitaly:grpc_errors:ratio_rate30m',
    'gitaly:grpc_errors:ratio_rate1h',
    // Used by one alert, which would read every series of three days without them.
    'gitaly:grpc_errors:rate1h',
    'gitaly:grpc_errors:ratio_rate3d',
    // Used by one alert, which must not resolve while the database is not read.
    'praefect:database_read_only:max',
  ]);

  test.each(recordings.map(({ name }) => name))('%s has at least two users', (name) => {
    const users = [
      ...recordingRules.filter(({ expr, record }) => record !== name && expr.includes(name)),
      ...rules.filter(({ annotations, expr }) => `${expr}${annotations['description']}`.includes(name)),
    ];
    const panels = shown.reduce((sum, { json }) => sum + json.split(name).length - 1, 0);
    expect(users.length + panels + (forPanels.has(name) ? 1 : 0)).toBeGreaterThanOrEqual(2);
  });
});

interface PromtoolTest {
  readonly name: string;
  readonly alert_rule_test?: readonly {
    readonly exp_alerts?: readonly {
      readonly exp_annotations?: { readonly summary: string; readonly description: string };
    }[];
  }[];
}

/** `<alert>.test.yaml`, and `<alert>.<what>.test.yaml` where one file cannot hold all. */
const testFiles = (name: string): readonly string[] =>
  readdirSync(join(folder, 'tests')).filter((file) => file.startsWith(`${name}.`));

const testsOf = (name: string): readonly PromtoolTest[] =>
  testFiles(name).flatMap(
    (file) => (parse(readFileSync(join(folder, 'tests', file), 'utf8')) as { tests: PromtoolTest[] }).tests,
  );

describe.each(names)('%s', (name) => {
  test('has a promtool test that fires, one that resolves and one that does not fire', () => {
    const titles = testsOf(name).map((each) => each.name);
    expect(titles).toContainEqual(expect.stringMatching(/^(fires|shows) /));
    expect(titles).toContainEqual(expect.stringMatching(/^resolves |for 15 minutes/));
    expect(titles).toContainEqual(expect.stringMatching(/^does not fire /));
  });

  test('its rendered summary has at most 100 characters, its description at most 300', () => {
    const rendered = testsOf(name)
      .flatMap((each) => each.alert_rule_test ?? [])
      .flatMap((each) => each.exp_alerts ?? [])
      .flatMap((each) => each.exp_annotations ?? []);
    expect(rendered).not.toEqual([]);
    for (const { description, summary } of rendered) {
      expect({ summary, fits: summary.length <= 100 }).toEqual({ summary, fits: true });
      expect({ description, fits: description.length <= 300 }).toEqual({ description, fits: true });
      expect(description).not.toMatch(/%!|<no value>|\{\{/);
    }
  });

  test('has a runbook in the five sections', () => {
    const text = readFileSync(join(folder, 'runbooks', `${name}.md`), 'utf8');
    expect([...text.matchAll(/^## (.+)$/gm)].map(([, title]) => title)).toEqual([
      'Impact',
      'Diagnosis',
      'Mitigation',
      'Resolution',
      'False positives',
    ]);
  });
});

/** Titles of the panels and rows of each dashboard, by its title. */
const titlesOf = new Map(
  readdirSync(join(folder, '../dashboards'))
    .filter((file) => file.endsWith('.json'))
    .map((file) => {
      interface Titled {
        readonly title: string;
        readonly panels?: readonly Titled[];
      }
      const { title, panels = [] } = JSON.parse(
        readFileSync(join(folder, '../dashboards', file), 'utf8'),
      ) as Titled;
      return [
        title,
        new Set(panels.flatMap((row) => [row, ...(row.panels ?? [])]).map((each) => each.title)),
      ];
    }),
);

test('every dashboard, row and panel that a runbook or a description names exists', () => {
  const texts = [
    ...names.map((name) => [name, readFileSync(join(folder, 'runbooks', `${name}.md`), 'utf8')] as const),
    ...rules.map(({ alert, annotations }) => [alert, annotations['description'] ?? ''] as const),
  ];
  const everyTitle = new Set([...titlesOf.values()].flatMap((titles) => [...titles]));
  const unknown = texts.flatMap(([alert, text]) => [
    ...[...text.matchAll(/dashboard "([^"]+)"([^\n]*?)(?=dashboard "|$)/gim)].flatMap(
      ([, dashboard = '', rest = '']) =>
        [...rest.matchAll(/"([^"]+)"/g)]
          .map(([, title = '']) => title)
          .filter((title) => titlesOf.get(dashboard)?.has(title) !== true)
          .concat(titlesOf.has(dashboard) ? [] : [dashboard])
          .map((title) => `${alert}: ${title}`),
    ),
    ...[...text.matchAll(/(?:panel|row) "([^"]+)"/gi)]
      .map(([, title = '']) => title)
      .filter((title) => !everyTitle.has(title))
      .map((title) => `${alert}: ${title}`),
  ]);
  expect(titlesOf.size).toBe(6);
  expect(unknown).toEqual([]);
});

test('every runbook, every link in one, and every promtool test belongs to an alert', () => {
  const pages = readdirSync(join(folder, 'runbooks'));
  expect(pages.filter((file) => file !== 'praefect-commands.md').sort()).toEqual(
    names.map((name) => `${name}.md`).sort(),
  );
  const links = pages.flatMap((page) =>
    [...readFileSync(join(folder, 'runbooks', page), 'utf8').matchAll(/\]\(([\w-]+\.md)\)/g)].map(
      ([, target]) => target!,
    ),
  );
  expect(links.filter((target) => !pages.includes(target))).toEqual([]);
  expect(names.flatMap(testFiles).sort()).toEqual(readdirSync(join(folder, 'tests')).sort());
});

const everyAlert = groups.flatMap(({ alerts }) => alerts);

test('an alert that maintenance windows suppress says so, as does docs/maintenance.md', () => {
  const suppressed = everyAlert.filter(({ expression }) => /maintenance:active/.test(expression.text));
  expect(suppressed.length).toBeGreaterThan(10);
  expect(suppressed.filter(({ firesWhen }) => !firesWhen.includes('outside of maintenance windows'))).toEqual(
    [],
  );
  const [, section = ''] =
    /## Which shipped alerts are suppressed([\s\S]*?)\n## /.exec(
      readFileSync(join(folder, '../docs/maintenance.md'), 'utf8'),
    ) ?? [];
  expect([...new Set(section.match(/\b(?:Gitaly|Praefect)[A-Z]\w+/g))].sort()).toEqual(
    [...new Set(suppressed.map(({ name }) => name))].sort(),
  );
});

/** Thresholds that are the duration of several alerts, which are about the same. */
const sharedDurations: Readonly<Record<string, readonly string[]>> = {
  clockSkewFor: ['GitalyExporterClockSkew', 'PraefectDatabaseClockSkew'],
  exporterDown: ['GitalyExporterDown', 'GitalyExporterMissing'],
  gitalyDown: ['GitalyDown', 'GitalyNodeNotReady', 'GitalyRolloutStuck'],
  repositoriesUnavailable: ['PraefectRepositoriesReadOnly', 'PraefectRepositoriesUnavailable'],
  requestsDropped: ['GitalyLoadShed', 'GitalyPackObjectsDropped', 'GitalyRequestsDroppedQueueFull'],
  storageUnhealthy: ['PraefectFailover', 'PraefectStorageUnhealthy'],
  volumeAvailableFor: ['GitalyInodesFilling', 'GitalyVolumeFilling'],
};

test('a threshold is the duration of one alert, or of alerts on the same', () => {
  const { thresholds } = defaultMonitoringSettings;
  const changedBy = (name: string, value: number): readonly string[] => {
    const changed = alertGroups({
      ...defaultMonitoringSettings,
      thresholds: withOverrides({ [name]: value + 7 }),
    }).flatMap((group) => group.alerts);
    const names = everyAlert.flatMap((alert, index) =>
      alert.forSeconds === changed[index]?.forSeconds ? [] : [alert.name],
    );
    return [...new Set(names)].sort();
  };
  // The window of gauges is part of most durations.
  const shared = Object.entries(thresholds)
    .filter(([name, { unit }]) => unit === 'seconds' && name !== 'scrapeInterval')
    .map(([name, { value }]) => [name, changedBy(name, value)] as const)
    .filter(([, changed]) => changed.length > 1);
  expect(Object.fromEntries(shared)).toEqual(sharedDurations);
});

/** The text has the range of the expression and `for` as one duration, or says what they stand for. */
const durationInOtherWords = [
  'GitalyConcurrencySaturated',
  'PraefectFailover',
  'PraefectReplicasUnscheduled',
];

test('the text of an alert with a duration names it', () => {
  const window = gaugeWindowSeconds(defaultMonitoringSettings.thresholds);
  const unnamed = everyAlert.filter(
    ({ firesWhen, forSeconds, name }) =>
      forSeconds > 0 &&
      !durationInOtherWords.includes(name) &&
      ![forSeconds, forSeconds - window].some((each) => firesWhen.includes(durationInWords(each))),
  );
  expect(unnamed.map(({ name }) => name)).toEqual([]);
});

/** It can fire by the limits that all versions of GitLab have. */
const firesInAllVersions = ['GitalyConcurrencySaturated', 'PraefectStorageUnhealthy'];

test('an alert on a metric that older versions of GitLab lack names the version', () => {
  const limited = everyAlert.filter(
    ({ expression, name }) =>
      expression.metrics.some(({ details = '', origin }) =>
        /from GitLab \d|Absent (before|up to) GitLab|GitLab 13\.x only/.test(`${details} ${origin}`),
      ) && !firesInAllVersions.includes(name),
  );
  expect(limited.length).toBeGreaterThan(4);
  expect(limited.filter(({ firesWhen }) => !/GitLab \d/.test(firesWhen)).map(({ name }) => name)).toEqual([]);
});

test('the PrometheusRule has the same groups as the rules file', () => {
  for (const group of groups) {
    const { groups: plain } = parse(rulesFile(group, linked)) as { groups: unknown };
    const resource = parse(prometheusRule(group, linked)) as Record<string, unknown>;
    expect(resource).toEqual({
      apiVersion: 'monitoring.coreos.com/v1',
      kind: 'PrometheusRule',
      metadata: {
        name: expect.stringMatching(/^gitaly-exporter(-praefect|-gitaly)?$/),
        labels: { 'app.kubernetes.io/name': 'gitaly-exporter' },
      },
      spec: { groups: plain },
    });
  }
});

test('the list of alerts and thresholds that settings are made of is current', () => {
  expect(alertList()).toBe(readFileSync(join(folder, '..', alertListFile), 'utf8'));
});

describe('a threshold', () => {
  const withThresholds = (overrides: ThresholdOverrides) =>
    rulesOf({ ...defaultMonitoringSettings, thresholds: withOverrides(overrides) });

  test('that is overridden is used by the rule and its runbook', () => {
    const thresholds = withOverrides({ replicationOldestJob: 1800 });
    const rule = withThresholds({ replicationOldestJob: 1800 }).find(
      ({ alert }) => alert === 'PraefectReplicationStalled',
    );
    expect(rule?.expr).toContain('> 1800\n');
    const alert = alertGroups({ ...defaultMonitoringSettings, thresholds })
      .flatMap((group) => group.alerts)
      .find(({ name }) => name === 'PraefectReplicationStalled');
    expect(alert?.firesWhen).toContain('over 30 minutes old');
  });

  test('keepFiring of 0 omits keep_firing_for, which older versions of Prometheus reject', () => {
    expect(withThresholds({}).filter((rule) => rule.keep_firing_for).length).toBeGreaterThan(0);
    expect(withThresholds({ keepFiring: 0 }).filter((rule) => rule.keep_firing_for)).toEqual([]);
  });

  test.each([
    // With samples every 30 s, the window of 75 s has one although a scrape failed.
    { scrapeInterval: 15, window: '38s', for: 158 },
    { scrapeInterval: 30, window: '1m15s', for: 195 },
    { scrapeInterval: 60, window: '2m30s', for: 270 },
  ])(
    'scrapeInterval of $scrapeInterval s gives the window $window, and 2 minutes become $for s',
    (expected) => {
      const thresholds = withOverrides({ scrapeInterval: expected.scrapeInterval });
      expect(gaugeWindow(thresholds)).toBe(expected.window);
      expect(sustained(thresholds, 120)).toBe(expected.for);
    },
  );

  test.each([
    [
      { databaseUnreachable: 0 },
      'threshold databaseUnreachable: found 0, expected a whole number of seconds from 1 to 31536000 (default 120)',
    ],
    [
      { databaseUnreachable: 1.5 },
      'threshold databaseUnreachable: found 1.5, expected a whole number of seconds from 1 to 31536000 (default 120)',
    ],
    [
      { quorumRatio: 50 },
      'threshold quorumRatio: found 50, expected a ratio greater than 0 and at most 1 (default 0.5)',
    ],
    [
      { keepFiring: -1 },
      'threshold keepFiring: found -1, expected a whole number of seconds from 0 to 31536000 (default 300)',
    ],
    [
      { failoverWindow: Number.NaN },
      'threshold failoverWindow: found NaN, expected a whole number of seconds from 1 to 31536000 (default 900)',
    ],
  ])('%p is rejected', (overrides, message) => {
    expect(() => withOverrides(overrides)).toThrow(new RangeError(message));
  });
});

const promtool = (...args: readonly string[]) => {
  const { status, stdout, stderr } = spawnSync('promtool', args, {
    encoding: 'utf8',
    cwd: join(folder, 'tests'),
  });
  return { status, text: stdout + stderr };
};

testWith('promtool')('promtool accepts the checked-in rules', () => {
  const files = groups.map((group) => `../${group.file}.rules.yaml`);
  const { status, text } = promtool('check', 'rules', '--lint=all', ...files);
  expect({ status, text }).toEqual({ status: 0, text: expect.stringMatching(/SUCCESS: \d+ rules found/) });
  // Duplicate rules do not change the exit code.
  expect(text).not.toMatch(/FAILED|duplicate/);
});

testWith('promtool')('promtool accepts the rules of other thresholds', () => {
  const scratch = mkdtempSync(join(tmpdir(), 'rules-'));
  try {
    const settings = {
      ...linked,
      thresholds: withOverrides({ scrapeInterval: 60, keepFiring: 0, repositoryCountDrop: 0.25 }),
    };
    for (const group of alertGroups(settings)) {
      const file = join(scratch, `${group.file}.yaml`);
      writeFileSync(file, rulesFile(group, settings));
      expect(promtool('check', 'rules', '--lint=all', file)).toMatchObject({ status: 0 });
    }
  } finally {
    rmSync(scratch, { recursive: true });
  }
});
