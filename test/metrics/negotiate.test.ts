import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { negotiateEncoding, negotiateFormat } from '../../src/metrics/negotiate.ts';

const text = 'text/plain; version=0.0.4; charset=utf-8';
const openMetrics = 'application/openmetrics-text; version=1.0.0; charset=utf-8';

describe('the format', () => {
  test.each([
    ['no header', undefined, text],
    ['an empty header', '', text],
    ['curl', '*/*', text],
    [
      'a browser',
      'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8',
      text,
    ],
    [
      'Prometheus 2.5 to 2.22, which supports OpenMetrics 0.0.1 only',
      'application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1',
      text,
    ],
    [
      'Prometheus 2.42',
      'application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1',
      openMetrics,
    ],
    [
      'Prometheus 2.55 with native histograms, which prefers protobuf',
      'application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2',
      openMetrics,
    ],
    [
      'Prometheus 3',
      'application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2',
      `${openMetrics}; escaping=allow-utf-8`,
    ],
    [
      'Prometheus 3 with metric_name_escaping_scheme: dots',
      'application/openmetrics-text;version=1.0.0;escaping=dots;q=0.6,*/*;q=0.2',
      `${openMetrics}; escaping=underscores`,
    ],
    [
      'Prometheus 3 with scrape_protocols for text only',
      'text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1',
      text,
    ],
    ['a higher weight for text', 'application/openmetrics-text;version=1.0.0;q=0.2,text/plain;q=0.7', text],
    ['OpenMetrics without a version', 'application/openmetrics-text', openMetrics],
    ['OpenMetrics of a later version only', 'application/openmetrics-text;version=2.0.0', text],
    ['OpenMetrics rejected', 'application/openmetrics-text;q=0, */*', text],
    [
      'capitals, spaces and quotes',
      ' Application/OpenMetrics-Text ; Version="1.0.0" ; Q=1.000 ',
      openMetrics,
    ],
    ['an unreadable weight', 'application/openmetrics-text;version=1.0.0;q=high', text],
    [
      'an unknown escaping',
      'application/openmetrics-text;escaping=%0d%0aX: y',
      `${openMetrics}; escaping=underscores`,
    ],
    ['garbage', ';;,=;q=,,*/,\u0000', text],
    ['another content type', 'image/png', text],
  ])('for %s is negotiated', (_who, accept, contentType) => {
    expect(negotiateFormat(accept).contentType).toBe(contentType);
    expect(negotiateFormat(accept).format).toBe(contentType === text ? 'text' : 'openmetrics');
  });

  test('is one of five content types for any header', () => {
    const word = fc.constantFrom(
      'application/openmetrics-text',
      'text/plain',
      '*/*',
      ';',
      ',',
      '=',
      'q',
      'version',
      '1.0.0',
      '0.5',
      'escaping',
      'values',
      '"',
      ' ',
    );
    const known = [
      text,
      openMetrics,
      ...['allow-utf-8', 'underscores', 'values'].map((escaping) => `${openMetrics}; escaping=${escaping}`),
    ];
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(word).map((words) => words.join('')),
        ),
        (accept) => {
          expect(known).toContain(negotiateFormat(accept).contentType);
        },
      ),
    );
  });
});

test.each([
  ['no header', undefined, 'identity'],
  ['Prometheus', 'gzip', 'gzip'],
  ['Prometheus with enable_compression: false', 'identity', 'identity'],
  ['curl --compressed', 'deflate, gzip, br, zstd', 'gzip'],
  ['anything', '*', 'gzip'],
  ['gzip rejected', 'gzip;q=0', 'identity'],
  ['gzip rejected, any other accepted', 'gzip;q=0, *;q=0.5', 'identity'],
  ['a higher weight for identity', 'gzip;q=0.5, identity', 'identity'],
  ['only unsupported encodings', 'br', 'identity'],
])('the compression for %s', (_who, acceptEncoding, encoding) => {
  expect(negotiateEncoding(acceptEncoding)).toBe(encoding);
});
