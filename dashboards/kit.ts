/**
 * Panels, short to write: a title, what it tells, typed expressions, limits from the thresholds. Every panel has
 * a unit and a description that quotes the help of the metrics it shows.
 */
import {
  BigValueColorMode,
  BigValueGraphMode,
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
  VizLegendOptionsBuilder,
  VizTooltipOptionsBuilder,
} from '@grafana/grafana-foundation-sdk/common';
import {
  type GridPos,
  MappingType,
  type Panel,
  SpecialValueMatch,
  type Threshold as Step,
  ThresholdsConfigBuilder,
  ThresholdsMode,
  type ValueMapping,
} from '@grafana/grafana-foundation-sdk/dashboard';
import { DataqueryBuilder } from '@grafana/grafana-foundation-sdk/prometheus';
import { PanelBuilder as StatBuilder } from '@grafana/grafana-foundation-sdk/stat';
import { PanelBuilder as TimeseriesBuilder } from '@grafana/grafana-foundation-sdk/timeseries';
import { metricsIn, or, type Vector, vector } from '../src/monitoring/promql/index.ts';
import { datasource } from './variables.ts';

export interface Query {
  readonly expression: Vector;
  /** Grafana's template for the series' name: `{{storage}}`. */
  readonly legend: string;
}

interface PanelDefinition {
  /** Stable: see panels.ts. */
  readonly id: number;
  readonly title: string;
  /** What to read from it; the help of its metrics is put below. */
  readonly tells: string;
  /** One of Grafana's units: whole numbers are `short`, others without a unit of Grafana's `none`. */
  readonly unit: 's' | 'short' | 'none' | 'cps' | 'percentunit' | 'bytes';
  readonly queries: readonly Query[];
  /** Of 24 columns. */
  readonly width: number;
}

export interface TimeseriesDefinition extends PanelDefinition {
  /** A dashed line where an alert's threshold is. */
  readonly limit?: number;
  readonly draw?: 'lines' | 'stacked' | 'bars';
}

export interface StatDefinition extends Omit<PanelDefinition, 'queries'> {
  /** One series without labels. */
  readonly expression: Vector<never>;
  /** Colours from a value on, rising; the first holds below the second. */
  readonly steps: readonly [Colour, ...(readonly [from: number, colour: Colour])[]];
  /** Asked once, for the end of the range: for what is counted over all of it. */
  readonly overRange?: boolean;
  /** Words for values. */
  readonly words?: Readonly<Record<number, string>>;
}

export type Colour = 'green' | 'orange' | 'red' | 'blue';

/** A panel without its place, with the size that it wants. */
export interface SizedPanel {
  readonly width: number;
  readonly height: number;
  readonly at: (position: GridPos) => Panel;
}

const timeseriesHeight = 8;
const statHeight = 4;

export function timeseries(definition: TimeseriesDefinition): SizedPanel {
  const { draw = 'lines', id, limit, queries, title, unit, width } = definition;
  const builder = new TimeseriesBuilder()
    .id(id)
    .title(title)
    .description(
      descriptionOf(
        definition.tells,
        queries.map(({ expression }) => expression),
      ),
    )
    .datasource(datasource)
    .targets(queries.map(target))
    .unit(unit)
    .min(0)
    .decimals(unit === 'short' ? 0 : 2)
    .fillOpacity(draw === 'lines' ? 0 : 30)
    .lineWidth(1)
    .legend(
      new VizLegendOptionsBuilder()
        .displayMode(LegendDisplayMode.List)
        .placement(LegendPlacement.Bottom)
        .showLegend(true),
    )
    .tooltip(new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Multi).sort(SortOrder.Descending))
    .drawStyle(draw === 'bars' ? GraphDrawStyle.Bars : GraphDrawStyle.Line)
    .stacking(new StackingConfigBuilder().mode(draw === 'lines' ? StackingMode.None : StackingMode.Normal))
    .thresholds(thresholdsOf(limit === undefined ? ['green'] : ['green', [limit, 'red']]))
    .thresholdsStyle(
      new GraphThresholdsStyleConfigBuilder().mode(
        limit === undefined ? GraphThresholdsStyleMode.Off : GraphThresholdsStyleMode.Dashed,
      ),
    );
  return {
    width,
    height: timeseriesHeight,
    at: (position) => builder.gridPos(position).build(),
  };
}

/** Stands for "nothing was reported", which no number here otherwise is. */
const missing = -1;

/** One number. What is not reported at all reads MISSING, in red: an empty panel would pass for a quiet one. */
export function stat(definition: StatDefinition): SizedPanel {
  const { expression, id, overRange = false, steps, title, unit, width, words = {} } = definition;
  const query = target({ expression: or(expression, vector(missing), { on: [] }), legend: title }, 0);
  const mappings: ValueMapping[] = [
    {
      type: MappingType.ValueToText,
      options: {
        [missing]: { text: 'MISSING', color: 'red', index: 0 },
        ...Object.fromEntries(
          Object.entries(words).map(([value, text], index) => [value, { text, index: index + 1 }]),
        ),
      },
    },
    {
      type: MappingType.SpecialValue,
      options: { match: SpecialValueMatch.NullAndNan, result: { text: 'MISSING', color: 'red' } },
    },
  ];
  const builder = new StatBuilder()
    .id(id)
    .title(title)
    .description(descriptionOf(definition.tells, [expression]))
    .datasource(datasource)
    .targets([overRange ? query.instant() : query])
    .unit(unit)
    .decimals(unit === 'short' ? 0 : 1)
    .mappings(mappings)
    .noValue('MISSING')
    .thresholds(thresholdsOf(steps))
    .colorMode(BigValueColorMode.Background)
    .graphMode(BigValueGraphMode.None)
    .reduceOptions(new ReduceDataOptionsBuilder().calcs(['lastNotNull']).fields('').values(false));
  return { width, height: statHeight, at: (position) => builder.gridPos(position).build() };
}

const target = ({ expression, legend }: Query, index: number): DataqueryBuilder =>
  new DataqueryBuilder()
    .refId(String.fromCharCode('A'.charCodeAt(0) + index))
    .datasource(datasource)
    .expr(expression.text)
    .legendFormat(legend)
    .range();

function thresholdsOf([lowest, ...others]: StatDefinition['steps']): ThresholdsConfigBuilder {
  const steps: Step[] = [
    { value: null, color: lowest },
    ...others.map(([value, color]): Step => ({ value, color })),
  ];
  return new ThresholdsConfigBuilder().mode(ThresholdsMode.Absolute).steps(steps);
}

/** What the panel tells, then each metric with its help, as Markdown. */
const descriptionOf = (tells: string, expressions: readonly Vector[]): string =>
  [tells, ...metricsIn(expressions).map(({ help, name }) => `**${name}**: ${help}`)].join('\n\n');
