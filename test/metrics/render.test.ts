import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { expositionText } from '../../src/metrics/exposition.ts';
import { anyValue, counter, gauge, histogram } from '../../src/metrics/metric.ts';
import { type Block, createSamples, emptyBlock, single } from '../../src/metrics/samples.ts';
import { type Format, formatBound } from '../../src/metrics/syntax.ts';
import { anyText } from '../support/any-text.ts';
import { absent, example, jobs, jobsOf } from './example.ts';
import { parseExposition } from './parse-exposition.ts';
import { promtoolCheckMetrics, testWithPromtool } from './promtool.ts';

const formats: Format[] = ['text', 'openmetrics'];

describe('text 0.0.4', () => {
  test('renders the example as the golden text', () => {
    expect(expositionText([example()], 'text')).toBe(
      String.raw`# HELP praefect_db_replication_jobs Jobs in the replication queue.
# TYPE praefect_db_replication_jobs gauge
praefect_db_replication_jobs{virtual_storage="default",state="ready"} 12
praefect_db_replication_jobs{virtual_storage="default",state="failed"} 0
praefect_db_replication_jobs{virtual_storage="a \"quoted\"\\ back\nslash",state="ready"} 1e+21
praefect_db_replication_jobs{virtual_storage="Größe 日本 🦊",state="ready"} -0.5
# HELP praefect_db_longest_transaction_seconds Age of the oldest open transaction, "state" <> \\N.
# TYPE praefect_db_longest_transaction_seconds gauge
praefect_db_longest_transaction_seconds +Inf
# HELP gitaly_exporter_database_time_seconds_total Wall time of all queries.
# TYPE gitaly_exporter_database_time_seconds_total counter
gitaly_exporter_database_time_seconds_total 1234567.25
# HELP gitaly_server_concurrency_wait_seconds Time that calls waited in the queue.
# TYPE gitaly_server_concurrency_wait_seconds histogram
gitaly_server_concurrency_wait_seconds_bucket{grpc_method="PostUploadPack",le="5e-05"} 1
gitaly_server_concurrency_wait_seconds_bucket{grpc_method="PostUploadPack",le="0.25"} 2
gitaly_server_concurrency_wait_seconds_bucket{grpc_method="PostUploadPack",le="1"} 2
gitaly_server_concurrency_wait_seconds_bucket{grpc_method="PostUploadPack",le="2.5e+06"} 3
gitaly_server_concurrency_wait_seconds_bucket{grpc_method="PostUploadPack",le="+Inf"} 4
gitaly_server_concurrency_wait_seconds_sum{grpc_method="PostUploadPack"} 61.5
gitaly_server_concurrency_wait_seconds_count{grpc_method="PostUploadPack"} 4
`,
    );
  });

  testWithPromtool('promtool finds nothing in the example', () => {
    const text = expositionText([example()], 'text');
    expect(promtoolCheckMetrics(text)).toEqual({ status: 0, problems: '' });
  });
});

describe('OpenMetrics 1.0.0', () => {
  test('renders the example as the golden text', () => {
    expect(expositionText([example()], 'openmetrics')).toBe(
      String.raw`# TYPE praefect_db_replication_jobs gauge
# HELP praefect_db_replication_jobs Jobs in the replication queue.
praefect_db_replication_jobs{virtual_storage="default",state="ready"} 12
praefect_db_replication_jobs{virtual_storage="default",state="failed"} 0
praefect_db_replication_jobs{virtual_storage="a \"quoted\"\\ back\nslash",state="ready"} 1e+21
praefect_db_replication_jobs{virtual_storage="Größe 日本 🦊",state="ready"} -0.5
# TYPE praefect_db_longest_transaction_seconds gauge
# UNIT praefect_db_longest_transaction_seconds seconds
# HELP praefect_db_longest_transaction_seconds Age of the oldest open transaction, \"state\" <> \\N.
praefect_db_longest_transaction_seconds +Inf
# TYPE gitaly_exporter_database_time_seconds counter
# UNIT gitaly_exporter_database_time_seconds seconds
# HELP gitaly_exporter_database_time_seconds Wall time of all queries.
gitaly_exporter_database_time_seconds_total 1234567.25
# TYPE gitaly_server_concurrency_wait_seconds histogram
# UNIT gitaly_server_concurrency_wait_seconds seconds
# HELP gitaly_server_concurrency_wait_seconds Time that calls waited in the queue.
gitaly_server_concurrency_wait_seconds_bucket{grpc_method="PostUploadPack",le="5e-05"} 1
gitaly_server_concurrency_wait_seconds_bucket{grpc_method="PostUploadPack",le="0.25"} 2
gitaly_server_concurrency_wait_seconds_bucket{grpc_method="PostUploadPack",le="1.0"} 2
gitaly_server_concurrency_wait_seconds_bucket{grpc_method="PostUploadPack",le="2.5e+06"} 3
gitaly_server_concurrency_wait_seconds_bucket{grpc_method="PostUploadPack",le="+Inf"} 4
gitaly_server_concurrency_wait_seconds_sum{grpc_method="PostUploadPack"} 61.5
gitaly_server_concurrency_wait_seconds_count{grpc_method="PostUploadPack"} 4
# EOF
`,
    );
  });

  test.each([
    [0, '0.0', '0'],
    [0.001, '0.001', '0.001'],
    [0.95, '0.95', '0.95'],
    [1, '1.0', '1'],
    [10, '10.0', '10'],
    [1e-10, '1e-10', '1e-10'],
    [1e-9, '1e-09', '1e-09'],
    [1e-5, '1e-05', '1e-05'],
    [0.0001, '0.0001', '0.0001'],
    [100000, '100000.0', '100000'],
    [1e6, '1e+06', '1e+06'],
    [1234567, '1.234567e+06', '1.234567e+06'],
    [-2.5, '-2.5', '-2.5'],
    [1e100, '1e+100', '1e+100'],
    [Number.POSITIVE_INFINITY, '+Inf', '+Inf'],
  ])('renders the bound %d in canonical form: %s', (bound, openmetrics, text) => {
    expect(formatBound(bound, 'openmetrics')).toBe(openmetrics);
    expect(formatBound(bound, 'text')).toBe(text);
  });

  test('has no unit line where the name does not end in a unit', () => {
    const odd = gauge('seconds_left', { help: 'Odd.', origin: 'here' });
    expect(expositionText([{ families: [single(odd, 1)] }], 'openmetrics')).not.toContain('UNIT');
  });
});

describe.each(formats)('in format %s', (format) => {
  const end = format === 'text' ? '' : '# EOF\n';
  const parsed = (...blocks: Block[]) => parseExposition(expositionText(blocks, format), format);

  test('the example passes the strict parser', () => {
    expect(parsed(example()).map(({ samples }) => samples.length)).toEqual([4, 1, 1, 7]);
  });

  test('no blocks, and families without samples, are rendered as nothing', () => {
    expect(expositionText([], format)).toBe(end);
    expect(expositionText([emptyBlock, { families: [single(absent, undefined)] }], format)).toBe(end);
  });

  test('a family in several blocks, and twice in one, becomes one family', () => {
    const up = gauge('up_here', { help: 'Up.', origin: 'here' });
    const families = parsed(
      { families: [jobsOf('a', 1), single(up, 1), jobsOf('b', 2)] },
      { families: [jobsOf('c', 3)] },
      emptyBlock,
    );
    expect(families.map(({ name, samples }) => [name, samples.map(({ value }) => value)])).toEqual([
      ['praefect_db_replication_jobs', [1, 2, 3]],
      ['up_here', [1]],
    ]);
  });

  test('lone surrogates become valid UTF-8', () => {
    const block = {
      families: [{ metric: jobs, samples: [{ labelValues: ['a\ud800b', 'ready'], value: 1 }] }],
    };
    expect(parsed(block)[0]?.samples[0]?.labels.get('virtual_storage')).toBe('a\ufffdb');
  });

  test('a value that is not a number is rendered as NaN, so that an internal error of one collector does not fail the scrape', () => {
    const values = [undefined, null, '12', {}, Number.NaN] as number[];
    for (const value of values) {
      const block = { families: [{ metric: jobs, samples: [{ labelValues: ['a', 'ready'], value }] }] };
      expect(parsed(block)[0]?.samples[0]?.value).toBeNaN();
    }
  });

  test('a label value that is not a string does not fail the scrape', () => {
    const labelValues = [undefined, 7] as unknown as string[];
    const samples = [
      { labelValues, value: 1 },
      { labelValues: ['"', 'ready'], value: 2 },
    ];
    const [family] = parsed({ families: [{ metric: jobs, samples }] });
    expect(family?.samples.map(({ labels }) => [...labels.values()])).toEqual([
      ['', '7'],
      ['"', 'ready'],
    ]);
  });

  test('any help, label values and floats are read back unchanged', () => {
    const text = anyText();
    const nasty = fc.oneof(
      text,
      fc.string({ unit: fc.constantFrom('\\', '"', '\n', 'n', '}', ',', '=', ' ') }),
    );
    const float = fc.double({ noNaN: true }).map((value) => value + 0);
    fc.assert(
      fc.property(
        nasty.map((help) => `Help ${help}.`),
        fc.array(fc.tuple(fc.tuple(nasty, nasty), float), { minLength: 1 }),
        (help, series) => {
          const metric = gauge('some_metric', {
            help,
            origin: 'x',
            labels: { first: anyValue, second: anyValue },
          });
          const unique = [
            ...new Map(
              series.map(([labels, value]) => [JSON.stringify(labels), [labels, value] as const]),
            ).values(),
          ];
          const samples = unique.map(([labelValues, value]) => ({ labelValues, value }));
          const [family] = parsed({ families: [{ metric, samples }] });
          expect(family?.help).toBe(help);
          expect(
            family?.samples.map(({ labels, value }) => ({ labelValues: [...labels.values()], value })),
          ).toEqual(samples);
        },
      ),
    );
  });

  test('any histogram is read back unchanged', () => {
    const metric = histogram('some_seconds', {
      help: 'H.',
      origin: 'x',
      labels: { a: anyValue },
    });
    const bounds = fc.uniqueArray(
      fc.double({ noNaN: true, noDefaultInfinity: true }).map((le) => le + 0),
      { maxLength: 5 },
    );
    fc.assert(
      fc.property(fc.string(), bounds, fc.nat(), (label, unsorted, each) => {
        const finite = unsorted.sort((a, b) => a - b);
        const buckets = [...finite, Number.POSITIVE_INFINITY].map((le, i) => ({ le, count: each * (i + 1) }));
        const count = buckets.at(-1)!.count;
        const [family] = parsed({
          families: [{ metric, histograms: [{ labelValues: [label], buckets, sum: 0.5, count }] }],
        });
        const lines = family!.samples.filter(({ name }) => name === 'some_seconds_bucket');
        expect(
          lines.map(({ labels, value }) => ({
            le: Number(labels.get('le')!.replace('+Inf', 'Infinity')),
            count: value,
          })),
        ).toEqual(buckets);
        expect(lines[0]!.labels.get('a')).toBe(label);
      }),
    );
  });

  test('text of many batches is complete', () => {
    const metric = counter('many_total', { help: 'Many.', origin: 'x', labels: { i: anyValue } });
    const samples = createSamples();
    for (let i = 0; i < 5000; i++) samples.set(metric, { i: `number ${i}` }, i);
    const [many] = parsed({ families: samples.families() });
    expect(many?.samples.map(({ value }) => value)).toEqual(Array.from({ length: 5000 }, (_, i) => i));
  });
});
