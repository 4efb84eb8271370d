/** The parser of Prometheus' text format: what it keeps, what it rejects, and properties for any input. */
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createTextParser, isTextProblem, maxLineBytes } from '../../../src/sources/gitaly/parser.ts';

const wanted = new Set(['up', 'queued', 'wait_seconds_bucket', 'wait_seconds_sum']);

/** The samples as `name{label=value} number`, or the problem. `pieces`: the number of bytes in each chunk. */
function parse(
  text: string | Uint8Array,
  pieces: readonly number[] = [],
  maxSamples = 100,
): string[] | string {
  const parser = createTextParser({ wanted, maxSamples, prefixes: ['que', 'gitaly_'] });
  const bytes = Buffer.from(text);
  let at = 0;
  for (const length of pieces) {
    parser.write(bytes.subarray(at, at + length));
    at = Math.min(bytes.length, at + length);
  }
  parser.write(bytes.subarray(at));
  const page = parser.end();
  if (isTextProblem(page)) return `${page.reason}: ${page.message}`;
  return page.samples.map(
    ({ name, labels, value }) => `${name}{${[...labels].map((label) => label.join('=')).join(',')}} ${value}`,
  );
}

describe('the parser keeps', () => {
  test.each<[string, string, string[]]>([
    ['only wanted names', '# TYPE up gauge\nup 1\nupper 3\nother 2\nup_x{} 1\n', ['up{} 1']],
    ['samples with labels', 'up{a="x",b="y z"} 1\n', ['up{a=x,b=y z} 1']],
    ['samples with a comma after the last label', 'up{a="x",} 1\n', ['up{a=x} 1']],
    [
      'samples with blanks and tabs wherever they are allowed',
      '  up\t{ a = "x" ,\tb="y" }  1  \n',
      ['up{a=x,b=y} 1'],
    ],
    ['escaped values', 'up{a="\\"q\\" \\\\ \\n",b="C:\\\\dir"} 1\n', ['up{a="q" \\ \n,b=C:\\dir} 1']],
    ['a backslash that escapes nothing', 'up{a="\\d"} 1\n', ['up{a=\\d} 1']],
    ['values with braces and hashes', 'up{a="} 2 # {"} 1\n', ['up{a=} 2 # {} 1']],
    ['samples with a timestamp, without it', 'up 1 1395066363000\nqueued 2 -5\n', ['up{} 1', 'queued{} 2']],
    [
      'samples with an exemplar, with or without a timestamp',
      'wait_seconds_bucket{le="1"} 3 # {trace_id="a b"} 0.5 1.5\nwait_seconds_sum 1 123.4 # {a="b"} 1\n',
      ['wait_seconds_bucket{le=1} 3', 'wait_seconds_sum{} 1'],
    ],
    ['OpenMetrics up to # EOF', '# TYPE up gauge\n# UNIT up x\nup 1\n# EOF\n', ['up{} 1']],
    ['OpenMetrics without the last line feed', 'up 1\n# EOF', ['up{} 1']],
    ['samples between empty lines and comments', '\n# anything\n#\n \t\nup 1\n\n', ['up{} 1']],
    ['letters beyond ASCII', 'up{a="Größe 🦊"} 1\n', ['up{a=Größe 🦊} 1']],
    ['one of two equal samples', 'up{a="1",b="2"} 1\nup{b="2",a="1"} 1\n', ['up{a=1,b=2} 1']],
    ['no names that need quotes', '{"up.time"} 1\nup 2\n', ['up{} 2']],
    ['nothing of an empty text', '', []],
  ])('%s', (_, text, samples) => {
    expect(parse(text)).toEqual(samples);
  });

  test.each<[string, number]>([
    ['1.79539431668e+09', 1795394316.68],
    ['-0', -0],
    ['.5', 0.5],
    ['5.', 5],
    ['1E3', 1000],
    ['NaN', Number.NaN],
    ['+Inf', Number.POSITIVE_INFINITY],
    ['-Inf', Number.NEGATIVE_INFINITY],
    ['Inf', Number.POSITIVE_INFINITY],
    ['1e999', Number.POSITIVE_INFINITY],
  ])('the value %s', (written, value) => {
    const parser = createTextParser({ wanted, maxSamples: 1 });
    parser.write(Buffer.from(`up ${written}\n`));
    const page = parser.end();
    expect(isTextProblem(page) ? page : page.samples[0]!.value).toBe(value);
  });

  test('the page reports prefixes of all names, and whether it ended with # EOF', () => {
    const parser = createTextParser({ wanted, maxSamples: 1, prefixes: ['gitaly_', 'go_', 'process_'] });
    parser.write(Buffer.from('gitaly_x 1\ngo_y{} 2\n# EOF\n'));
    expect(parser.end()).toMatchObject({ prefixes: new Set(['gitaly_', 'go_']), hasEof: true });
  });
});

describe('the parser rejects', () => {
  test.each<[string, string, string]>([
    ['HTML', '<html>\n', 'parse: line 1: is not a sample'],
    ['a name without a value', 'up 1\nqueued\n', 'parse: line 2: has no value after its name'],
    ['a name with invalid characters', 'up-time 1\n', 'parse: line 1: has no value after its name'],
    ['a sample without a value', 'up \n', 'parse: line 1: up: its value is not a number'],
    ['a word as the value', 'up one\n', 'parse: line 1: up: its value is not a number'],
    ['a hexadecimal value', 'up 0x10\n', 'parse: line 1: up: its value is not a number'],
    [
      'a word as the timestamp',
      'up 1 now\n',
      'parse: line 1: up: text after its value is neither a timestamp nor an exemplar',
    ],
    ['a label without a name', 'up{="x"} 1\n', 'parse: line 1: up: a label has no name'],
    ['a label without a value', 'up{a} 1\n', 'parse: line 1: up: a label has no value'],
    ['a label value without quotes', 'up{a=x} 1\n', "parse: line 1: up: a label's value is not in quotes"],
    [
      'a label value without its closing quote',
      'up{a="x} 1\n',
      "parse: line 1: up: a label's value has no closing quote",
    ],
    [
      'a wanted name in quotes, which would be missed',
      'up 1\n{"queued",a="x"} 5\n',
      'parse: line 2: queued: a name in quotes is not supported',
    ],
    [
      'labels without their closing brace',
      'up{a="x" 1\n',
      'parse: line 1: up: its labels have no closing brace',
    ],
    ['a duplicate label', 'up{a="x",a="y"} 1\n', 'parse: line 1: up: duplicate label'],
    [
      'a duplicate series with a different value',
      'up{a="1",b="2"} 1\nup{b="2",a="1"} 2\n',
      'parse: line 2: up: duplicate series with a different value',
    ],
    [
      'a text that ends in the middle of a line',
      'up 1\nqueued 1',
      'parse: line 2: is cut off: no line feed ends it',
    ],
    ['text after # EOF', 'up 1\n# EOF\nup 2\n', 'parse: line 3: something follows # EOF'],
    ['a null byte', '\0up 1\n', 'parse: line 1: is not a sample'],
  ])('%s', (_, text, problem) => {
    expect(parse(text)).toBe(problem);
  });

  test('more wanted samples than allowed, without counting others', () => {
    const text = 'other 1\n'.repeat(50) + Array.from({ length: 3 }, (_, i) => `up{a="${i}"} 1\n`).join('');
    expect(parse(text, [], 3)).toHaveLength(3);
    expect(parse(text, [], 2)).toBe('too_large: line 53: more than 2 samples of interest');
  });

  test.each(['other', 'up', '# '])('a line of %s over the limit, in one piece or many', (begin) => {
    const text = `up 1\n${begin} ${'1'.repeat(maxLineBytes)}\n`;
    const problem = `too_large: line 2: is longer than ${maxLineBytes} bytes`;
    expect(parse(text)).toBe(problem);
    expect(
      parse(
        text,
        Array.from({ length: 100 }, () => 1000),
      ),
    ).toBe(problem);
    expect(parse(text.slice(0, -1), [maxLineBytes])).toBe(problem);
  });

  test('a text without quoting it', () => {
    expect(parse('up{password="SENTINEL"} SENTINEL\n')).not.toContain('SENTINEL');
  });
});

describe('for any input', () => {
  const piece = fc.constantFrom(
    ...[
      'up',
      'queued',
      'other',
      'wait_seconds_bucket',
      '{',
      '}',
      'a="x"',
      'le="0.5"',
      ',',
      '"',
      '\\',
      '\\n',
      '=',
      ' ',
      '\t',
    ],
    ...[
      '\n',
      '\n',
      '\n',
      '1',
      '-2.5e+3',
      'NaN',
      '+Inf',
      '# TYPE up gauge\n',
      '# EOF',
      '\r',
      '\0',
      'ü',
      '🦊',
      '<html>',
    ],
  );
  const likely = fc
    .array(
      fc.tuple(
        fc.constantFrom('up', 'upper', 'queued', 'other'),
        fc.dictionary(fc.stringMatching(/^[a-z]{1,3}$/), fc.string()),
        fc.double(),
      ),
    )
    .map((lines) =>
      lines
        .map(([name, labels, value]) => {
          const written = Object.entries(labels).map(
            ([label, text]) =>
              `${label}="${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`,
          );
          return `${name}{${written.join(',')}} ${value}\n`;
        })
        .join(''),
    );
  const text = fc.oneof(
    fc.array(piece, { maxLength: 60 }).map((pieces) => Buffer.from(pieces.join(''))),
    fc.uint8Array({ maxLength: 400 }).map((bytes) => Buffer.from(bytes)),
    likely.map((written) => Buffer.from(written)),
  );

  test('the result does not depend on the chunks, and nothing is thrown', () => {
    fc.assert(
      fc.property(text, fc.array(fc.integer({ min: 0, max: 20 })), (bytes, pieces) => {
        const whole = parse(bytes);
        expect(parse(bytes, pieces)).toEqual(whole);
        expect(
          parse(
            bytes,
            Array.from(bytes, () => 1),
          ),
        ).toEqual(whole);
      }),
      { numRuns: 1000 },
    );
  });

  test('values and escaped labels are read back unchanged', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.tuple(fc.string(), fc.double({ noDefaultInfinity: true, noNaN: true })), {
          selector: ([label]) => label,
        }),
        (series) => {
          const escaped = (label: string) =>
            label.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
          const page = series.map(([label, value]) => `up{a="${escaped(label)}"} ${value}\n`).join('');
          const parser = createTextParser({ wanted, maxSamples: 1000 });
          parser.write(Buffer.from(page));
          const read = parser.end();
          expect(isTextProblem(read) ? read : read.samples.map((s) => [s.labels.get('a'), s.value])).toEqual(
            series.map(([label, value]) => [
              Buffer.from(label).toString(),
              value === 0 && Object.is(value, -0) ? 0 : value,
            ]),
          );
        },
      ),
    );
  });

  test('a truncated real page is rejected unless it ends at a line feed', () => {
    const page = gunzipSync(
      readFileSync(new URL('../../fixtures/gitaly/19/after.praefect-1.prom.gz', import.meta.url)),
    );
    fc.assert(
      fc.property(fc.integer({ min: 1, max: page.length }), (length) => {
        const read = parse(page.subarray(0, length));
        expect(typeof read === 'string').toBe(page[length - 1] !== 0x0a);
      }),
      { numRuns: 50 },
    );
  });
});
