/**
 * What alerts and the problems on the page judge by, and what generated alerts and dashboards contain. One value of each
 * for all of them.
 */

import { parseDuration, printDuration } from '../../lib/format.ts';
import {
  type AlertThresholdName,
  alertThresholds,
  firstConflict,
  type RuleName,
  ruleNames,
  thresholdNames,
} from '../../rules/alert-thresholds.ts';
import { severities } from '../../rules/finding.ts';
import type { Threshold } from '../../rules/thresholds.ts';
import { type Kind, Refusal, scalar } from '../kinds/kind.ts';
import { listOf } from '../kinds/lists.ts';
import { namedValues } from '../kinds/named-values.ts';
import { unitRatio } from '../kinds/quantities.ts';
import { baseUrl, boundsText, choice, integer, text, within } from '../kinds/scalars.ts';
import { kebab, optional, type Section, type Setting, setting, type ValuesOf } from '../setting.ts';
import { closest } from '../suggest.ts';

/** Letters after a backslash, and the limit of `{n,m}`: RE2's own (google/re2, wiki "Syntax"). */
const re2Escapes = 'AaBbCDdEfnPpQrSstvWwxz';
const maxRepetitions = 1000;

/** A regular expression in RE2's syntax, as Prometheus reads it. */
function checkRegex(found: string): Refusal | undefined {
  const unsupported = /\(\?(?:[=!]|<[=!])|\\[1-9]/.exec(found);
  if (unsupported !== null)
    return new Refusal(`Prometheus supports neither lookaround nor backreferences (${unsupported[0]})`);
  // JavaScript reads an escape that it does not know as its letter, and has no limit of repetitions.
  for (const [, letter = ''] of found.matchAll(/\\(.)/gs))
    if (/[A-Za-z]/.test(letter) && !re2Escapes.includes(letter))
      return new Refusal(`Prometheus does not support \\${letter}`);
  for (const [count] of found.matchAll(/(?<=\{(?:\d*,)?)\d+/g))
    if (Number(count) > maxRepetitions)
      return new Refusal(`Prometheus repeats at most ${maxRepetitions} times, not ${count}`);
  try {
    new RegExp(`^(?:${found})$`);
    return undefined;
  } catch (error) {
    return new Refusal(error instanceof Error ? error.message : String(error));
  }
}

/** `none`: no rule is generated, and the page shows the problem as info. */
export const configuredSeverities = [...severities, 'none'] as const;

const severityOfAlerts = namedValues({
  name: 'severity of each alert',
  placeholder: '<alert=severity>',
  expected: `an alert and its severity (${configuredSeverities.join(', ')}), such as PraefectPrimarySkew=info`,
  parseName(found): RuleName | Refusal {
    const known = ruleNames.find((name) => name === found);
    if (known !== undefined) return known;
    const near = closest(found, ruleNames);
    return new Refusal(near === undefined ? 'docs/alerts.md lists all alerts' : `did you mean ${near}?`);
  },
  value: choice(configuredSeverities),
});

/** Inhibitions and groups of Alertmanager compare these; a fixed value would make all scopes equal. */
export const reservedLabels = [
  'alertname',
  'severity',
  'cluster',
  'namespace',
  'virtual_storage',
  'storage',
  'pod',
  'node',
  'level',
  'job',
  'instance',
] as const;

const labelsOfAlerts = namedValues({
  name: 'labels',
  placeholder: '<label=value>',
  expected: 'a label and its value, such as team=gitaly',
  parseName(found): string | Refusal {
    if (!/^[a-zA-Z_]\w*$/.test(found) || found.startsWith('__'))
      return new Refusal('a label is letters, digits and _, and begins with a letter');
    return reservedLabels.some((name) => name === found)
      ? new Refusal(`alerts have a label ${found} of their own`)
      : found;
  },
  value: text('<value>', (found) =>
    found.includes('{{') ? new Refusal('templates are not supported; write a fixed value') : undefined,
  ),
});

/** `90s`, `1h30m`; the value is in seconds, as every threshold of time. */
const wholeSeconds = (range: Threshold['range']): Kind<number> =>
  scalar({
    name: 'duration',
    placeholder: '<duration>',
    expected: `a duration in whole seconds such as 90s or 1h30m${boundsText(range, printSeconds)}`,
    parse(found) {
      const ms = parseDuration(found.trim());
      if (ms !== undefined && ms % 1000 === 0 && within(ms / 1000, range)) return ms / 1000;
      return /^\d+$/.test(found.trim()) && ms === undefined
        ? new Refusal(`write ${found.trim()}s for seconds`)
        : new Refusal();
    },
    print: printSeconds,
  });

const printSeconds = (seconds: number): string => printDuration(seconds * 1000);

function kindOf({ range, unit }: Threshold): Kind<number> {
  switch (unit) {
    case 'seconds':
      return wholeSeconds(range);
    case 'ratio':
      return unitRatio();
    case 'count':
      return integer(range);
  }
}

/** The exporter's own praefect.stuck-threshold is this threshold. */
type SettableThreshold = Exclude<AlertThresholdName, 'replicaStuckThreshold'>;

const settable = thresholdNames.filter((name): name is SettableThreshold => name !== 'replicaStuckThreshold');

const thresholdSettings = Object.fromEntries(
  settable.map((name) => {
    const threshold = alertThresholds[name];
    return [name, setting(kindOf(threshold), { default: threshold.value, help: threshold.why })];
  }),
) as { readonly [Name in SettableThreshold]: Setting<number> };

export const alertsSection = {
  title: 'Alerts and dashboards',
  settings: {
    alerts: {
      exporterJob: setting(text('<regex>', checkRegex), {
        default: '.*gitaly-exporter.*',
        help: "The exporter's job label in Prometheus, as an anchored regular expression.",
      }),
      volumeClaim: setting(text('<regex>', checkRegex), {
        default: '.*gitaly.*',
        help: 'Names of the PersistentVolumeClaims with repositories, for the alerts on disk space, as an anchored regular expression. The default matches the GitLab chart.',
      }),
      volumeMountpoint: setting(text('<regex>', checkRegex), {
        default: '/var/opt/gitlab.*',
        help: "Mount points of the file systems with repositories on virtual machines, as node_exporter reports them, for the same alerts, as an anchored regular expression. The default is the Linux package's; / for repositories on the root file system.",
      }),
      grafanaUrl: optional(baseUrl('https://grafana.corp.example/grafana'), {
        unset: 'none: alerts have no link to a panel',
        help: "Base URL of Grafana, for the alerts' links to panels.",
        example: 'https://grafana.corp.example/grafana',
      }),
      runbookUrl: optional(baseUrl('https://gitaly-exporter.corp.example/runbooks'), {
        unset: 'none: alerts have no link to a runbook',
        help: 'Base URL of the runbooks; the link of an alert is <url>/<alert>.md. The exporter serves them at /runbooks of its own address, for networks without a wiki.',
        example: 'https://gitaly-exporter.corp.example/runbooks',
      }),
      severity: optional(severityOfAlerts, {
        unset: 'the severities in docs/alerts.md',
        help: 'Severity of an alert, and of the problem on the page, in place of its own. It applies to every rule of the name. none: no rule is generated, and the page shows the problem as info.',
        example: 'PraefectPrimarySkew=info',
      }),
      label: optional(labelsOfAlerts, {
        unset: 'none',
        help: 'Label that every generated alert gets, for the routes of Alertmanager.',
        example: 'team=gitaly',
      }),
    },
  },
} as const satisfies Section;

export const thresholdsSection = {
  title: 'Thresholds',
  settings: { alerts: { threshold: thresholdSettings } },
} as const satisfies Section;

/** Where generated dashboards go in Grafana, and what they read. */
export const dashboardsSection = {
  title: 'Dashboards',
  settings: {
    dashboards: {
      folder: setting(text('<folder>'), {
        default: 'Gitaly',
        help: "Grafana's folder for the dashboards, in dashboards/provisioning.yaml and in an annotation of the ConfigMaps: the JSON of a dashboard cannot name it.",
      }),
      tag: optional(listOf(text('<tag>'), 'list of tags'), {
        unset: 'none',
        help: 'Tag of every dashboard in Grafana, in addition to gitaly-exporter, by which their menu finds them.',
        example: 'git-storage',
      }),
      datasource: optional(text('<uid>'), {
        unset: "Grafana's default Prometheus",
        help: 'uid of the data source that the dashboards select at first. Their variable offers the others.',
        example: 'prometheus-production',
      }),
    },
  },
} as const satisfies Section;

/** Thresholds that make sense only in an order: a warning before its page, a cause before its consequence. */
export function thresholdsRule({
  alerts,
}: ValuesOf<(typeof thresholdsSection)['settings']>): string | undefined {
  const values: Readonly<Record<string, number>> = alerts.threshold;
  const value = (name: AlertThresholdName): number => values[name] ?? alertThresholds[name].value;
  const found = firstConflict(value);
  if (found === undefined) return undefined;
  const { factor, lower, higher, why } = found;
  const shown = (name: AlertThresholdName): string =>
    `alerts.threshold.${kebab(name)} (${alertThresholds[name].unit === 'seconds' ? printSeconds(value(name)) : value(name)})`;
  const relation = factor === undefined ? 'lower than' : `at most 1/${factor} of`;
  return `${shown(lower)} must be ${relation} ${shown(higher)}, because ${why}`;
}
