/** Flags of `generate`, and the settings of alerts and dashboards that they make. */
import { type AlertSettings, alertThresholds } from '../../../alerts/index.ts';
import { baseUrl } from '../../config/kinds/base-url.ts';
import { Refusal, scalar } from '../../config/kinds/kind.ts';
import { listOf } from '../../config/kinds/lists.ts';
import { parseDuration, printDuration } from '../../config/kinds/quantities.ts';
import { text, toggle } from '../../config/kinds/scalars.ts';
import { optional, type Section, setting, type ValuesOf } from '../../config/setting.ts';
import { closest } from '../../config/suggest.ts';
import { defaultMonitoringSettings } from '../../monitoring/settings.ts';
import { withOverrides } from '../../rules/thresholds.ts';

type ThresholdName = keyof typeof alertThresholds;

interface ThresholdOverride {
  readonly name: ThresholdName;
  /** In the base unit of the threshold. */
  readonly value: number;
}

const names = Object.keys(alertThresholds) as ThresholdName[];

/** `databaseUnreachable=5m`, `quorumRatio=0.4`, `quorumRatio=40%`. */
const thresholdOverride = () =>
  scalar<ThresholdOverride>({
    name: 'threshold',
    placeholder: '<name=value>',
    expected: 'a threshold such as databaseUnreachable=5m or quorumRatio=40%',
    parse(found) {
      const [written = '', given = '', ...more] = found.split('=').map((part) => part.trim());
      const name = names.find((known) => known === written);
      if (name === undefined || more.length > 0) {
        const near = closest(written, names);
        return new Refusal(
          near === undefined ? `the thresholds are ${names.join(', ')}` : `did you mean ${near}?`,
        );
      }
      const value = parseThreshold(name, given);
      if (value === undefined) return new Refusal(`${name} is ${expectedForms[alertThresholds[name].unit]}`);
      try {
        withOverrides(alertThresholds, { [name]: value });
        return { name, value };
      } catch (error) {
        return new Refusal(error instanceof RangeError ? error.message : String(error));
      }
    },
    print: ({ name, value }) =>
      `${name}=${alertThresholds[name].unit === 'seconds' ? printDuration(value * 1000) : value}`,
  });

const expectedForms = {
  seconds: 'a duration such as 90s, 5m or 1h30m',
  ratio: 'a ratio such as 0.4, or a percentage such as 40%',
  count: 'a whole number',
} as const;

function parseThreshold(name: ThresholdName, given: string): number | undefined {
  const { unit } = alertThresholds[name];
  if (unit === 'seconds') {
    const ms = parseDuration(given);
    return ms === undefined ? undefined : ms / 1000;
  }
  const [, digits, percent] = /^(\d+(?:\.\d+)?|\.\d+)\s*(%?)$/.exec(given) ?? [];
  if (digits === undefined || (percent === '%' && unit !== 'ratio')) return undefined;
  // Dividing by 100 is exact to the last digit; multiplying by 0.01 is not.
  return percent === '%' ? Number(digits) / 100 : Number(digits);
}

/** A regular expression in RE2's syntax, as Prometheus reads it. */
function checkRegex(found: string): Refusal | undefined {
  const unsupported = /\(\?(?:[=!]|<[=!])|\\[1-9]/.exec(found);
  if (unsupported !== null)
    return new Refusal(`Prometheus supports neither lookaround nor backreferences (${unsupported[0]})`);
  try {
    new RegExp(`^(?:${found})$`);
    return undefined;
  } catch (error) {
    return new Refusal(error instanceof Error ? error.message : String(error));
  }
}

export const generateOptions = {
  title: 'Generate',
  settings: {
    outputDir: optional(text('<folder>'), {
      unset: 'none; required',
      help: 'Folder to write to. The files are written below it in alerts/, dashboards/ and docs/.',
      example: './monitoring',
    }),
    check: setting(toggle(), {
      default: false,
      help: 'Write nothing. List the files that differ from what would be written, and exit with 1 if there are any.',
    }),
    grafanaUrl: optional(baseUrl('https://grafana.corp.example/grafana'), {
      unset: 'none: alerts have no link to a panel',
      help: "Base URL of Grafana, for the alerts' links to panels.",
      example: 'https://grafana.corp.example/grafana',
    }),
    runbookUrl: optional(baseUrl('https://wiki.corp.example/gitaly'), {
      unset: 'none: alerts have no link to a runbook',
      help: 'Base URL of the runbooks; the link of an alert is <url>/<alert>.md.',
      example: 'https://wiki.corp.example/gitaly',
    }),
    exporterJob: setting(text('<regular expression>', checkRegex), {
      default: defaultMonitoringSettings.exporterJob,
      help: "The exporter's job label in Prometheus, as an anchored regular expression.",
    }),
    threshold: optional(listOf(thresholdOverride(), 'list of thresholds'), {
      unset: 'the defaults in docs/alerts.md',
      help: 'A threshold of alerts and panels that replaces its default. Repeatable.',
      example: 'databaseUnreachable=5m',
    }),
  },
} as const satisfies Section;

export type GenerateOptions = ValuesOf<(typeof generateOptions)['settings']>;

/** @param stuckThresholdMs the exporter's own praefect.stuck-threshold, which alerts and panels quote */
export function monitoringSettingsOf(options: GenerateOptions, stuckThresholdMs: number): AlertSettings {
  const overrides: { readonly [Name in ThresholdName]?: number } = Object.fromEntries([
    ['replicaStuckThreshold', Math.ceil(stuckThresholdMs / 1000)],
    ...(options.threshold ?? []).map(({ name, value }) => [name, value]),
  ]);
  const { exporterJob, grafanaUrl, runbookUrl } = options;
  return { thresholds: withOverrides(alertThresholds, overrides), exporterJob, grafanaUrl, runbookUrl };
}
