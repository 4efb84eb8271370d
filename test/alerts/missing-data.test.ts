/**
 * Missing data resolves no page: of every critical alert a scenario in which it fires goes on without any series, as when
 * no exporter is scraped any more, and the alert still fires when keep_firing_for has passed.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, describe, expect } from '@jest/globals';
import { parseDuration } from '../../src/lib/format.ts';
import { collectorNames } from '../../src/sources/praefect/collector-names.ts';
import { testWith } from '../support/tools.ts';
import { readScenarios, type Scenario, scenarioFiles, writeReduced } from './scenario-files.ts';

/** Alerts on what happened within a range, or on a rate: they end with it, and docs/alerts.md names them. */
const endWithTheirRange: readonly string[] = [
  'GitalyErrorBudgetBurn',
  'GitalyGitParentOOM',
  'GitalyOOMKilledRepeatedly',
  'GitalyRequestsDroppedQueueFull',
  'PraefectFailover',
  'PraefectRepositoryCountDrop',
  'PraefectStorageFlapping',
];

const scratch = mkdtempSync(join(tmpdir(), 'missing-data-'));
afterAll(() => rmSync(scratch, { recursive: true }));

const secondsOf = (duration: string): number => (parseDuration(duration) ?? 0) / 1000;

/** Values in promtool's notation (`0x10`, `1+2x5`, `_x3`), as one each. */
function expanded(values: string): readonly string[] {
  return values.split(' ').flatMap((part) => {
    const [, start = part, sign = '+', step = '0', count = ''] =
      /^(_|-?[\d.e]+)(?:([+-])([\d.e]+))?x(\d+)$/.exec(part) ?? [];
    if (count === '') return [part];
    if (start === '_') return Array.from({ length: Number(count) }, () => '_');
    return Array.from({ length: Number(count) + 1 }, (_, index) =>
      String(Number(start) + (sign === '-' ? -1 : 1) * index * Number(step)),
    );
  });
}

interface Firing {
  readonly file: string;
  readonly alert: string;
  readonly scenario: Scenario;
  readonly at: number;
}

/** The first scenario of each alert in which it fires as critical. */
const firing = scenarioFiles
  .flatMap((file) =>
    readScenarios(file).tests.flatMap((scenario) =>
      (scenario.alert_rule_test ?? []).flatMap(({ alertname, eval_time, exp_alerts = [] }): Firing[] =>
        exp_alerts.some(({ exp_labels }) => exp_labels['severity'] === 'critical')
          ? [{ file, alert: alertname, scenario, at: secondsOf(eval_time) }]
          : [],
      ),
    ),
  )
  .filter(({ alert }, index, all) => all.findIndex((each) => each.alert === alert) === index);

function withoutSeriesAfter({ alert, at, file, scenario }: Firing): string {
  const step = secondsOf(scenario.interval);
  const kept = Math.floor(at / step) + 1;
  const later = at + 1200;
  const { alert_rule_test: _, ...rest } = scenario;
  const expr = `count(ALERTS{alertname="${alert}", alertstate="firing", severity="critical"}) > bool 0`;
  return writeReduced(scratch, file, {
    ...readScenarios(file),
    tests: [
      {
        ...rest,
        input_series: [
          ...scenario.input_series.map(({ series, values }) => ({
            series,
            values: expanded(values).slice(0, kept).join(' '),
          })),
          // What each exporter reports of itself.
          ...Object.values(collectorNames).map((collector) => ({
            series: `gitaly_exporter_collector_success{job="e",instance="a",collector="${collector}"}`,
            values: `1x${kept - 1}`,
          })),
        ],
        promql_expr_test: [at, later].map((time) => ({
          expr,
          eval_time: `${time}s`,
          exp_samples: [{ labels: '{}', value: 1 }],
        })),
      },
    ],
  });
}

describe('without any series, as when no exporter is scraped', () => {
  for (const each of firing.filter(({ alert }) => !endWithTheirRange.includes(alert)))
    testWith('promtool')(
      `${each.alert} still fires`,
      async () => {
        const path = withoutSeriesAfter(each);
        const { stdout } = await promisify(execFile)('promtool', ['test', 'rules', path]);
        expect(stdout).toContain('SUCCESS');
      },
      120_000,
    );
});
