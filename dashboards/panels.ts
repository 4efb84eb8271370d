/**
 * Panels by type: the type fits what is shown (a state over time, a share of a limit, the largest of many, a trend).
 * Every panel has a unit, a description, and a text for the case that its queries return nothing.
 */
import { PanelBuilder as BarGaugeBuilder } from '@grafana/grafana-foundation-sdk/bargauge';
import {
  BarGaugeDisplayMode,
  BarGaugeValueMode,
  BigValueColorMode,
  BigValueGraphMode,
  BigValueTextMode,
  GraphDrawStyle,
  GraphThresholdsStyleConfigBuilder,
  GraphThresholdsStyleMode,
  LegendDisplayMode,
  LegendPlacement,
  ReduceDataOptionsBuilder,
  SortOrder,
  StackingConfigBuilder,
  StackingMode,
  TooltipDisplayMode,
  VisibilityMode,
  VizLegendOptionsBuilder,
  VizOrientation,
  VizTooltipOptionsBuilder,
} from '@grafana/grafana-foundation-sdk/common';
import {
  type DashboardLink,
  DashboardLinkBuilder,
  DashboardLinkType,
  type DynamicConfigValue,
  FieldColorBuilder,
  FieldColorModeId,
  type GridPos,
  MappingType,
  type Panel,
  SpecialValueMatch,
  type ThresholdsConfig,
  ThresholdsConfigBuilder,
  ThresholdsMode,
  type ValueMapping,
} from '@grafana/grafana-foundation-sdk/dashboard';
import {
  PanelBuilder as HeatmapBuilder,
  HeatmapColorMode,
  HeatmapColorOptionsBuilder,
  YAxisConfigBuilder,
} from '@grafana/grafana-foundation-sdk/heatmap';
import { DataqueryBuilder, PromQueryFormat } from '@grafana/grafana-foundation-sdk/prometheus';
import { PanelBuilder as StatBuilder } from '@grafana/grafana-foundation-sdk/stat';
import { PanelBuilder as StateTimelineBuilder } from '@grafana/grafana-foundation-sdk/statetimeline';
import { PanelBuilder as TableBuilder } from '@grafana/grafana-foundation-sdk/table';
import { PanelBuilder as TimeseriesBuilder } from '@grafana/grafana-foundation-sdk/timeseries';
import { vectorOf } from '../src/monitoring/promql/expression.ts';
import {
  add,
  and,
  groupBy,
  labelled,
  multiply,
  or,
  unless,
  type Vector,
  vector,
} from '../src/monitoring/promql/index.ts';
import { datasource } from './variables.ts';

/** A unit of Grafana, or a suffix where Grafana has none. */
type PanelUnit =
  | 's'
  | 'short'
  | 'none'
  | 'ops'
  | 'reqps'
  | 'percentunit'
  | 'bytes'
  | 'dateTimeFromNow'
  | `suffix:${string}`;

/** Never the only carrier of a meaning: the value or a word is always next to it. */
export type Color = 'green' | 'orange' | 'red' | 'blue' | 'text';

/** Colors from a value on, in rising order; the first one holds below the second. */
type Steps = readonly [Color, ...(readonly [from: number, color: Color])[]];

export interface Query {
  readonly expression: Vector;
  /** Grafana's template for the name of the series: `{{storage}}`. */
  readonly legend: string;
}

interface PanelDefinition {
  /** Stable: alerts and bookmarks link to it. The id of a removed panel is not used again. */
  readonly id: number;
  readonly title: string;
  /** What the value means and what to conclude from it, in one to three sentences. */
  readonly description: string;
  readonly unit: PanelUnit;
  /** Of 24 columns. */
  readonly width: number;
  readonly height?: number;
  /** Shown in place of "No data": what it means that the queries return nothing. */
  readonly noValue: string;
  /** The dashboard with the details, which its values link to with the selection and the time. */
  readonly opens?: { readonly title: string; readonly uid: string };
}

/** What a panel gets from its dashboard. */
export interface PanelContext {
  /** Names of the alerts that link to the panel: its description names them, and it links to their runbooks. */
  readonly alertsOf: (panelTitle: string) => readonly string[];
  readonly runbookUrl: string | undefined;
}

/** A panel with its size; the dashboard places it. */
export interface SizedPanel {
  readonly id: number;
  readonly title: string;
  readonly width: number;
  readonly height: number;
  readonly at: (position: GridPos, context: PanelContext) => Panel;
}

const heights = { stat: 2, chart: 8, chartWithTable: 9, table: 8 } as const;

interface PanelBuilder {
  build(): Panel;
}

/** What all types have in common. */
function sized(
  builder: PanelBuilder,
  definition: PanelDefinition,
  defaultHeight: number,
  targets: readonly DataqueryBuilder[],
): SizedPanel {
  const { description, height = defaultHeight, id, noValue, opens, title, unit, width } = definition;
  return {
    id,
    title,
    width,
    height,
    at: (gridPos, { alertsOf, runbookUrl }) => {
      const alerts = alertsOf(title);
      const named =
        alerts.length === 0 ? [] : [`Alert${alerts.length === 1 ? '' : 's'}: ${alerts.join(', ')}.`];
      const panel = builder.build();
      const links = runbookUrl === undefined ? [] : alerts.map((name) => runbookLink(name, runbookUrl));
      return {
        ...panel,
        id,
        title,
        description: [description, ...named].join(' '),
        datasource,
        gridPos,
        targets: targets.map((target) => target.build()),
        ...(links.length > 0 && { links }),
        fieldConfig: {
          overrides: panel.fieldConfig?.overrides ?? [],
          defaults: {
            ...panel.fieldConfig?.defaults,
            unit,
            noValue,
            // On the values: a link of the panel takes the space of its title.
            ...(opens !== undefined && { links: [dashboardLink(opens)] }),
          },
        },
      };
    },
  };
}

/** Data links have two of the fields that the SDK demands. */
const dashboardLink = ({ title, uid }: { readonly title: string; readonly uid: string }) =>
  ({ title, url: `/d/${uid}?\${__url_time_range}&\${__all_variables}` }) as DashboardLink;

function runbookLink(alert: string, runbookUrl: string): DashboardLink {
  const { placement: _, ...link } = new DashboardLinkBuilder(`Runbook: ${alert}`)
    .type(DashboardLinkType.Link)
    .url(`${runbookUrl}/${alert}.md`)
    .targetBlank(true)
    .build();
  return link;
}

const refId = (index: number): string => String.fromCharCode('A'.charCodeAt(0) + index);

const rangeTarget = ({ expression, legend }: Query, index: number): DataqueryBuilder =>
  new DataqueryBuilder()
    .refId(refId(index))
    .datasource(datasource)
    .expr(expression.text)
    .legendFormat(legend)
    .range();

const instantTarget = (query: Query, index: number): DataqueryBuilder => rangeTarget(query, index).instant();

function stepsConfig([lowest, ...others]: Steps): ThresholdsConfigBuilder {
  return new ThresholdsConfigBuilder()
    .mode(ThresholdsMode.Absolute)
    .steps([{ value: null, color: lowest }, ...others.map(([value, color]) => ({ value, color }))]);
}

/** Words for values, by value. */
type Words = Readonly<Record<number, string | { readonly text: string; readonly color: Color }>>;

const wordsMapping = (words: Words): ValueMapping => ({
  type: MappingType.ValueToText,
  options: Object.fromEntries(
    Object.entries(words).map(([value, word], index) => [
      value,
      typeof word === 'string' ? { text: word, index } : { ...word, index },
    ]),
  ),
});

interface TimeseriesDefinition extends PanelDefinition {
  readonly queries: readonly Query[];
  /** A dashed line at the threshold of an alert or at a limit. */
  readonly threshold?: number;
  readonly draw?: 'lines' | 'stacked' | 'bars';
  /** `table`: last and maximum of each series, for many series. `hidden`: where names do not matter. */
  readonly legend?: 'list' | 'table' | 'hidden';
}

/** Largest value of the axis as long as the data stays below it: a flat zero is not drawn on a scale to 100. */
const softMaxOf = (unit: PanelUnit): number => {
  if (unit === 's') return 0.01;
  if (unit === 'percentunit') return 0.1;
  return unit === 'bytes' ? 1024 ** 2 : 1;
};

export function timeseries(definition: TimeseriesDefinition): SizedPanel {
  const { draw = 'lines', legend = 'list', queries, threshold, unit } = definition;
  const legendOptions = new VizLegendOptionsBuilder()
    .displayMode(legend === 'table' ? LegendDisplayMode.Table : LegendDisplayMode.List)
    .placement(LegendPlacement.Bottom)
    .showLegend(legend !== 'hidden')
    .calcs(legend === 'table' ? legendValues(definition.width) : []);
  if (legend === 'table') legendOptions.sortBy('Last *').sortDesc(true);
  const builder = new TimeseriesBuilder()
    .colorScheme(new FieldColorBuilder().mode(FieldColorModeId.PaletteClassic))
    .min(0)
    .axisSoftMax(Math.max(softMaxOf(unit), threshold ?? 0))
    .fillOpacity(draw === 'lines' ? 0 : 30)
    .lineWidth(1)
    .legend(legendOptions)
    .tooltip(new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Multi).sort(SortOrder.Descending))
    .drawStyle(draw === 'bars' ? GraphDrawStyle.Bars : GraphDrawStyle.Line)
    .stacking(new StackingConfigBuilder().mode(draw === 'lines' ? StackingMode.None : StackingMode.Normal))
    .thresholds(stepsConfig(threshold === undefined ? ['green'] : ['green', [threshold, 'red']]))
    .thresholdsStyle(
      new GraphThresholdsStyleConfigBuilder().mode(
        threshold === undefined ? GraphThresholdsStyleMode.Off : GraphThresholdsStyleMode.Dashed,
      ),
    );
  // Else as many decimals as the value needs: "8 GiB", "0.45 req/s".
  if (unit === 'short') builder.decimals(0);
  const height = legend === 'table' ? heights.chartWithTable : heights.chart;
  return sized(builder, definition, height, queries.map(rangeTarget));
}

/** What a legend's table shows of each series; next to long names a narrow panel has space for one number. */
const legendValues = (width: number): string[] => (width < 12 ? ['lastNotNull'] : ['lastNotNull', 'max']);

interface StatDefinition extends Omit<PanelDefinition, 'noValue'> {
  /** One series without labels. */
  readonly expression: Vector<never>;
  readonly steps: Steps;
  readonly words?: Words;
  /**
   * Text and color when the expression returns nothing. Without it, nothing reads MISSING in red: an empty tile would
   * pass for a healthy one.
   */
  readonly absent?: { readonly text: string; readonly color: Color };
  /**
   * Has a series while the source of the value is enabled: nothing then reads UNKNOWN in red, in place of the text of
   * `absent`.
   */
  readonly enabledBy?: Vector;
}

/** The value shown when an expression returns nothing. No metric here has this value otherwise. */
const absentValue = -1;
/** The value shown when an expression returns nothing although its source is enabled. */
const unknownValue = -9;

const orAbsent = (expression: Vector): Vector => or(expression, vector(absentValue), { on: [] });

const unknownWhere = (enabledBy: Vector): Vector<never> =>
  add(multiply(groupBy([], enabledBy), 0), unknownValue);

/** One number or word. */
export function stat(definition: StatDefinition): SizedPanel {
  const {
    absent = { text: 'MISSING', color: 'red' },
    enabledBy,
    expression,
    steps,
    unit,
    words = {},
  } = definition;
  const query = {
    expression: orAbsent(
      enabledBy === undefined ? expression : or(expression, unknownWhere(enabledBy), { on: [] }),
    ),
    legend: definition.title,
  };
  const builder = new StatBuilder()
    .decimals(unit === 'short' || unit.startsWith('suffix:') ? 0 : 1)
    .mappings([
      wordsMapping({
        ...words,
        [absentValue]: absent,
        ...(enabledBy !== undefined && { [unknownValue]: { text: 'UNKNOWN', color: 'red' } }),
      }),
      { type: MappingType.SpecialValue, options: { match: SpecialValueMatch.NullAndNan, result: absent } },
    ])
    .thresholds(stepsConfig(steps))
    .colorMode(BigValueColorMode.Background)
    .textMode(BigValueTextMode.Value)
    .graphMode(BigValueGraphMode.None)
    .reduceOptions(new ReduceDataOptionsBuilder().calcs(['lastNotNull']).fields('').values(false));
  return sized(builder, { ...definition, noValue: absent.text }, heights.stat, [instantTarget(query, 0)]);
}

/** A function of the values that an expression has anywhere in the chosen time; the same at each step of a range. */
const throughout = <Labels extends string>(call: string, of: Vector<Labels>): Vector<Labels> =>
  vectorOf(`${call}((${of.text})[$__range:$__interval] @ end())`, of.labels, of.metrics);

/** The value for nothing, at every step of a range in which the expression has no value at all. */
const absentThroughout = (of: Vector): Vector<never> =>
  unless(vector(absentValue), throughout('max_over_time', of), { on: [] });

interface StateTimelineDefinition extends PanelDefinition {
  readonly query: Query;
  /** Every value has a word, and its color is that of the word. */
  readonly words: Words;
}

/** Lines of a state timeline in one row of the grid: more would overlap. */
const linesPerRow = 2;

/**
 * States over time, a line for each series: since when something is not as it should be. A lower value is a worse state;
 * of many series those are shown that were in a worse one for longest.
 */
export function stateTimeline(definition: StateTimelineDefinition): SizedPanel {
  const builder = new StateTimelineBuilder()
    // This type of panel has no text of its own for nothing.
    .mappings([
      wordsMapping({ ...definition.words, [absentValue]: { text: definition.noValue, color: 'text' } }),
    ])
    // With colors by thresholds Grafana merges values into ranges of thresholds, and shows those in place of the words.
    .colorScheme(new FieldColorBuilder().mode(FieldColorModeId.Fixed).fixedColor('text'))
    .mergeValues(true)
    .showValue(VisibilityMode.Auto)
    .rowHeight(0.85)
    .lineWidth(0)
    .fillOpacity(75)
    .legend(
      new VizLegendOptionsBuilder()
        .displayMode(LegendDisplayMode.List)
        .placement(LegendPlacement.Bottom)
        .showLegend(false)
        .calcs([]),
    )
    .tooltip(new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Single).sort(SortOrder.None));
  // All series on one page, which the SDK's builder does not allow.
  const unpaged: PanelBuilder = {
    build() {
      const panel = builder.build();
      return { ...panel, options: { ...(panel.options as object), perPage: 0 } };
    },
  };
  const { description, height = heights.chart, query } = definition;
  const lines = height * linesPerRow;
  const lowest = vectorOf(
    `bottomk(${lines}, ${throughout('avg_over_time', query.expression).text})`,
    query.expression.labels,
    query.expression.metrics,
  );
  const expression = or(
    and(query.expression, lowest, { on: query.expression.labels }),
    absentThroughout(query.expression),
    { on: [] },
  );
  return sized(
    unpaged,
    { ...definition, description: `${description} At most ${lines} lines: the worst ones.` },
    height,
    [rangeTarget({ expression, legend: query.legend }, 0)],
  );
}

interface BarGaugeDefinition extends PanelDefinition {
  readonly queries: readonly Query[];
  readonly steps: Steps;
  /** The end of the scale: 1 for a share of a limit. Without it, the largest value. */
  readonly max?: number;
}

/** The latest value of each series as a bar: the share of a limit, or one member compared with the others. */
export function barGauge(definition: BarGaugeDefinition): SizedPanel {
  const builder = new BarGaugeBuilder()
    .min(0)
    .decimals(definition.unit === 'short' ? 0 : 1)
    .thresholds(stepsConfig(definition.steps))
    .displayMode(BarGaugeDisplayMode.Basic)
    .valueMode(BarGaugeValueMode.Text)
    .orientation(VizOrientation.Horizontal)
    .showUnfilled(true)
    .minVizHeight(16)
    .reduceOptions(new ReduceDataOptionsBuilder().calcs(['lastNotNull']).fields('').values(false));
  if (definition.max !== undefined) builder.max(definition.max);
  return sized(builder, definition, heights.chart, definition.queries.map(instantTarget));
}

interface HeatmapDefinition extends PanelDefinition {
  /** Increase of a histogram's buckets, summed by `le`. */
  readonly expression: Vector<'le'>;
}

/** A distribution over time, from a histogram. The unit is that of the vertical axis; colors are counts. */
export function heatmap(definition: HeatmapDefinition): SizedPanel {
  const builder = new HeatmapBuilder()
    .calculate(false)
    .cellGap(1)
    .color(
      new HeatmapColorOptionsBuilder()
        .mode(HeatmapColorMode.Scheme)
        .scheme('Oranges')
        .steps(32)
        .exponent(0.5)
        .min(0),
    )
    .yAxis(new YAxisConfigBuilder().unit(definition.unit));
  const target = rangeTarget({ expression: definition.expression, legend: '{{le}}' }, 0).format(
    PromQueryFormat.Heatmap,
  );
  return sized(builder, { ...definition, unit: 'short' }, heights.chart, [target]);
}

/** A column of a table with the value of an expression. */
interface ValueColumn {
  readonly title: string;
  readonly expression: Vector;
  readonly unit: PanelUnit;
  readonly decimals?: number;
  /** Colors of the bar, or of the text. */
  readonly steps?: Steps;
  readonly words?: Words;
  /** An inline bar up to this value. */
  readonly bar?: { readonly max?: number };
  readonly width?: number;
}

/** A column with the value of a label, which may link to a page. */
interface LabelColumn {
  readonly label: string;
  readonly title: string;
  readonly link?: { readonly title: string; readonly url: string };
  readonly width?: number;
}

interface TableDefinition extends PanelDefinition {
  /** The labels that identify a row: exactly those of the series of every expression. */
  readonly labels: readonly LabelColumn[];
  readonly values: readonly [ValueColumn, ...ValueColumn[]];
  /** Returns something while there is a row. Default: the first expression, which then returns every row. */
  readonly present?: Vector;
  /**
   * Has a series while the source of the rows is read. No row then means what `noValue` says, and nothing is known
   * otherwise. For tables whose `noValue` says that all is well.
   */
  readonly readBy?: Vector;
  /** Labels of the series that are not shown. */
  readonly hide?: readonly string[];
  readonly sort?: { readonly by: string; readonly descending: boolean };
}

/** The label with the text of a table without rows. */
const messageLabel = 'message';
const messageTitle = 'Status';

/** The latest values of many objects, a row each. */
export function table(definition: TableDefinition): SizedPanel {
  const { hide = [], labels, noValue, present, readBy, sort, values } = definition;
  const [first] = values;
  // Several queries without a result make a table without rows, for which Grafana has no text: a row with it then.
  const nothing = vector(absentValue);
  const noRows = present === undefined ? nothing : unless(nothing, present, { on: [] });
  const fallback =
    readBy === undefined
      ? labelled(noRows, messageLabel, noValue)
      : or(
          labelled(and(noRows, readBy, { on: [] }), messageLabel, noValue),
          labelled(noRows, messageLabel, 'UNKNOWN: not read'),
          { on: [] },
        );
  const needsFallback = values.length > 1 || readBy !== undefined;
  const sources = values.map((_, index) => `Value #${refId(index)}`);
  // Without it columns are at least 150 px wide, and the last ones, which have the values, are out of view.
  const builder = new TableBuilder()
    .showHeader(true)
    .minWidth(60)
    .thresholds(stepsConfig(['text']));
  if (values.length > 1) builder.withTransformation({ id: 'merge', options: {} });
  builder.withTransformation({
    id: 'organize',
    options: {
      excludeByName: Object.fromEntries(['Time', '__name__', ...hide].map((name) => [name, true])),
      indexByName: Object.fromEntries(
        [messageLabel, ...labels.map(({ label }) => label), 'Value', ...sources].map((name, index) => [
          name,
          index,
        ]),
      ),
      renameByName: Object.fromEntries([
        [messageLabel, messageTitle],
        ...labels.map(({ label, title }) => [label, title]),
        // Grafana names the column of a query that is alone so.
        ['Value', first.title],
        ...values.map(({ title }, index) => [sources[index] ?? '', title]),
      ]),
    },
  });
  for (const column of labels) builder.overrideByName(column.title, labelProperties(column));
  // Bars take what the others leave: less than the text needs.
  const messageWidth = Math.ceil(noValue.length * 7 + 20);
  if (values.some(({ bar }) => bar !== undefined))
    builder.overrideByName(messageTitle, labelProperties({ width: messageWidth }));
  for (const column of values)
    builder.overrideByName(
      column.title,
      valueProperties(column, {
        isSorted: column.title === sort?.by,
        isFirst: needsFallback && column === first,
      }),
    );
  if (sort !== undefined)
    builder.sortBy([{ build: () => ({ displayName: sort.by, desc: sort.descending }) }]);
  const targets = values.map(({ expression, title }, index) =>
    instantTarget(
      {
        expression: needsFallback && index === 0 ? or(expression, fallback, { on: [] }) : expression,
        legend: title,
      },
      index,
    ).format(PromQueryFormat.Table),
  );
  return sized(builder, definition, heights.table, targets);
}

/** In the cell of a value that does not exist, in place of the text for a table without rows. */
const emptyCell = { text: '–', color: 'text' } as const;
const emptyMapping: ValueMapping = {
  type: MappingType.SpecialValue,
  options: { match: SpecialValueMatch.NullAndNan, result: emptyCell },
};

/** Width for the title and the words of a column, in pixels. Bars take what the others leave. */
function fittingWidth({ bar, title, unit, words = {} }: ValueColumn, isSorted: boolean): number | undefined {
  if (bar !== undefined) return undefined;
  const arrow = isSorted ? 24 : 0;
  const texts = Object.values(words).map((word) => (typeof word === 'string' ? word : word.text));
  // With the unit: "587.8 MiB", "24.53 req/s".
  const longestValue = unit === 'reqps' ? 11 : 9;
  return (
    Math.ceil(Math.max(longestValue, title.length, ...texts.map((text) => text.length)) * 8 + 20) + arrow
  );
}

const labelProperties = ({ link, width }: Partial<LabelColumn>): DynamicConfigValue[] => [
  { id: 'mappings', value: [emptyMapping] },
  ...(width === undefined ? [] : [{ id: 'custom.width', value: width }]),
  ...(link === undefined ? [] : [{ id: 'links', value: [{ ...link, targetBlank: false }] }]),
];

function valueProperties(
  column: ValueColumn,
  { isFirst, isSorted }: { readonly isFirst: boolean; readonly isSorted: boolean },
): DynamicConfigValue[] {
  const { bar, decimals, steps, unit, words, width = fittingWidth(column, isSorted) } = column;
  const mapped: Words = { ...words, ...(isFirst && { [absentValue]: emptyCell }) };
  const thresholds: ThresholdsConfig | undefined = steps && stepsConfig(steps).build();
  const cell =
    bar !== undefined
      ? { type: 'gauge', mode: 'basic', valueDisplayMode: 'text' }
      : { type: steps === undefined && words === undefined ? 'auto' : 'color-text' };
  return [
    { id: 'unit', value: unit },
    { id: 'decimals', value: decimals ?? (unit === 'short' ? 0 : 1) },
    { id: 'custom.cellOptions', value: cell },
    ...(bar === undefined ? [] : [{ id: 'min', value: 0 }]),
    ...(bar?.max === undefined ? [] : [{ id: 'max', value: bar.max }]),
    ...(thresholds === undefined ? [] : [{ id: 'thresholds', value: thresholds }]),
    ...(thresholds === undefined ? [] : [{ id: 'color', value: { mode: 'thresholds' } }]),
    {
      id: 'mappings',
      value: [...(Object.keys(mapped).length === 0 ? [] : [wordsMapping(mapped)]), emptyMapping],
    },
    ...(width === undefined ? [] : [{ id: 'custom.width', value: width }]),
  ];
}
