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
import { collectorNames } from '../../src/sources/praefect/collector-names.ts';
import { testWith } from '../support/tools.ts';
import { type Firing, firingScenarios, readScenarios, secondsOf, writeReduced } from './scenario-files.ts';

/** Alerts on what happened within a range, or on a rate: they end with it, and docs/alerts.md names them. */
const endWithTheirRange: readonly string[] = [
  'GitalyContainerOOMKilled',
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
  for (const each of firingScenarios((severity) => severity === 'critical').filter(
    ({ alert }) => !endWithTheirRange.includes(alert),
  ))
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
