/** When the alerts of a replay begin, fire and end. */
import { expect, jest, test } from '@jest/globals';
import { alertIntervals, intervalsOf } from '../../replay/intervals.ts';
import type { AlertInstance, AlertsAt } from '../../replay/promtool.ts';
import { readRecording } from '../../replay/recording.ts';
import { isTime } from '../../replay/series.ts';
import { testWith } from '../support/tools.ts';

jest.setTimeout(120_000); // two evaluations by promtool

const instance = (name: string, state: AlertInstance['state']): AlertInstance => ({
  ...{ name, state, severity: 'critical' },
  labels: new Map([
    ['alertname', name],
    ['alertstate', state],
  ]),
});

const at = (time: number, ...alerts: readonly AlertInstance[]): AlertsAt => ({ time, alerts });

test('an alert is pending, fires, and ends at the first evaluation without it', () => {
  const found = intervalsOf([
    at(0),
    at(15, instance('A', 'pending')),
    at(30, instance('A', 'firing')),
    at(45, instance('A', 'firing')),
    at(60),
  ]);
  expect(found).toEqual([
    { name: 'A', severity: 'critical', labels: { alertname: 'A' }, pendingAt: 15, firingAt: 30, endedAt: 60 },
  ]);
});

test('an alert that ends while pending has not fired, and one that exists at the end has not ended', () => {
  const found = intervalsOf([at(0, instance('A', 'pending')), at(15, instance('B', 'firing'))]);
  expect(found.map(({ name, firingAt, endedAt }) => ({ name, firingAt, endedAt }))).toEqual([
    { name: 'A', firingAt: undefined, endedAt: 15 },
    { name: 'B', firingAt: 15, endedAt: undefined },
  ]);
});

test('an alert that returns is a second interval', () => {
  const found = intervalsOf([at(0, instance('A', 'firing')), at(15), at(30, instance('A', 'firing'))]);
  expect(found.map(({ pendingAt, endedAt }) => [pendingAt, endedAt])).toEqual([
    [0, 15],
    [30, undefined],
  ]);
});

testWith('promtool')('an alert that fires across two parts of a recording is one interval', async () => {
  const recording = readRecording('captured-database');
  const [whole, inParts] = await Promise.all([
    alertIntervals(recording),
    // 360 steps with the hour of history. The alert is pending when the second part begins.
    alertIntervals(recording, { longestSteps: 306 }),
  ]);
  expect(whole.map(({ name }) => name)).toContain('PraefectDatabaseReadOnly');
  expect(inParts).toEqual(whole);
});

test('the clock of the exporter is a timestamp, and moves with a replay', () => {
  expect(isTime('gitaly_exporter_time_seconds{job="gitaly-exporter"}')).toBe(true);
  expect(isTime('gitaly_server_pod_rotation_seconds{phase="total"}')).toBe(false);
});
