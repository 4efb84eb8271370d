import { expect, test } from '@jest/globals';
import type { Format } from '../../src/metrics/syntax.ts';
import { parseExposition } from './parse-exposition.ts';

const gauge = '# TYPE a gauge\n# HELP a A.\na 1\n';
const buckets = (lines: string) => `# TYPE h histogram\n# HELP h H.\n${lines}# EOF\n`;

test.each<[string, Format, string]>([
  ['no end', 'openmetrics', gauge],
  ['text after the end', 'openmetrics', `${gauge}# EOF\n\n`],
  ['an empty line', 'openmetrics', `${gauge}\n# EOF\n`],
  ['no line feed at the end', 'text', '# HELP a A.\n# TYPE a gauge\na 1'],
  ['the order of the other format', 'text', gauge],
  ['a comment', 'openmetrics', `# a is the first letter\n${gauge}# EOF\n`],
  ['a sample without metadata', 'openmetrics', 'a 1\n# EOF\n'],
  ['a family without samples', 'openmetrics', '# TYPE a gauge\n# HELP a A.\n# EOF\n'],
  ['a sample of another family', 'openmetrics', `${gauge}b 1\n# EOF\n`],
  ['a family in two places', 'openmetrics', `${gauge}# TYPE b gauge\n# HELP b B.\nb 1\n${gauge}# EOF\n`],
  ['a series twice', 'openmetrics', `${gauge}a 1\n# EOF\n`],
  [
    'a unit that the name has not',
    'openmetrics',
    '# TYPE a gauge\n# UNIT a bytes\n# HELP a A.\na 1\n# EOF\n',
  ],
  ['a counter without _total', 'openmetrics', '# TYPE a counter\n# HELP a A.\na 1\n# EOF\n'],
  [
    'a counter whose family has _total',
    'openmetrics',
    '# TYPE a_total counter\n# HELP a_total A.\na_total 1\n# EOF\n',
  ],
  ['a value that is not a number', 'openmetrics', '# TYPE a gauge\n# HELP a A.\na undefined\n# EOF\n'],
  ['an unknown escape', 'openmetrics', '# TYPE a gauge\n# HELP a A.\na{b="\\t"} 1\n# EOF\n'],
  ['a quote that is not escaped', 'openmetrics', '# TYPE a gauge\n# HELP a A.\na{b="c"d"} 1\n# EOF\n'],
  ['a label twice', 'openmetrics', '# TYPE a gauge\n# HELP a A.\na{b="c",b="d"} 1\n# EOF\n'],
  ['a histogram without +Inf', 'openmetrics', buckets('h_bucket{le="1.0"} 1\nh_sum 1\nh_count 1\n')],
  [
    'buckets that fall',
    'openmetrics',
    buckets('h_bucket{le="1.0"} 2\nh_bucket{le="+Inf"} 1\nh_sum 1\nh_count 1\n'),
  ],
  ['a count that is not +Inf', 'openmetrics', buckets('h_bucket{le="+Inf"} 1\nh_sum 1\nh_count 2\n')],
  [
    'a bound that is no float',
    'openmetrics',
    buckets('h_bucket{le="1"} 1\nh_bucket{le="+Inf"} 1\nh_sum 1\nh_count 1\n'),
  ],
])('the strict parser rejects %s', (_what, format, exposition) => {
  expect(() => parseExposition(exposition, format)).toThrow();
});

test('the strict parser reads valid text', () => {
  expect(parseExposition(`${gauge}# EOF\n`, 'openmetrics')).toEqual([
    { name: 'a', type: 'gauge', help: 'A.', samples: [{ name: 'a', labels: new Map(), value: 1 }] },
  ]);
});
