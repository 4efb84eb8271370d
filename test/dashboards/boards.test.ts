/**
 * The boards' JSON: what Grafana needs, what grafana/dashboard-linter checks (its rules by their names), and
 * that every panel can be believed.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { alertGroups } from '../../alerts/index.ts';
import { boards } from '../../dashboards/index.ts';
import { everyMetric } from '../../src/app/catalog.ts';
import {
  labelOfVariable,
  limitsDashboard,
  praefectVariables,
  replicationDashboard,
  serversDashboard,
  serverVariables,
} from '../../src/monitoring/links.ts';
import { defaultMonitoringSettings } from '../../src/monitoring/settings.ts';
import { withOverrides } from '../../src/rules/thresholds.ts';
import { promqlErrors, selectorsIn } from '../support/promql.ts';

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly datasource?: { readonly uid: string };
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly {
    readonly refId: string;
    readonly expr: string;
    readonly instant?: boolean;
    readonly datasource: { readonly uid: string };
  }[];
  readonly fieldConfig: {
    readonly defaults: {
      readonly unit?: string;
      readonly mappings?: readonly {
        readonly type: string;
        readonly options: Readonly<Record<string, unknown>>;
      }[];
      readonly thresholds: {
        readonly steps: readonly { readonly value: number | null; readonly color: string }[];
      };
    };
  };
}

interface Dashboard {
  readonly uid: string;
  readonly title: string;
  readonly schemaVersion: number;
  readonly editable: boolean;
  readonly panels: readonly Panel[];
  readonly templating: {
    readonly list: readonly {
      readonly name: string;
      readonly label: string;
      readonly type: string;
      readonly query: string;
      readonly refresh?: number;
      readonly multi: boolean;
      readonly includeAll: boolean;
      readonly allValue?: string;
      readonly datasource?: { readonly uid: string };
    }[];
  };
  readonly annotations: {
    readonly list: readonly {
      readonly name: string;
      readonly expr: string;
      readonly useValueForTime: boolean;
    }[];
  };
  readonly links: readonly {
    readonly type: string;
    readonly includeVars: boolean;
    readonly keepTime: boolean;
  }[];
}

const made = boards(defaultMonitoringSettings);
// A histogram is asked for by its buckets.
const declared = new Map(
  everyMetric.map((metric) => [metric.type === 'histogram' ? `${metric.name}_bucket` : metric.name, metric]),
);

describe.each(made)('$name', ({ json, name }) => {
  const dashboard = JSON.parse(json) as Dashboard;
  const panels = dashboard.panels.filter(({ type }) => type !== 'row');
  const targets = panels.flatMap((panel) =>
    (panel.targets ?? []).map((target) => ({ panel: panel.title, ...target })),
  );
  const isOfServers = [serversDashboard.uid, limitsDashboard.uid].some((uid) => uid === dashboard.uid);
  const variable = (wanted: string) => dashboard.templating.list.find((each) => each.name === wanted);

  test('the checked-in file is what is made now', () => {
    expect(readFileSync(join(import.meta.dirname, `../../dashboards/${name}.json`), 'utf8')).toBe(json);
  });

  test('is classic JSON with a uid of its own', () => {
    expect(dashboard.schemaVersion).toBe(42);
    expect(dashboard.uid).toMatch(/^gitaly-exporter-[a-z-]{1,24}$/);
    expect(dashboard).not.toHaveProperty('id');
  });

  test('ids are unique, and each panel has its place', () => {
    const ids = dashboard.panels.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    const taken = new Set<string>();
    for (const { gridPos, title } of dashboard.panels) {
      expect({ title, fits: gridPos.x >= 0 && gridPos.x + gridPos.w <= 24 }).toEqual({ title, fits: true });
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x += 1)
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y += 1) {
          expect({ title, free: !taken.has(`${x},${y}`) }).toEqual({ title, free: true });
          taken.add(`${x},${y}`);
        }
    }
  });

  test('template-datasource-rule, template-job-rule, template-instance-rule', () => {
    expect(variable('datasource')).toMatchObject({
      type: 'datasource',
      label: 'Data source',
      query: 'prometheus',
    });
    for (const [wanted, label] of [
      ['job', 'Job'],
      ['instance', 'Instance'],
    ] as const)
      expect(variable(wanted)).toMatchObject({
        type: 'query',
        label,
        multi: true,
        includeAll: true,
        allValue: '.+',
        datasource: { uid: '$datasource' },
      });
  });

  test('what is chosen but by job and instance may be missing', () => {
    const names: readonly string[] = isOfServers ? serverVariables : praefectVariables;
    expect(dashboard.templating.list.map(({ name: each }) => each)).toEqual(['datasource', ...names]);
    for (const wanted of names.filter((each) => !['job', 'instance'].includes(each)))
      expect(variable(wanted)).toMatchObject({ type: 'query', multi: true, allValue: '.*' });
  });

  test('template-label-promql-rule, template-on-time-change-reload-rule', () => {
    for (const each of dashboard.templating.list.filter(({ type }) => type === 'query')) {
      expect(each.refresh).toBe(2);
      const [, selector, label] = /^label_values\((.+), (\w+)\)$/.exec(each.query) ?? [];
      expect(label).toBe(labelOfVariable(each.name as Parameters<typeof labelOfVariable>[0]));
      expect(promqlErrors(selector!)).toEqual([]);
      const [found] = selectorsIn(selector!);
      const metric = declared.get(found!.metric);
      const own = ['cluster', 'namespace', 'job', 'instance', ...(metric?.labelNames ?? [])];
      expect(own).toContain(label);
    }
  });

  test('uneditable-dashboard', () => {
    expect(dashboard.editable).toBe(false);
  });

  test('panel-datasource-rule, panel-title-description-rule, panel-no-targets-rule, panel-units-rule', () => {
    for (const panel of panels) {
      expect(panel).toMatchObject({
        title: expect.stringMatching(/./),
        description: expect.stringMatching(/./),
        datasource: { uid: '$datasource' },
        fieldConfig: { defaults: { unit: expect.stringMatching(/^(s|short|none|cps|percentunit|bytes)$/) } },
      });
      expect(panel.targets?.length).toBeGreaterThan(0);
      expect(new Set(panel.targets?.map(({ refId }) => refId)).size).toBe(panel.targets?.length);
      for (const target of panel.targets ?? []) expect(target.datasource.uid).toBe('$datasource');
    }
  });

  test('target-promql-rule: every target is PromQL over declared metrics', () => {
    for (const { expr, panel } of targets) {
      expect({ panel, expr, errors: promqlErrors(expr) }).toEqual({ panel, expr, errors: [] });
      for (const { metric } of selectorsIn(expr)) expect([...declared.keys()]).toContain(metric);
    }
  });

  test('target-job-rule, target-instance-rule: every selector takes what the variables choose', () => {
    for (const { expr } of targets)
      for (const { matchers, metric } of selectorsIn(expr)) {
        const ownLabels: readonly string[] = declared.get(metric)!.labelNames;
        // The namespace of a series that has none of its own is the exporter's, not Gitaly's.
        const labels = ['cluster', 'job', 'instance', ...(isOfServers ? [] : ['namespace']), ...ownLabels];
        const expected = (isOfServers ? serverVariables : praefectVariables)
          .filter((each) => labels.includes(labelOfVariable(each)))
          .map((each) => `${labelOfVariable(each)}=~"$${each}"`);
        expect({ metric, matchers }).toEqual({ metric, matchers: expect.arrayContaining(expected) });
      }
  });

  test('target-counter-agg-rule, target-rate-interval-rule: counters by rate or increase over $__rate_interval', () => {
    for (const { expr, instant } of targets)
      for (const { metric, range, takenBy } of selectorsIn(expr)) {
        const isCounter = declared.get(metric)?.type !== 'gauge';
        // What is counted over the whole of the chosen time is asked once.
        const wanted = instant === true ? '$__range' : '$__rate_interval';
        expect({ metric, isCounter, range }).toEqual({
          metric,
          isCounter,
          range: isCounter ? wanted : undefined,
        });
        if (isCounter) expect(['rate', 'increase']).toContain(takenBy);
      }
  });

  test('a description quotes the help of every metric that the panel shows', () => {
    for (const panel of panels)
      for (const { metric } of (panel.targets ?? []).flatMap(({ expr }) => selectorsIn(expr)))
        expect(panel.description).toContain(
          `**${declared.get(metric)!.name}**: ${declared.get(metric)!.help}`,
        );
  });

  test('a single number that is not reported reads MISSING, in red, and not as an empty panel', () => {
    const stats = panels.filter(({ type }) => type === 'stat');
    expect(stats.length).toBeGreaterThan(0);
    for (const { fieldConfig, targets: [target] = [] } of stats) {
      expect(target?.expr).toMatch(/or on \(\)\s+vector\(-1\)$/);
      expect(fieldConfig.defaults.mappings).toEqual(
        expect.arrayContaining([
          {
            type: 'value',
            options: expect.objectContaining({
              '-1': expect.objectContaining({ text: 'MISSING', color: 'red' }),
            }),
          },
          { type: 'special', options: { match: 'null+nan', result: { text: 'MISSING', color: 'red' } } },
        ]),
      );
    }
  });

  test('other boards are linked with the time and the variables', () => {
    expect(dashboard.links).toContainEqual(
      expect.objectContaining({ type: 'dashboards', includeVars: true, keepTime: true }),
    );
  });
});

describe('replication', () => {
  const dashboard = JSON.parse(made[0]!.json) as Dashboard;
  const panelOf = (board: Dashboard, id: number) => board.panels.find((panel) => panel.id === id)!;

  test('has the panels of panels.ts, every one and no other', () => {
    const ids = [...Object.values(replicationDashboard.panels), ...Object.values(replicationDashboard.rows)];
    expect(dashboard.panels.map(({ id }) => id).sort()).toEqual(ids.sort());
  });

  test('begins with whether it is to be believed', () => {
    const [first] = dashboard.panels;
    expect(first).toMatchObject({ type: 'row', title: 'Is this to be believed?', gridPos: { y: 0 } });
  });

  test('draws failovers at their moment', () => {
    const [failovers] = dashboard.annotations.list;
    expect(failovers).toMatchObject({ name: 'Failovers', useValueForTime: true });
    expect(promqlErrors(failovers!.expr)).toEqual([]);
    expect(selectorsIn(failovers!.expr)).toMatchObject([
      { metric: 'praefect_db_last_failover_timestamp_seconds' },
    ]);
  });

  test('draws the line where the alert fires, with the thresholds of the configuration', () => {
    const lineOf = (board: Dashboard) =>
      panelOf(board, replicationDashboard.panels.oldestJob).fieldConfig.defaults.thresholds.steps.at(-1);
    expect(lineOf(dashboard)).toEqual({ value: 900, color: 'red' });
    const thresholds = withOverrides({ replicationOldestJob: 1800 });
    const [other] = boards({ ...defaultMonitoringSettings, thresholds });
    expect(lineOf(JSON.parse(other!.json) as Dashboard)).toEqual({ value: 1800, color: 'red' });
  });
});

describe('servers', () => {
  const dashboard = JSON.parse(made.find(({ name }) => name === 'servers')!.json) as Dashboard;

  test('has the panels of panels.ts, every one and no other', () => {
    const ids = [...Object.values(serversDashboard.panels), ...Object.values(serversDashboard.rows)];
    expect(dashboard.panels.map(({ id }) => id).sort()).toEqual(ids.sort());
  });

  test('draws OOM kills of Gitaly, its pod and its node at their moment, and not those of single Git processes', () => {
    const [kills] = dashboard.annotations.list;
    expect(kills).toMatchObject({ name: 'OOM kills of Gitaly', useValueForTime: true });
    const [found] = selectorsIn(kills!.expr);
    expect(found).toMatchObject({
      metric: 'gitaly_server_last_oom_timestamp_seconds',
      matchers: expect.arrayContaining(['level=~"container|pod|node"']),
    });
  });

  test('never takes page cache for memory in danger', () => {
    const share = dashboard.panels.find(({ id }) => id === serversDashboard.panels.memoryShare);
    for (const { metric } of share!.targets!.flatMap(({ expr }) => selectorsIn(expr)))
      expect(metric).toMatch(/_memory_(anon|limit)_bytes$/);
  });
});

test('each alert is named on the panel to which it links', () => {
  const dashboards = made.map(({ json }) => JSON.parse(json) as Dashboard);
  for (const { name, panel } of alertGroups(defaultMonitoringSettings).flatMap(({ alerts }) => alerts)) {
    const shown = dashboards
      .find(({ uid }) => uid === panel.uid)
      ?.panels.find(({ id }) => id === panel.panel);
    expect({ name, description: shown?.description }).toEqual({
      name,
      description: expect.stringContaining(name),
    });
  }
});
