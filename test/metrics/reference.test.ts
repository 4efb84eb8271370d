import { expect, test } from '@jest/globals';
import { anyValue, gauge } from '../../src/metrics/metric.ts';
import { metricsReference } from '../../src/metrics/reference.ts';
import { absent, jobs, spent } from './example.ts';

test('the reference has a section for each collector and a row for each metric', () => {
  const reference = metricsReference([
    { title: "Praefect's database: jobs", text: 'From the replication queue.', metrics: [jobs, spent] },
    { title: 'Nothing here', metrics: [] },
    { title: 'Clock', metrics: [absent] },
  ]);
  expect(reference.slice(reference.indexOf('\n- ['))).toBe(`
- [Praefect's database: jobs](#praefects-database-jobs), 2 metrics
- [Clock](#clock), 1 metric

## Praefect's database: jobs

From the replication queue.

| Metric | Type | Unit | Labels | Description | Origin |
| --- | --- | --- | --- | --- | --- |
| \`praefect_db_replication_jobs\` | gauge |  | \`virtual_storage\`<br>\`state\`: \`ready\`, \`in_progress\`, \`failed\` | Jobs in the replication queue. | replication_queue.state |
| \`gitaly_exporter_database_time_seconds_total\` | counter | seconds |  | Wall time of all queries. | the exporter |

## Clock

| Metric | Type | Unit | Labels | Description | Origin |
| --- | --- | --- | --- | --- | --- |
| \`praefect_db_clock_skew_seconds\` | gauge | seconds |  | Never present. | now() |
`);
});

test('markup in a cell is escaped', () => {
  const metric = gauge('x', {
    help: 'Of a | b, *.git, <none>, [x].',
    origin: '`a`',
    labels: { 'a|b': anyValue },
  });
  expect(metricsReference([{ title: 'X', metrics: [metric] }])).toContain(
    '| `x` | gauge |  | `a\\|b` | Of a \\| b, \\*.git, \\<none>, \\[x\\]. | \\`a\\` |',
  );
});
