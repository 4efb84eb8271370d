/** The example of docs/library.md: another program selects rules and writes them. */
import { expect, test } from '@jest/globals';
import { parse } from 'yaml';
import * as library from '../../alerts/library.ts';

test('the critical rules alone, with a threshold of its own, are a rules file', () => {
  const { alertGroups, defaultMonitoringSettings, rulesFile, withOverrides } = library;
  const settings = { ...defaultMonitoringSettings, thresholds: withOverrides({ databaseUnreachable: 300 }) };
  const rules = alertGroups(settings).flatMap((group) => {
    const critical = group.alerts.filter(({ severity }) => severity === 'critical');
    const file = parse(rulesFile({ ...group, alerts: critical }, settings)) as {
      groups: { rules: { alert?: string; for?: string; labels?: { severity?: string } }[] }[];
    };
    return file.groups.flatMap((each) => each.rules).filter(({ alert }) => alert !== undefined);
  });
  expect(new Set(rules.map(({ labels }) => labels?.severity))).toEqual(new Set(['critical']));
  expect(rules.find(({ alert }) => alert === 'PraefectDatabaseUnreachable')?.for).toBe('6m15s');
});

test('two thresholds in the wrong order are rejected with the reason', () => {
  expect(() => library.withOverrides({ storageUnhealthy: 600 })).toThrow(
    'threshold storageUnhealthy (600) must be lower than gitalyDown (300), because PraefectStorageUnhealthy must fire before',
  );
});
