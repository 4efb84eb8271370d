/**
 * The JSON of the dashboards: what Grafana needs, the rules of grafana/dashboard-linter that apply (by their
 * names), and what makes a panel readable.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { alertGroups } from '../../alerts/index.ts';
import { everyMetric } from '../../src/app/catalog.ts';
import { panelIdsOf } from '../../src/cli/generate/artifacts.ts';
import {
  dashboardVariables,
  labelOfVariable,
  overviewDashboard,
  replicationDashboard,
  serversDashboard,
} from '../../src/monitoring/links.ts';
import { defaultMonitoringSettings } from '../../src/monitoring/settings.ts';
import { withOverrides } from '../../src/rules/alert-thresholds.ts';
import { promqlErrors, selectorsIn } from '../support/promql.ts';
import { metricsWithoutPanel } from './metrics-without-panel.ts';
import {
  type DashboardJson,
  declaredMetrics,
  everyPanelOf,
  generated,
  isOfPrometheus,
  type Panel,
  panelsOf,
  recordedMetrics,
} from './support.ts';

const all = generated();
const byUid = (uid: string): DashboardJson => all.find(({ dashboard }) => dashboard.uid === uid)!.dashboard;
const panelOf = (dashboard: DashboardJson, title: string) =>
  everyPanelOf(dashboard).find((panel) => panel.title === title)!;

/**
 * Pixels of one of 24 columns in a window of 1440 px, next to a scroll bar and Grafana's navigation, which a window of
 * this width shows at first. As all pixels here, measured in Grafana 12.3.
 */
const columnPixels = 1097 / 24;
/** Of a title or the head of a column, in Grafana's font; 3% off at most for 19 titles. */
const textPixels = (text: string): number =>
  [...text].reduce((sum, character) => sum + characterPixels(character), 0);
function characterPixels(character: string): number {
  if (/[ijlI.,' ]/.test(character)) return 4;
  if (/[rtf-]/.test(character)) return 5.5;
  if (/[mwMWO]/.test(character)) return 11.5;
  return /[A-Z]/.test(character) ? 9.5 : 8.3;
}
/** A panel's width without the space to its neighbor. */
const panelPixels = ({ gridPos }: Panel): number => gridPos.w * columnPixels - 8;

/** The columns of a table with their fixed widths, and the width that they share. */
function columnsOf(panel: Panel) {
  const { fieldConfig, targets = [], title, transformations = [] } = panel;
  const { excludeByName = {}, renameByName = {} } =
    transformations.find(({ id }) => id === 'organize')?.options ?? {};
  const shown = Object.entries(renameByName).filter(
    ([name]) =>
      excludeByName[name] !== true &&
      name !== 'message' &&
      (targets.length > 1 || !name.startsWith('Value #')),
  );
  const bars = fieldConfig.overrides
    .filter(({ properties }) =>
      properties.some(
        ({ id, value }) => id === 'custom.cellOptions' && (value as { type: string }).type === 'gauge',
      ),
    )
    .map(({ matcher }) => matcher.options);
  const widths = new Map(
    fieldConfig.overrides.flatMap(({ matcher, properties }) =>
      properties
        .filter(({ id }) => id === 'custom.width')
        .map(({ value }) => [matcher.options, value as number] as const),
    ),
  );
  return {
    title,
    width: panelPixels(panel) - 16,
    columns: [...new Set(shown.map(([, name]) => name))].map((name) => ({
      title: name,
      width: widths.get(name),
      // A bar and its number.
      least: bars.includes(name) ? 110 : Math.max(72, textPixels(name) + 14),
    })),
  };
}

/** Every query over metrics of the exporter, with the panel that it belongs to. */
const queriesOf = (dashboard: DashboardJson) =>
  panelsOf(dashboard).flatMap((panel) =>
    (panel.targets ?? []).map((target) => ({ panel: panel.title, ...target })),
  );

const ownSelectors = (expr: string) =>
  selectorsIn(expr).filter(({ metric }) => !isOfPrometheus(metric) && !recordedMetrics.has(metric));

/** The declared metrics that an expression shows, directly or through a recording rule. */
const shownBy = (expr: string): readonly string[] =>
  selectorsIn(expr).flatMap(({ metric }) =>
    (recordedMetrics.get(metric) ?? [declaredMetrics.get(metric)]).flatMap((of) => of?.name ?? []),
  );

describe.each(all)('dashboard $name', ({ dashboard, json, name }) => {
  const panels = panelsOf(dashboard);
  const queries = queriesOf(dashboard);
  const variable = (wanted: string) => dashboard.templating.list.find((each) => each.name === wanted);

  test('the checked-in file is current', () => {
    expect(readFileSync(join(import.meta.dirname, `../../dashboards/${name}.json`), 'utf8')).toBe(json);
  });

  test('it is classic JSON of Grafana 10.4 with its own uid', () => {
    expect(dashboard.schemaVersion).toBe(39);
    expect(dashboard.uid).toMatch(/^gitaly-exporter-[a-z-]{1,24}$/);
    expect(dashboard).not.toHaveProperty('id');
  });

  test('ids are unique, and no two panels overlap', () => {
    const ids = everyPanelOf(dashboard).map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    for (const visible of [dashboard.panels, ...dashboard.panels.map(({ panels: inner }) => inner ?? [])]) {
      const taken = new Set<string>();
      for (const { gridPos, title } of visible) {
        expect({ title, fits: gridPos.x >= 0 && gridPos.x + gridPos.w <= 24 }).toEqual({ title, fits: true });
        for (let x = gridPos.x; x < gridPos.x + gridPos.w; x += 1)
          for (let y = gridPos.y; y < gridPos.y + gridPos.h; y += 1) {
            expect({ title, free: !taken.has(`${x},${y}`) }).toEqual({ title, free: true });
            taken.add(`${x},${y}`);
          }
      }
    }
  });

  test('no two panels have the same title', () => {
    const titles = panels.map(({ title }) => title);
    expect(titles).toEqual([...new Set(titles)]);
  });

  test('the columns of tables fit the width of their panel at 1440 px', () => {
    for (const { columns, title, width } of panels.filter(({ type }) => type === 'table').map(columnsOf)) {
      const fixed = columns.reduce((sum, column) => sum + (column.width ?? 0), 0);
      const free = columns.filter((column) => column.width === undefined);
      const each = (width - fixed) / free.length;
      const cut = columns.filter((column) => (column.width ?? each) < column.least);
      expect({ title, each, cut: cut.map((column) => column.title) }).toEqual({ title, each, cut: [] });
    }
  });

  test('panels next to each other are equally high, so that no line is ragged', () => {
    for (const line of Map.groupBy(panels, ({ gridPos }) => gridPos.y).values())
      expect(new Set(line.map(({ gridPos }) => gridPos.h)).size).toBe(1);
  });

  test('an empty cell of a table is a dash, and not the text for a table without rows', () => {
    for (const { fieldConfig, title } of panels.filter(({ type }) => type === 'table'))
      for (const { matcher, properties } of fieldConfig.overrides) {
        const mappings = properties
          .filter(({ id }) => id === 'mappings')
          .map(({ value }) => value as object[]);
        expect({ title, column: matcher.options, mappings }).toEqual({
          title,
          column: matcher.options,
          // One override decides: Grafana takes the last one.
          mappings: [
            expect.arrayContaining([
              { type: 'special', options: { match: 'null+nan', result: { text: '–', color: 'text' } } },
            ]),
          ],
        });
      }
  });

  test('the text of a table without rows fits next to its columns', () => {
    for (const panel of panels.filter(({ targets = [], type }) => type === 'table' && targets.length > 1)) {
      const { columns, title, width } = columnsOf(panel);
      const values = panel.targets!.map(({ legendFormat }) => legendFormat);
      const taken = columns.filter((column) => values.includes(column.title));
      const free = width - taken.reduce((sum, column) => sum + (column.width ?? column.least), 0);
      const { noValue = '' } = panel.fieldConfig.defaults;
      expect({ title, fits: noValue.length * 7 + 16 <= free }).toEqual({ title, fits: true });
    }
  });

  test('a table without rows says that all is well only while its source is read', () => {
    for (const { fieldConfig, targets = [], title, type } of panels) {
      const { noValue = '' } = fieldConfig.defaults;
      const saysThatAllIsWell =
        /^(no|every) .*\b(fails|failing|firing|result|restart|rotation|moved|kill|waiting|behind|replaced)\b/;
      if (!saysThatAllIsWell.test(noValue) || /,|\bor\b/.test(noValue)) continue;
      expect({ title, type }).toEqual({ title, type: 'table' });
      expect({ title, expr: targets[0]?.expr }).toEqual({
        title,
        expr: expect.stringMatching(/vector\(-1\) and on \(\)|\)\s+and on \(\)/),
      });
      expect(targets[0]?.expr).toContain('UNKNOWN: not read');
    }
  });

  test('state timelines show words: with colors by thresholds Grafana shows ranges in their place', () => {
    for (const { fieldConfig, options } of panels.filter(({ type }) => type === 'state-timeline')) {
      expect(fieldConfig.defaults.color?.mode).toBe('fixed');
      // Pages would hide the last series.
      expect(options?.perPage).toBe(0);
    }
  });

  test('the unit of a heatmap is that of its counts, and its axis has its own', () => {
    for (const { fieldConfig, options } of panels.filter(({ type }) => type === 'heatmap'))
      expect([fieldConfig.defaults.unit, options?.yAxis?.unit]).toEqual(['short', 's']);
  });

  test('a row has at most six panels next to each other', () => {
    const lines = Map.groupBy(panels, ({ gridPos }) => gridPos.y);
    for (const line of lines.values()) expect(line.length).toBeLessThanOrEqual(6);
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

  test('every dashboard has all variables, so that links keep each selection', () => {
    expect(dashboard.templating.list.map(({ name: each }) => each)).toEqual([
      'datasource',
      ...dashboardVariables,
    ]);
    for (const wanted of dashboardVariables.filter((each) => !['job', 'instance'].includes(each)))
      expect(variable(wanted)).toMatchObject({
        type: 'query',
        multi: true,
        includeAll: true,
        allValue: '.*',
      });
  });

  test('template-label-promql-rule, template-on-time-change-reload-rule', () => {
    for (const each of dashboard.templating.list.filter(({ type }) => type === 'query')) {
      expect(each.refresh).toBe(2);
      const [, selector, label] = /^label_values\((.+), (\w+)\)$/.exec(each.query) ?? [];
      expect(label).toBe(labelOfVariable(each.name as Parameters<typeof labelOfVariable>[0]));
      expect(promqlErrors(selector!)).toEqual([]);
      const metrics = /^\{__name__=~"([^"]+)"/.exec(selector!)?.[1]?.split('|') ?? [
        selectorsIn(selector!)[0]!.metric,
      ];
      for (const metric of metrics)
        expect([
          'cluster',
          'namespace',
          'job',
          'instance',
          ...declaredMetrics.get(metric)!.labelNames,
        ]).toContain(label);
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
        fieldConfig: {
          defaults: { unit: expect.stringMatching(/^(s|short|none|ops|reqps|percentunit|bytes|suffix:.+)$/) },
        },
      });
      expect(panel.targets?.length).toBeGreaterThan(0);
      expect(new Set(panel.targets?.map(({ refId }) => refId)).size).toBe(panel.targets?.length);
      for (const target of panel.targets ?? []) expect(target.datasource.uid).toBe('$datasource');
    }
  });

  test('titles are noun phrases and descriptions at most 300 characters', () => {
    for (const { description: whole = '', title } of panels) {
      const description = whole.replace(/ ?Alerts?: [\w, ]+\.$/, '');
      expect(title).not.toMatch(/[?!.]$/);
      expect({ title, length: description.length <= 300, description }).toEqual({
        title,
        length: true,
        description,
      });
    }
  });

  test('every panel has a text for the case that its queries return nothing', () => {
    for (const { fieldConfig, title } of panels)
      expect({ title, noValue: fieldConfig.defaults.noValue }).toEqual({
        title,
        noValue: expect.stringMatching(/./),
      });
  });

  test('target-promql-rule: every target is PromQL over declared metrics', () => {
    for (const { expr, panel } of queries) {
      expect({ panel, expr, errors: promqlErrors(expr) }).toEqual({ panel, expr, errors: [] });
      for (const { metric } of ownSelectors(expr)) expect([...declaredMetrics.keys()]).toContain(metric);
    }
  });

  test('target-job-rule, target-instance-rule: every selector matches the selected values', () => {
    for (const { expr } of queries)
      for (const { matchers, metric } of ownSelectors(expr)) {
        const { labelNames } = declaredMetrics.get(metric)!;
        const ofServer = metric.startsWith('gitaly_server_');
        // The namespace of a server's series is its own, and another variable selects it.
        const own = ofServer ? ['gitaly_namespace', 'pod', 'node'] : ['virtual_storage', 'storage'];
        const expected = [
          ...['cluster', 'job', 'instance', ...(ofServer || labelNames.includes('pod') ? [] : ['namespace'])],
          ...own.filter((each) => labelNames.includes(labelOfVariable(each as 'pod'))),
        ].map((each) => `${labelOfVariable(each as 'pod')}=~"$${each}"`);
        expect({ metric, matchers }).toEqual({ metric, matchers: expect.arrayContaining(expected) });
      }
  });

  test('target-counter-agg-rule, target-rate-interval-rule: counters only by rate or increase', () => {
    for (const { expr, instant, panel } of queries)
      for (const { metric, range, takenBy } of ownSelectors(expr)) {
        const isCounter = declaredMetrics.get(metric)?.type !== 'gauge';
        // Queries over the whole selected time are evaluated once, at its end.
        const overAll = instant === true ? ['$__range'] : [];
        // A rate within a subquery has a range of its own.
        const inSubquery = expr.includes('[$__range:') ? ['5m'] : [];
        const ranges = isCounter ? ['$__rate_interval', ...overAll, ...inSubquery] : [undefined, ...overAll];
        expect({ panel, metric, allowed: ranges.includes(range), range }).toEqual({
          panel,
          metric,
          allowed: true,
          range,
        });
        if (isCounter) expect(['rate', 'increase']).toContain(takenBy);
      }
  });

  test('a stat whose expression returns nothing shows a text', () => {
    const stats = panels.filter(({ type }) => type === 'stat');
    expect(stats.length).toBeGreaterThan(0);
    for (const { fieldConfig, targets: [target] = [] } of stats) {
      expect(target?.expr).toMatch(/or on \(\)\s+vector\(-1\)$/);
      const { mappings = [], noValue } = fieldConfig.defaults;
      expect(mappings).toEqual([
        {
          type: 'value',
          options: expect.objectContaining({ '-1': expect.objectContaining({ text: noValue }) }),
        },
        {
          type: 'special',
          options: { match: 'null+nan', result: expect.objectContaining({ text: noValue }) },
        },
      ]);
    }
  });

  test('every state of a state timeline has a text, so that color is not the only distinction', () => {
    for (const { fieldConfig } of panels.filter(({ type }) => type === 'state-timeline'))
      for (const option of Object.values(fieldConfig.defaults.mappings?.[0]?.options ?? {}))
        expect(option).toMatchObject({ text: expect.stringMatching(/./) });
  });

  test('other dashboards are linked with the time and the variables', () => {
    expect(dashboard.links).toContainEqual(
      expect.objectContaining({ type: 'dashboards', includeVars: true, keepTime: true }),
    );
  });

  test('the menu with the switches of annotations has a link, without which Grafana 12.3 does not show it', () => {
    const inMenu = 'inControlsMenu';
    expect(dashboard.annotations.list.map(({ placement }) => placement)).toEqual(Array(4).fill(inMenu));
    expect(dashboard.links.map(({ placement }) => placement)).toEqual([undefined, inMenu]);
  });

  test('failovers, OOM kills, rollouts and maintenance windows are annotated', () => {
    const annotations = dashboard.annotations.list;
    expect(annotations.map(({ name: each }) => each)).toEqual([
      'Failovers',
      'OOM kills',
      'Rollouts',
      'Maintenance',
    ]);
    for (const { expr } of annotations) expect(promqlErrors(expr)).toEqual([]);
  });
});

test('titles fit the width of their panel at 1440 px, next to the link to runbooks', () => {
  const linked = generated({ ...defaultMonitoringSettings, runbookUrl: 'https://wiki.example/runbooks' });
  for (const panel of linked.flatMap(({ dashboard }) => panelsOf(dashboard))) {
    // Paddings, the icon of the description and the space of the menu; one icon for all links.
    const free = panelPixels(panel) - 72 - (panel.links === undefined ? 0 : 32);
    expect({ title: panel.title, fits: textPixels(panel.title) <= free }).toEqual({
      title: panel.title,
      fits: true,
    });
  }
});

test('there are six dashboards with unique uids, and the overview is the first', () => {
  const uids = all.map(({ dashboard }) => dashboard.uid);
  expect(new Set(uids).size).toBe(6);
  expect(all[0]?.dashboard.uid).toBe(overviewDashboard.uid);
});

test('every metric is on a dashboard, or in the list of exceptions with a reason', () => {
  const shown = new Set(
    all.flatMap(({ dashboard }) => [
      ...[...queriesOf(dashboard), ...dashboard.annotations.list].flatMap(({ expr }) => shownBy(expr)),
    ]),
  );
  const missing = everyMetric.map(({ name }) => name).filter((name) => !shown.has(name));
  for (const name of missing)
    expect({ name, reasons: metricsWithoutPanel.filter(([pattern]) => pattern.test(name)).length }).toEqual({
      name,
      reasons: 1,
    });
  for (const [pattern] of metricsWithoutPanel) expect(missing).toContainEqual(expect.stringMatching(pattern));
});

test('each alert is named on the panel to which it links', () => {
  for (const { name, panel } of alertGroups(defaultMonitoringSettings).flatMap(({ alerts }) => alerts)) {
    const shown = panelOf(byUid(panel.dashboard.uid), panel.title);
    expect({ name, description: shown?.description }).toEqual({
      name,
      description: expect.stringContaining(name),
    });
  }
});

test('a panel names only alerts that exist, and links to their runbooks where the URL is known', () => {
  const names = new Set(
    alertGroups(defaultMonitoringSettings).flatMap(({ alerts }) => alerts.map(({ name }) => name)),
  );
  const runbookUrl = 'https://wiki.example/runbooks';
  for (const { dashboard } of generated({ ...defaultMonitoringSettings, runbookUrl }))
    for (const { description = '', links = [] } of panelsOf(dashboard)) {
      const named = /Alerts?: ([\w, ]+)\.$/.exec(description)?.[1]?.split(', ') ?? [];
      for (const name of named) expect([...names]).toContain(name);
      expect(links.map(({ url }) => url).filter((url) => !url.startsWith('/d/'))).toEqual(
        named.map((name) => `${runbookUrl}/${name}.md`),
      );
    }
});

test('an alert that links to a panel of no dashboard is an error with its title', () => {
  expect(() => panelIdsOf([])({ dashboard: serversDashboard, title: 'Pod moods' })).toThrow(
    'an alert links to the panel "Pod moods", which the dashboard gitaly-exporter-servers does not have',
  );
});

describe('the replication dashboard', () => {
  test('has lines at the thresholds of the alerts, as configured', () => {
    const lineOf = (dashboard: DashboardJson) =>
      panelOf(dashboard, 'Age of the oldest waiting job').fieldConfig.defaults.thresholds.steps.at(-1);
    expect(lineOf(byUid(replicationDashboard.uid))).toEqual({ value: 900, color: 'red' });
    const thresholds = withOverrides({ replicationOldestJob: 1800 });
    const other = generated({ ...defaultMonitoringSettings, thresholds });
    expect(lineOf(other.find(({ name }) => name === 'replication')!.dashboard)).toEqual({
      value: 1800,
      color: 'red',
    });
  });
});

describe('an annotation', () => {
  const annotations = byUid(replicationDashboard.uid).annotations.list;

  test('is drawn at the time of a failover', () => {
    const failovers = annotations.find(({ name }) => name === 'Failovers');
    expect(failovers).toMatchObject({ useValueForTime: true });
    expect(selectorsIn(failovers!.expr)).toMatchObject([
      { metric: 'praefect_db_last_failover_timestamp_seconds' },
    ]);
  });

  test('is drawn at OOM kills of Gitaly, its pod and its node, not at those of single Git processes', () => {
    const kills = annotations.find(({ name }) => name === 'OOM kills');
    expect(kills).toMatchObject({ useValueForTime: true });
    const [found] = selectorsIn(kills!.expr);
    expect(found).toMatchObject({
      metric: 'gitaly_server_last_oom_timestamp_seconds',
      matchers: expect.arrayContaining(['level=~"container|pod|node"']),
    });
  });
});

describe('the servers dashboard', () => {
  test('does not count page cache as memory near the limit', () => {
    const share = panelOf(byUid(serversDashboard.uid), 'Anonymous memory by limit');
    for (const { metric } of share.targets!.flatMap(({ expr }) => selectorsIn(expr)))
      expect(metric).toMatch(/_memory_(anon|limit)_bytes$/);
  });
});
