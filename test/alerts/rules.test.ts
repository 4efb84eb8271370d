/** The rules as values and as files: what holds for every alert, whatever it watches. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { gaugeWindow, sustained } from '../../alerts/alert.ts';
import { scrapeUp } from '../../alerts/exporter.ts';
import { alertGroups } from '../../alerts/index.ts';
import { prometheusRule, rulesFile } from '../../alerts/rules-file.ts';
import { everyMetric } from '../../src/app/catalog.ts';
import { linkedDashboards } from '../../src/monitoring/links.ts';
import { defaultMonitoringSettings, type MonitoringSettings } from '../../src/monitoring/settings.ts';
import { withOverrides } from '../../src/rules/thresholds.ts';
import { promqlErrors, selectorsIn } from '../support/promql.ts';
import { testWith } from '../support/tools.ts';

const folder = join(import.meta.dirname, '../../alerts');
const groups = alertGroups(defaultMonitoringSettings);
const alerts = groups.flatMap((group) => group.alerts);
const names = [...new Set(alerts.map(({ name }) => name))];

/** `<alert>.test.yaml`, and `<alert>.<what>.test.yaml` where one file cannot hold all. */
const testFiles = (name: string): readonly string[] =>
  readdirSync(join(folder, 'tests')).filter((file) => file.startsWith(`${name}.`));

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly for?: string;
  readonly keep_firing_for?: string;
  readonly labels: { readonly severity: string };
  readonly annotations: Readonly<Record<string, string>>;
}

const rulesOf = (settings: MonitoringSettings): readonly Rule[] =>
  alertGroups(settings).flatMap(
    (group) => (parse(rulesFile(group, settings)) as { groups: { rules: Rule[] }[] }).groups[0]!.rules,
  );

const linked: MonitoringSettings = {
  ...defaultMonitoringSettings,
  grafanaUrl: 'https://grafana.corp.example',
  runbookUrl: 'https://wiki.corp.example/gitaly',
};

describe.each(rulesOf(linked).map((rule) => [`${rule.alert} (${rule.labels.severity})`, rule] as const))(
  '%s',
  (_, rule) => {
    /** What its texts ask of Prometheus, with values for the labels. */
    const asked = Object.values(rule.annotations).flatMap((text) =>
      [...text.matchAll(/(?:printf|query) `([^`]*)`/g)].map(([, query]) => query!.replaceAll('%q', '"x"')),
    );

    test('its expression and what its texts ask are PromQL over declared metrics', () => {
      const declared = new Set(
        [...everyMetric, scrapeUp]
          .map(({ name, type }) => (type === 'histogram' ? `${name}_count` : name))
          .concat('ALERTS_FOR_STATE'),
      );
      for (const expression of [rule.expr, ...asked]) {
        expect({ expression, errors: promqlErrors(expression) }).toEqual({ expression, errors: [] });
        const unknown = selectorsIn(expression).filter(({ metric }) => !declared.has(metric));
        expect(unknown).toEqual([]);
      }
    });

    test('a missed scrape does not start its time anew: every gauge is read over a window', () => {
      const bare = selectorsIn(rule.expr)
        .filter(({ range }) => range === undefined)
        .map(({ metric }) => metric);
      // Told beside those that are windowed, and only while those fire.
      const allowed = ['gitaly_exporter_collector_enabled', 'gitaly_exporter_collector_success'];
      expect(bare.filter((metric) => !allowed.includes(metric))).toEqual([]);
    });

    test('it tells what, since when, where to look and what to do', () => {
      expect(Object.keys(rule.annotations)).toEqual([
        'summary',
        'description',
        'runbook_url',
        'dashboard_url',
      ]);
      expect(rule.annotations['description']).toMatch(/since|last seen/i);
      expect(rule.annotations['runbook_url']).toBe(`${linked.runbookUrl}/${rule.alert}.md`);
      const [, uid, panel] =
        /\/d\/([a-z-]+)\?viewPanel=(\d+)&from=/.exec(rule.annotations['dashboard_url']!) ?? [];
      const board = linkedDashboards.find((each) => each.uid === uid);
      expect(Object.values<number>(board?.panels ?? {})).toContain(Number(panel));
      expect(rule.labels.severity).toMatch(/^(critical|warning|info)$/);
    });
  },
);

describe.each(names)('%s', (name) => {
  test('has a runbook, and a promtool test that fires and one that does not', () => {
    expect(existsSync(join(folder, 'runbooks', `${name}.md`))).toBe(true);
    const tests = testFiles(name).flatMap(
      (file) =>
        (parse(readFileSync(join(folder, 'tests', file), 'utf8')) as { tests: { name: string }[] }).tests,
    );
    expect(tests.filter((each) => /^(fires|shows|wakes someone|names|says)/.test(each.name))).not.toEqual([]);
    expect(
      tests.filter((each) => /does not|no fault|is silent|wakes nobody|invents none/.test(each.name)),
    ).not.toEqual([]);
  });
});

test('every runbook and every promtool test belongs to an alert', () => {
  const pages = readdirSync(join(folder, 'runbooks')).filter((file) => file !== 'praefect-commands.md');
  expect(pages.sort()).toEqual(names.map((name) => `${name}.md`).sort());
  expect(names.flatMap(testFiles).sort()).toEqual(readdirSync(join(folder, 'tests')).sort());
});

test('the PrometheusRule has the same groups as the rules file', () => {
  for (const group of groups) {
    const { groups: plain } = parse(rulesFile(group, defaultMonitoringSettings)) as { groups: unknown };
    const resource = parse(prometheusRule(group, defaultMonitoringSettings)) as Record<string, unknown>;
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

describe('thresholds', () => {
  const withThresholds = (overrides: Parameters<typeof withOverrides>[0]) =>
    rulesOf({ ...defaultMonitoringSettings, thresholds: withOverrides(overrides) });

  test('an override is quoted by the rule and by its words', () => {
    const rule = withThresholds({ replicationOldestJob: 1800 }).find(
      ({ alert }) => alert === 'PraefectReplicationStalled',
    );
    expect(rule?.expr).toContain('> 1800\n');
    const alert = alertGroups({
      ...defaultMonitoringSettings,
      thresholds: withOverrides({ replicationOldestJob: 1800 }),
    })
      .flatMap((group) => group.alerts)
      .find(({ name }) => name === 'PraefectReplicationStalled');
    expect(alert?.firesWhen).toContain('over 30 minutes old');
  });

  test('keepFiring 0 leaves keep_firing_for out, for a Prometheus that does not know it', () => {
    expect(withThresholds({}).filter((rule) => rule.keep_firing_for).length).toBeGreaterThan(0);
    expect(withThresholds({ keepFiring: 0 }).filter((rule) => rule.keep_firing_for)).toEqual([]);
  });

  test.each([
    // With samples every 30 s, the window of 75 s has one although a scrape is missed.
    { scrapeInterval: 15, window: '38s', for: 158 },
    { scrapeInterval: 30, window: '1m15s', for: 195 },
    { scrapeInterval: 60, window: '2m30s', for: 270 },
  ])('scraped every $scrapeInterval s: a window of $window, 2 minutes hold for $for s', (expected) => {
    const thresholds = withOverrides({ scrapeInterval: expected.scrapeInterval });
    expect(gaugeWindow(thresholds)).toBe(expected.window);
    expect(sustained(thresholds, 120)).toBe(expected.for);
  });

  test.each([
    [
      { databaseUnreachable: 0 },
      'threshold databaseUnreachable: found 0, expected a whole number of seconds greater than 0 (default 120)',
    ],
    [
      { databaseUnreachable: 1.5 },
      'threshold databaseUnreachable: found 1.5, expected a whole number of seconds greater than 0 (default 120)',
    ],
    [
      { quorumRatio: 50 },
      'threshold quorumRatio: found 50, expected a ratio greater than 0 and at most 1 (default 0.5)',
    ],
    [
      { keepFiring: -1 },
      'threshold keepFiring: found -1, expected a whole number of seconds of at least 0 (default 300)',
    ],
    [
      { failoverWindow: Number.NaN },
      'threshold failoverWindow: found NaN, expected a whole number of seconds greater than 0 (default 900)',
    ],
  ])('%p is refused', (overrides, message) => {
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

testWith('promtool')('promtool finds nothing wrong with the checked-in rules', () => {
  const files = groups.map((group) => `../${group.file}.rules.yaml`);
  const { status, text } = promtool('check', 'rules', '--lint=all', ...files);
  expect({ status, text }).toEqual({ status: 0, text: expect.stringMatching(/SUCCESS: \d+ rules found/) });
});

testWith('promtool')('promtool takes the rules of other thresholds', () => {
  const scratch = mkdtempSync(join(tmpdir(), 'rules-'));
  try {
    const settings = {
      ...defaultMonitoringSettings,
      thresholds: withOverrides({ scrapeInterval: 60, keepFiring: 0, massFailoverRatio: 0.25 }),
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

describe('as promtool plays it through', () => {
  for (const file of names.flatMap(testFiles)) {
    testWith('promtool')(file, () => {
      const { status, text } = promtool('test', 'rules', file);
      if (status !== 0) throw new Error(text);
    });
  }
});
