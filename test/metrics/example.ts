/** A block with everything that the two formats treat differently. */
import { anyValue, counter, gauge, histogram } from '../../src/metrics/metric.ts';
import { type Block, type Family, single } from '../../src/metrics/samples.ts';

export const jobs = gauge('praefect_db_replication_jobs', {
  labels: { virtual_storage: anyValue, state: ['ready', 'in_progress', 'failed'] },
  help: 'Jobs in the replication queue.',
  origin: 'replication_queue.state',
});

export const age = gauge('praefect_db_longest_transaction_seconds', {
  help: 'Age of the oldest open transaction, "state" <> \\N.',
  origin: 'pg_stat_activity.xact_start, "state" <> \\N',
});

export const spent = counter('gitaly_exporter_database_time_seconds_total', {
  help: 'Wall time of all queries.',
  origin: 'the exporter',
});

export const waits = histogram('gitaly_server_concurrency_wait_seconds', {
  labels: { grpc_method: anyValue },
  help: 'Time that calls waited in the queue.',
  origin: 'gitaly_concurrency_limiting_acquiring_seconds',
});

export const absent = gauge('praefect_db_clock_skew_seconds', {
  help: 'Never present.',
  origin: 'now()',
});

export const exampleMetrics = [jobs, age, spent, waits, absent];

export const jobsOf = (virtualStorage: string, value: number): Family => ({
  metric: jobs,
  samples: [{ labelValues: [virtualStorage, 'ready'], value }],
});

export const example = (): Block => ({
  families: [
    {
      metric: jobs,
      samples: [
        { labelValues: ['default', 'ready'], value: 12 },
        { labelValues: ['default', 'failed'], value: 0 },
        { labelValues: ['a "quoted"\\ back\nslash', 'ready'], value: 1e21 },
        { labelValues: ['Größe 日本 🦊', 'ready'], value: -0.5 },
      ],
    },
    single(absent, undefined),
    single(age, Number.POSITIVE_INFINITY),
    single(spent, 1234567.25),
    {
      metric: waits,
      histograms: [
        {
          labelValues: ['PostUploadPack'],
          buckets: [
            { le: 0.00005, count: 1 },
            { le: 0.25, count: 2 },
            { le: 1, count: 2 },
            { le: 2500000, count: 3 },
            { le: Number.POSITIVE_INFINITY, count: 4 },
          ],
          sum: 61.5,
          count: 4,
        },
      ],
    },
  ],
});
