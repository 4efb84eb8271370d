/** The alert rules that the page and the rules files share, and the kinds of problems that refer to them. */
import { describe, expect, test } from '@jest/globals';
import { alertGroups } from '../../alerts/index.ts';
import { defaultMonitoringSettings } from '../../src/monitoring/settings.ts';
import { type AlertName, alertRule, alertRules } from '../../src/rules/alert-rules.ts';
import { problemKinds, severityOf } from '../../src/rules/problems/problem.ts';

const alerts = alertGroups(defaultMonitoringSettings).flatMap((group) => group.alerts);
const names = Object.keys(alertRules) as AlertName[];
const kinds = Object.entries(problemKinds);

describe('an alert rule that the page shares', () => {
  test.each(names)('%s belongs to one alert, which has its severity and duration', (name) => {
    expect(alerts.filter((alert) => alert.name === name)).toMatchObject([
      { severity: alertRule(name).severity, noProblem: undefined },
    ]);
  });

  test.each(names)('%s is suppressed by maintenance windows if its expression is', (name) => {
    const text = alerts.find((alert) => alert.name === name)?.expression.text;
    expect(/gitaly:(?:server_)?maintenance:active/.test(text ?? '')).toBe(
      alertRule(name).isSuppressed === true,
    );
  });

  test.each(names)('%s has a problem', (name) => {
    expect(kinds.filter(([, kind]) => 'alert' in kind && kind.alert === name)).not.toEqual([]);
  });
});

test('every other alert states why it has no problem', () => {
  const shared = new Set<string>(names);
  for (const { name, noProblem } of alerts)
    expect({ name, noProblem: noProblem ?? '' }).toEqual({
      name,
      noProblem: shared.has(name) ? '' : expect.stringMatching(/./),
    });
});

test.each(kinds)('a problem of kind %s has an alert, or is at most a warning', (id, kind) => {
  if (!('alert' in kind)) expect(severityOf(id as keyof typeof problemKinds)).not.toBe('critical');
});
