/** A dashboard from rows of panels: positions, variables, annotations and links, as Grafana's classic JSON. */
import {
  type AnnotationQuery,
  AnnotationQueryBuilder,
  AnnotationQueryPlacement,
  DashboardBuilder,
  DashboardCursorSync,
  DashboardLinkBuilder,
  DashboardLinkType,
  RowBuilder,
} from '@grafana/grafana-foundation-sdk/dashboard';
import { virtualStorageLabels } from '../src/monitoring/labels.ts';
import { overviewDashboard } from '../src/monitoring/links.ts';
import { above, like, maxBy, multiply, notLike, oneOf, type Vector } from '../src/monitoring/promql/index.ts';
import type { MonitoringSettings } from '../src/monitoring/settings.ts';
import { lastOom } from '../src/sources/cgroup/metrics.ts';
import { maintenance } from '../src/sources/maintenance/source.ts';
import { lastFailover } from '../src/sources/praefect/mirror/metrics.ts';
import type { Color, PanelContext, SizedPanel } from './panels.ts';
import { server } from './queries.ts';
import { type DashboardScope, datasource, praefectGauge, serverGauge, variableModels } from './variables.ts';

export interface DashboardRow {
  /** Stable, and not the id of a panel. */
  readonly id: number;
  readonly title: string;
  readonly panels: readonly SizedPanel[];
  /** Its queries run only once it is opened. */
  readonly collapsed?: boolean;
}

export interface DashboardDefinition {
  /** `dashboards/<name>.json`. */
  readonly name: string;
  readonly uid: string;
  readonly title: string;
  readonly description: string;
  /** Which variables are shown. */
  readonly scope: DashboardScope;
  readonly rows: readonly DashboardRow[];
  /** The chosen time at first: `now-6h`. */
  readonly from?: string;
}

export interface Dashboard {
  readonly name: string;
  readonly uid: string;
  readonly json: string;
  /** Title -> id. */
  readonly panelIds: ReadonlyMap<string, number>;
}

const columns = 24;
/** On every dashboard, for the menu that links them. */
const tag = 'gitaly-exporter';
/** The title of the link to the overview with all variables at "All". */
const withoutSelection = 'Overview of all clusters';
/**
 * Grafana 10.4 writes 39, and newer versions migrate from it. The SDK writes a later one, although nothing here needs
 * it.
 */
const schemaVersion = 39;

export interface DashboardSettings extends MonitoringSettings {
  /** Names of the alerts that link to a panel. Default: none. */
  readonly alertsOn?: ((uid: string, panelTitle: string) => readonly string[]) | undefined;
}

export function buildDashboard(
  { alertsOn, datasource: selected, runbookUrl, tags }: DashboardSettings,
  { description, from = 'now-6h', name, rows, scope, title, uid }: DashboardDefinition,
): Dashboard {
  const builder = new DashboardBuilder(title)
    .uid(uid)
    .description(description)
    .tags([tag, ...tags])
    .readonly()
    .time({ from, to: 'now' })
    .refresh('1m')
    .tooltip(DashboardCursorSync.Crosshair)
    .variables(variableModels(scope, selected).map((model) => ({ build: () => model })))
    .annotations(annotations().map((annotation) => ({ build: () => annotation })))
    .links([
      new DashboardLinkBuilder('Gitaly dashboards')
        .type(DashboardLinkType.Dashboards)
        .tags([tag])
        .asDropdown(true)
        .includeVars(true)
        .keepTime(true),
      new DashboardLinkBuilder(withoutSelection)
        .type(DashboardLinkType.Link)
        .icon('dashboard')
        .url(`/d/${overviewDashboard.uid}`)
        .keepTime(true),
      ...(runbookUrl === undefined
        ? []
        : [
            new DashboardLinkBuilder('Runbooks')
              .type(DashboardLinkType.Link)
              .icon('doc')
              .url(runbookUrl)
              .targetBlank(true),
          ]),
    ]);
  let y = 0;
  for (const { collapsed = false, id, panels, title: rowTitle } of rows) {
    const row = new RowBuilder(rowTitle).id(id).collapsed(collapsed).gridPos({ x: 0, y, w: columns, h: 1 });
    y += 1;
    const placed = place(panels, y, { runbookUrl, alertsOf: (panel) => alertsOn?.(uid, panel) ?? [] });
    if (collapsed) {
      for (const { panel } of placed) row.withPanel({ build: () => panel });
      builder.withRow(row);
    } else {
      builder.withRow(row);
      for (const { panel } of placed) builder.withPanel({ build: () => panel });
      y = Math.max(y, ...placed.map(({ bottom }) => bottom));
    }
  }
  const dashboard = builder.build();
  const built = {
    ...dashboard,
    schemaVersion,
    // The SDK puts every link into the menu that Grafana has from 12.3 on; without a placement it is at the top. One has
    // to be in the menu, or Grafana 12.3 does not show it, and the switches of the annotations are in it.
    links: dashboard.links?.map(({ placement, ...link }) =>
      link.title === withoutSelection ? { ...link, placement } : link,
    ),
  };
  return {
    name,
    uid,
    json: `${JSON.stringify(built, undefined, 2)}\n`,
    panelIds: new Map(rows.flatMap(({ panels }) => panels.map((panel) => [panel.title, panel.id]))),
  };
}

/** Panels from left to right, in as many lines as they need; all of a line are as high as its highest. */
function place(panels: readonly SizedPanel[], top: number, context: PanelContext) {
  const lines: SizedPanel[][] = [];
  let used: number = columns;
  for (const panel of panels) {
    if (used + panel.width > columns) {
      lines.push([]);
      used = 0;
    }
    lines.at(-1)?.push(panel);
    used += panel.width;
  }
  let y = top;
  return lines.flatMap((line) => {
    const h = Math.max(...line.map(({ height }) => height));
    let x = 0;
    const placed = line.map(({ at, width }) => {
      const panel = at({ x, y, w: width, h }, context);
      x += width;
      return { panel, bottom: y + h };
    });
    y += h;
    return placed;
  });
}

interface AnnotationDefinition {
  readonly name: string;
  readonly expression: Vector;
  /** `moments`: the values are times in milliseconds. `periods`: from the first to the last value above 0. */
  readonly drawn: 'moments' | 'periods';
  readonly color: Color;
  readonly title: string;
  readonly text: string;
}

/** The same on all dashboards, because a failover or a rollout explains what happens on the others. */
function annotations(): readonly AnnotationQuery[] {
  const windows = (matching: ReturnType<typeof like>) =>
    above(maxBy(['window'], praefectGauge(maintenance, { window: matching })), 0);
  return [
    annotation({
      name: 'Failovers',
      expression: multiply(
        maxBy([...virtualStorageLabels, 'from_storage'], praefectGauge(lastFailover)),
        1000,
      ),
      drawn: 'moments',
      color: 'orange',
      title: 'Failover',
      text: 'Primaries of {{virtual_storage}} moved off {{from_storage}}',
    }),
    annotation({
      name: 'OOM kills',
      expression: multiply(
        maxBy([...server, 'level'], serverGauge(lastOom, { level: oneOf('container', 'pod', 'node') })),
        1000,
      ),
      drawn: 'moments',
      color: 'red',
      title: 'OOM kill',
      text: '{{pod}} {{node}}: memory limit of the {{level}} exceeded',
    }),
    annotation({
      name: 'Rollouts',
      expression: windows(like('rollout:.*')),
      drawn: 'periods',
      color: 'blue',
      title: 'Rollout',
      text: '{{window}}',
    }),
    annotation({
      name: 'Maintenance',
      expression: windows(notLike('rollout:.*')),
      drawn: 'periods',
      color: 'text',
      title: 'Maintenance window',
      text: '{{window}}',
    }),
  ];
}

const annotation = ({ color, drawn, expression, name, text, title }: AnnotationDefinition): AnnotationQuery =>
  new AnnotationQueryBuilder()
    .name(name)
    .datasource(datasource)
    .enable(true)
    .iconColor(color === 'text' ? 'purple' : color)
    .expr(expression.text)
    .useValueForTime(drawn === 'moments')
    .step('60s')
    .titleFormat(title)
    .textFormat(text)
    // In Grafana from 12.3 on: the switches would take a line of the first screen.
    .placement(AnnotationQueryPlacement.InControlsMenu)
    .build();
