/** Two exporters for one cluster count once: where both report the same, as many alerts fire as with one of them. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, describe, expect } from '@jest/globals';
import { testWith } from '../support/tools.ts';
import { type Firing, firingScenarios, readScenarios, writeReduced } from './scenario-files.ts';

const scratch = mkdtempSync(join(tmpdir(), 'two-exporters-'));
afterAll(() => rmSync(scratch, { recursive: true }));

/** What exporters report; the others are of the kubelet, node_exporter, Gitaly and Prometheus. */
const ofExporters = /^(praefect_db|gitaly_server|gitaly_storage|gitaly_exporter)_/;
/** Alerts on one exporter: two that fail are two. */
const ofOneExporter = /^GitalyExporter/;

/** @param secondOf the labels of the same series as another target has it, or the same target under other labels */
function reportedTwice(
  { alert, at, count, file, scenario }: Firing,
  secondOf: (series: string) => string,
): string {
  const { alert_rule_test: _, ...rest } = scenario;
  return writeReduced(scratch, file, {
    ...readScenarios(file),
    tests: [
      {
        ...rest,
        input_series: scenario.input_series.flatMap((each) => {
          const second = secondOf(each.series);
          const isSeen = !ofExporters.test(each.series) || second === each.series;
          return isSeen || scenario.input_series.some(({ series }) => series === second)
            ? [each]
            : [each, { ...each, series: second }];
        }),
        promql_expr_test: [
          {
            expr: `count(ALERTS{alertname="${alert}", alertstate="firing"})`,
            eval_time: `${at}s`,
            exp_samples: [{ labels: '{}', value: count }],
          },
        ],
      },
    ],
  });
}

const anotherExporter = (series: string): string =>
  series.replace(/instance="[^"]*"/, 'instance="another-exporter"');
const sameUnderOtherLabels = (series: string): string =>
  /instance="/.test(series) ? series.replace(/\}$/, ',endpoint="another"}') : series;

describe.each([
  ['with two exporters that report the same', anotherExporter, ofOneExporter],
  ['with an exporter that Prometheus finds by two services', sameUnderOtherLabels, /^$/],
] as const)('%s', (_, secondOf, excluded) => {
  for (const each of firingScenarios(() => true).filter(({ alert }) => !excluded.test(alert)))
    testWith('promtool')(
      `${each.alert} fires as often as with one`,
      async () => {
        const path = reportedTwice(each, secondOf);
        const { stdout } = await promisify(execFile)('promtool', ['test', 'rules', path]);
        expect(stdout).toContain('SUCCESS');
      },
      120_000,
    );
});
