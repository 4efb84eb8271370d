/** The example of docs/library.md: a custom dashboard from the exported builders. */
import { expect, test } from '@jest/globals';
import * as library from '../../dashboards/library.ts';
import * as core from '../../src/index.ts';
import type { DashboardJson } from './support.ts';

test('a dashboard for a metric of another program has its variables, annotations and panel', () => {
  const { promql } = library;
  const mirrorLag = core.gauge('my_mirror_lag_seconds', {
    help: 'Time since the mirror was last updated.',
    origin: 'the mirror job',
    labels: { virtual_storage: core.anyValue },
  });
  const { json } = library.buildDashboard(library.defaultMonitoringSettings, {
    name: 'mirrors',
    uid: 'my-mirrors',
    title: 'Mirrors',
    description: 'Whether the mirrors are current.',
    scope: 'praefect',
    rows: [
      {
        id: 101,
        title: 'Overview',
        panels: [
          library.timeseries({
            id: 1,
            title: 'Mirror lag',
            description: 'Time since each mirror was last updated.',
            unit: 's',
            queries: [
              {
                expression: promql.maxBy(['virtual_storage'], library.praefectGauge(mirrorLag)),
                legend: '{{virtual_storage}}',
              },
            ],
            threshold: 3600,
            noValue: 'no mirror is configured',
            width: 24,
          }),
        ],
      },
    ],
  });
  const dashboard = JSON.parse(json) as DashboardJson;
  expect(dashboard).toMatchObject({ uid: 'my-mirrors', schemaVersion: 39 });
  expect(dashboard.panels.map(({ title, type }) => [type, title])).toEqual([
    ['row', 'Overview'],
    ['timeseries', 'Mirror lag'],
  ]);
  expect(dashboard.panels[1]?.targets?.[0]?.expr).toContain('my_mirror_lag_seconds{cluster=~"$cluster"');
});
