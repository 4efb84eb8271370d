/** A board out of rows of panels: places, variables, annotations and links, as Grafana's classic JSON. */
import {
  AnnotationQueryBuilder,
  DashboardBuilder,
  DashboardCursorSync,
  DashboardLinkBuilder,
  DashboardLinkType,
  DatasourceVariableBuilder,
  RowBuilder,
} from '@grafana/grafana-foundation-sdk/dashboard';
import type { Vector } from '../src/monitoring/promql/index.ts';
import type { MonitoringSettings } from '../src/monitoring/settings.ts';
import type { SizedPanel } from './kit.ts';
import { type Choices, datasource, variableModels } from './variables.ts';

export interface Row {
  /** Stable, and no panel's. */
  readonly id: number;
  readonly title: string;
  readonly panels: readonly SizedPanel[];
}

/** Moments that are drawn into every panel. */
export interface Moments {
  readonly name: string;
  /** Its values are the moments, in milliseconds since 1970. */
  readonly expression: Vector;
  readonly colour: string;
  readonly title: string;
  readonly text: string;
}

export interface BoardDefinition {
  readonly uid: string;
  readonly title: string;
  readonly description: string;
  readonly choices: Choices;
  readonly rows: readonly Row[];
  readonly moments: readonly Moments[];
  readonly links: readonly { readonly title: string; readonly url: string }[];
}

/** The link to the runbooks, where their address is known. */
export const runbookLinks = ({ runbookUrl }: MonitoringSettings): BoardDefinition['links'] =>
  runbookUrl === undefined ? [] : [{ title: 'Runbooks', url: runbookUrl }];

export interface Board {
  /** `dashboards/<name>.json`. */
  readonly name: string;
  readonly json: string;
}

const columns = 24;
/** On every board, so that each finds the others. */
const tag = 'gitaly-exporter';

export function board(name: string, definition: BoardDefinition): Board {
  const builder = new DashboardBuilder(definition.title)
    .uid(definition.uid)
    .description(definition.description)
    .tags([tag])
    .readonly()
    .time({ from: 'now-6h', to: 'now' })
    .refresh('30s')
    .tooltip(DashboardCursorSync.Crosshair)
    .variables([
      new DatasourceVariableBuilder('datasource').label('Data source').type('prometheus'),
      ...variableModels(definition.choices).map((model) => ({ build: () => model })),
    ])
    .annotations(definition.moments.map(annotation))
    .links([
      new DashboardLinkBuilder('Other boards')
        .type(DashboardLinkType.Dashboards)
        .tags([tag])
        .asDropdown(true)
        .includeVars(true)
        .keepTime(true),
      ...definition.links.map(({ title, url }) =>
        new DashboardLinkBuilder(title).type(DashboardLinkType.Link).icon('doc').url(url).targetBlank(true),
      ),
    ]);
  let y = 0;
  for (const row of definition.rows) {
    builder.withRow(new RowBuilder(row.title).id(row.id).gridPos({ x: 0, y, w: columns, h: 1 }));
    y += 1;
    for (const line of linesOf(row.panels)) {
      let x = 0;
      for (const panel of line) {
        const built = panel.at({ x, y, w: panel.width, h: panel.height });
        builder.withPanel({ build: () => built });
        x += panel.width;
      }
      y += Math.max(...line.map(({ height }) => height));
    }
  }
  return { name, json: `${JSON.stringify(builder.build(), null, 2)}\n` };
}

/** Panels side by side, as many as fit. */
function linesOf(panels: readonly SizedPanel[]): readonly (readonly SizedPanel[])[] {
  const lines: SizedPanel[][] = [];
  let free = 0;
  for (const panel of panels) {
    if (panel.width > free) {
      lines.push([]);
      free = columns;
    }
    lines.at(-1)?.push(panel);
    free -= panel.width;
  }
  return lines;
}

const annotation = ({ colour, expression, name, text, title }: Moments): AnnotationQueryBuilder =>
  new AnnotationQueryBuilder()
    .name(name)
    .datasource(datasource)
    .enable(true)
    .iconColor(colour)
    .expr(expression.text)
    .useValueForTime(true)
    .step('60s')
    .titleFormat(title)
    .textFormat(text);
