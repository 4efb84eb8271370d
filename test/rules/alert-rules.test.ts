/** The table of alert rules, the rules files, and the kinds of problems name the same alerts. */
import { describe, expect, test } from '@jest/globals';
import { alertGroups } from '../../alerts/index.ts';
import { defaultMonitoringSettings } from '../../src/monitoring/settings.ts';
import { alertRule, alertRules, forSeconds } from '../../src/rules/alert-rules.ts';
import { problemKinds } from '../../src/rules/problems/problem.ts';
import { defaultThresholds, withOverrides } from '../../src/rules/thresholds.ts';

const ruleKey = ({ name, severity }: { readonly name: string; readonly severity: string }): string =>
  `${name} ${severity}`;
const kinds = Object.entries(problemKinds);

describe('the table of alert rules', () => {
  const doubled = Object.fromEntries(
    Object.entries(defaultThresholds).map(([name, { value }]) => [
      name,
      name === 'scrapeInterval' ? value * 2 : value,
    ]),
  );
  test.each([
    ['the defaults', defaultThresholds],
    ['another scrape interval', withOverrides(doubled)],
  ])('has every rule of the rules files with its severity and `for`, with %s', (_, thresholds) => {
    const inFiles = alertGroups({ ...defaultMonitoringSettings, thresholds }).flatMap(({ alerts }) =>
      alerts.map((alert) => [ruleKey(alert), alert.forSeconds] as const),
    );
    expect(
      Object.fromEntries(alertRules.map((rule) => [ruleKey(rule), forSeconds(rule, thresholds)])),
    ).toEqual(Object.fromEntries(inFiles));
  });

  test('marks the rules that maintenance windows suppress', () => {
    const suppressed = alertGroups(defaultMonitoringSettings).flatMap(({ alerts }) =>
      alerts
        .filter(({ expression }) => /gitaly:(?:server_)?maintenance:active/.test(expression.text))
        .map(ruleKey),
    );
    expect(
      alertRules
        .filter((rule) => 'isSuppressed' in rule)
        .map(ruleKey)
        .sort(),
    ).toEqual(suppressed.sort());
  });

  test('gives a reason for each rule without a problem, and only for those', () => {
    const named = new Set(
      kinds.flatMap(([, kind]) => ('alert' in kind ? [`${kind.alert} ${kind.severity}`] : [])),
    );
    const withoutProblem = alertRules.filter((rule) => !named.has(ruleKey(rule)));
    expect(alertRules.filter((rule) => 'noProblem' in rule).map(ruleKey)).toEqual(
      withoutProblem.map(ruleKey),
    );
  });
});

describe('every kind of problem', () => {
  test.each(kinds)('%s has the severity of its alert, or is at most a warning', (_, kind) => {
    if ('alert' in kind) expect(alertRule(kind.alert, kind.severity)).toBeDefined();
    else expect(kind.severity).not.toBe('critical');
  });
});
