/** The generated dashboards, as the tests read them. */
import { alertGroups } from '../../alerts/index.ts';
import { dashboards } from '../../dashboards/index.ts';
import { everyMetric } from '../../src/app/catalog.ts';
import { alertsOnPanels } from '../../src/cli/generate/artifacts.ts';
import { defaultMonitoringSettings, type MonitoringSettings } from '../../src/monitoring/settings.ts';

export interface Target {
  readonly refId: string;
  readonly expr: string;
  readonly instant?: boolean;
  readonly format?: string;
  readonly legendFormat?: string;
  readonly datasource: { readonly uid: string };
}

export interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly datasource?: { readonly uid: string };
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly Target[];
  readonly panels?: readonly Panel[];
  readonly links?: readonly { readonly title: string; readonly url: string }[];
  readonly options?: {
    readonly mergeValues?: boolean;
    readonly perPage?: number;
    readonly yAxis?: { readonly unit?: string };
  };
  readonly transformations?: readonly {
    readonly id: string;
    readonly options: {
      readonly excludeByName?: Readonly<Record<string, boolean>>;
      readonly renameByName?: Readonly<Record<string, string>>;
    };
  }[];
  readonly fieldConfig: {
    readonly overrides: readonly {
      readonly matcher: { readonly options: string };
      readonly properties: readonly { readonly id: string; readonly value: unknown }[];
    }[];
    readonly defaults: {
      readonly unit?: string;
      readonly noValue?: string;
      readonly color?: { readonly mode: string };
      readonly mappings?: readonly {
        readonly type: string;
        readonly options: Readonly<Record<string, { readonly text?: string } | string>>;
      }[];
      readonly thresholds: {
        readonly steps: readonly { readonly value: number | null; readonly color: string }[];
      };
    };
  };
}

export interface DashboardJson {
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
      readonly hide?: number;
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
      readonly placement?: string;
    }[];
  };
  readonly links: readonly {
    readonly type: string;
    readonly includeVars: boolean;
    readonly keepTime: boolean;
    readonly placement?: string;
  }[];
}

export const generated = (settings: MonitoringSettings = defaultMonitoringSettings) =>
  dashboards({ ...settings, alertsOn: alertsOnPanels(alertGroups(settings)) }).map(({ json, name }) => ({
    name,
    json,
    dashboard: JSON.parse(json) as DashboardJson,
  }));

/** All panels that are not rows, including those of collapsed rows. */
export const panelsOf = ({ panels }: DashboardJson): readonly Panel[] =>
  panels.flatMap((panel) => (panel.type === 'row' ? (panel.panels ?? []) : [panel]));

/** Rows and panels. */
export const everyPanelOf = ({ panels }: DashboardJson): readonly Panel[] =>
  panels.flatMap((panel) => [panel, ...(panel.panels ?? [])]);

/** Declared metrics by the names that a query uses: a histogram by its buckets and its count. */
export const declaredMetrics = new Map(
  everyMetric.flatMap((metric) =>
    metric.type === 'histogram'
      ? [`${metric.name}_bucket`, `${metric.name}_count`].map((name) => [name, metric] as const)
      : [[metric.name, metric] as const],
  ),
);

/** The recording rules of alerts/. */
export const everyRecording = alertGroups(defaultMonitoringSettings).flatMap(({ recordings }) => recordings);

/** The metrics that a recording rule reads, by its name. */
export const recordedMetrics = new Map(
  everyRecording.map(({ name, rules }) => [
    name,
    rules(defaultMonitoringSettings.thresholds).flatMap(({ expression }) => expression.metrics),
  ]),
);

/** Series that Prometheus itself writes, for each scrape and for its alerts. */
export const isOfPrometheus = (name: string): boolean => ['ALERTS', 'ALERTS_FOR_STATE', 'up'].includes(name);
