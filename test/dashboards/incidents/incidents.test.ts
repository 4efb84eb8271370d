/**
 * The queries of panels in a real Prometheus with moments of recorded incidents: each incident is visible in
 * its panels.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { createBlocks, startPrometheus, type TestPrometheus } from '../../support/prometheus.ts';
import { selectorsIn } from '../../support/promql.ts';
import { hasTool, testWith } from '../../support/tools.ts';
import { emptyInHealthyHour } from '../empty-in-healthy-hour.ts';
import { annotationQueries, everyQuery, filledIn } from '../queries.ts';
import { isOfPrometheus, recordedMetrics } from '../support.ts';
import { openMetrics, readMoments } from './moments.ts';
import { shownInIncidents } from './shown.ts';

jest.setTimeout(60_000);

const recorded = readMoments();
const expressions = new Map([...everyQuery, ...annotationQueries].map(({ expr, name }) => [name, expr]));

let folder: string;
let prometheus: TestPrometheus | undefined;

beforeAll(async () => {
  if (!hasTool('prometheus')) return;
  folder = await mkdtemp(join(tmpdir(), 'gitaly-exporter-incidents-'));
  await createBlocks(folder, openMetrics(recorded));
  prometheus = await startPrometheus(folder, {});
});

afterAll(async () => {
  await prometheus?.stop();
  if (folder !== undefined) await rm(folder, { recursive: true, force: true });
});

test('every recorded incident has panels that show it', () => {
  expect(recorded.map(({ incident }) => incident).sort()).toEqual(Object.keys(shownInIncidents).sort());
});

test('every query that is empty in a healthy hour shows some incident', () => {
  const shown = new Set(
    Object.values(shownInIncidents).flatMap((of) =>
      of.map((each) => (typeof each === 'string' ? each : each[0])),
    ),
  );
  const isByRules = (name: string): boolean =>
    selectorsIn(expressions.get(name)!).some(
      ({ metric }) => isOfPrometheus(metric) || recordedMetrics.has(metric),
    );
  for (const reason of ['nothing is wrong', 'nothing happens at this moment'])
    expect(emptyInHealthyHour[reason]!.filter((name) => !shown.has(name) && !isByRules(name))).toEqual([]);
});

for (const { incident, times } of recorded)
  testWith('promtool')(`the panels show the incident ${incident}`, async () => {
    const [, , middle = 0, , end = 0] = times;
    for (const each of shownInIncidents[incident] ?? []) {
      const [name, condition] = typeof each === 'string' ? [each, ''] : each;
      const expression = filledIn(expressions.get(name) ?? `no query is named "${name}"`, {
        cluster: incident,
        rateInterval: '1m',
        range: '1h',
        step: '1m',
      });
      const counts = await Promise.all(
        [middle, end].map((at) =>
          prometheus?.count(condition === '' ? expression : `(${expression}) ${condition}`, at),
        ),
      );
      expect({
        incident,
        name,
        condition,
        isShown: Math.max(...counts.map((count) => count ?? 0)) > 0,
      }).toEqual({
        ...{ incident, name, condition, isShown: true },
      });
    }
  });
