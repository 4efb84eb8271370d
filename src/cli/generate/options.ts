/** Flags of `generate`, and the alerts' settings that they make. */

import { type AlertSettings, defaultAlertSettings } from '../../../alerts/settings.ts';
import { Refusal, scalar } from '../../config/kinds/kind.ts';
import { listOf } from '../../config/kinds/lists.ts';
import { parseDuration, printDuration } from '../../config/kinds/quantities.ts';
import { text, toggle } from '../../config/kinds/scalars.ts';
import { optional, type Section, setting, type ValuesOf } from '../../config/setting.ts';
import { closest } from '../../config/suggest.ts';
import {
  defaultThresholds,
  type ThresholdName,
  type ThresholdOverrides,
  withOverrides,
} from '../../rules/thresholds.ts';

/** A threshold and what to put in its place, in base units. */
export interface Override {
  readonly name: ThresholdName;
  readonly value: number;
}

const names = Object.keys(defaultThresholds) as ThresholdName[];

/** `databaseUnreachable=5m`, `massFailoverRatio=0.1`. */
const override = () =>
  scalar<Override>({
    name: 'threshold',
    placeholder: '<name=value>',
    expected: 'a threshold such as databaseUnreachable=5m',
    parse(found) {
      const [written = '', given = '', ...more] = found.trim().split('=');
      const name = names.find((known) => known === written);
      if (name === undefined || more.length > 0) {
        const near = closest(written, names);
        return new Refusal(
          near === undefined ? `the thresholds are ${names.join(', ')}` : `did you mean ${near}?`,
        );
      }
      const isTime = defaultThresholds[name].unit === 'seconds';
      const value = isTime ? (parseDuration(given) ?? Number.NaN) / 1000 : Number(given || Number.NaN);
      try {
        withOverrides({ [name]: value });
        return { name, value };
      } catch (error) {
        return new Refusal(error instanceof RangeError ? error.message : String(error));
      }
    },
    print: ({ name, value }) =>
      `${name}=${defaultThresholds[name].unit === 'seconds' ? printDuration(value * 1000) : value}`,
  });

const address = (found: string): Refusal | undefined =>
  URL.canParse(found) && !found.endsWith('/')
    ? undefined
    : new Refusal('write it in full, without a slash at its end');

export const generateOptions = {
  title: 'Generate',
  settings: {
    outputDir: setting(text('<folder>'), {
      default: '.',
      help: 'Folder to write to; the files keep their places below it (alerts/, dashboards/, docs/).',
    }),
    check: setting(toggle(), {
      default: false,
      help: 'Write nothing; name each file that is not what would be written, and exit with 1 if there is any.',
    }),
    grafanaUrl: setting(text('<url>', address), {
      default: defaultAlertSettings.grafanaUrl,
      help: "Where Grafana is; the alerts' links to panels begin with it.",
      example: 'https://grafana.corp.example/grafana',
    }),
    runbookUrl: setting(text('<url>', address), {
      default: defaultAlertSettings.runbookUrl,
      help: 'Where the runbooks are; /<alert>.md is put behind it.',
    }),
    exporterJob: setting(text('<regular expression>'), {
      default: defaultAlertSettings.exporterJob,
      help: "The exporter's job in Prometheus, as an anchored regular expression.",
    }),
    threshold: optional(listOf(override(), 'list of thresholds'), {
      unset: 'the defaults in src/rules/thresholds.ts',
      help: 'A threshold of the alerts and panels in place of its default; repeat the flag for each.',
      example: 'databaseUnreachable=5m',
    }),
  },
} as const satisfies Section;

export type GenerateOptions = ValuesOf<(typeof generateOptions)['settings']>;

/** @param stuckThresholdMs the exporter's own praefect.stuck-threshold, which alerts and panels quote */
export function alertSettingsOf(options: GenerateOptions, stuckThresholdMs: number): AlertSettings {
  const overrides: ThresholdOverrides = Object.fromEntries([
    ['replicaStuckThreshold', Math.ceil(stuckThresholdMs / 1000)],
    ...(options.threshold ?? []).map(({ name, value }) => [name, value]),
  ]);
  const { exporterJob, grafanaUrl, runbookUrl } = options;
  return { thresholds: withOverrides(overrides), exporterJob, grafanaUrl, runbookUrl };
}
