/**
 * A strict parser of both exposition formats, for tests: it also rejects what the formats merely discourage.
 *
 * Rules: "Exposition formats" in Prometheus' documentation; OpenMetrics 1.0.0, "Text format".
 */
import type { Format } from '../../src/metrics/syntax.ts';

export interface ParsedSample {
  readonly name: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly value: number;
}

export interface ParsedFamily {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  readonly unit?: string;
  readonly samples: readonly ParsedSample[];
}

const name = '[a-zA-Z_][a-zA-Z0-9_]*';
const metadata = new RegExp(`^# (HELP|TYPE|UNIT) (${name}) ([^\\n]+)$`);
const sample = new RegExp(`^(${name})(?:\\{([^\\n]+)\\})? (\\S+)$`);
const label = new RegExp(`^(${name})="((?:[^"\\\\\\n]|\\\\.)*)"(?:,(?!$)|$)`, 's');
const number = /^(?:[+-]?\d+(?:\.\d*)?(?:e[+-]?\d+)?|[+-]Inf|NaN)$/;

const order: Readonly<Record<Format, readonly string[]>> = {
  text: ['HELP', 'TYPE'],
  openmetrics: ['TYPE', 'UNIT', 'HELP'],
};

/** All families. Throws an error that quotes the first invalid line. */
export function parseExposition(exposition: string, format: Format): ParsedFamily[] {
  const families: ParsedFamily[] = [];
  const series = new Set<string>();
  for (const [first, ...rest] of familiesOfLines(linesOf(exposition, format))) {
    const head = [first!, ...rest].flatMap((line) => metadata.exec(line) ?? []).filter((_, i) => i % 4 !== 0);
    const described = new Map<string, string>();
    const family = head[1]!;
    for (let i = 0; i < head.length; i += 3) {
      const [kind, of, text] = [head[i]!, head[i + 1]!, head[i + 2]!];
      check(of === family, `${kind} of ${of} in the family ${family}`);
      check(!described.has(kind), `second ${kind} of ${family}`);
      described.set(kind, text);
    }
    const kinds = order[format].filter((kind) => kind !== 'UNIT' || described.has(kind));
    check([...described.keys()].join() === kinds.join(), `${family}: ${[...described.keys()].join()}`);
    check(!families.some((earlier) => earlier.name === family), `${family} comes back`);

    const type = described.get('TYPE')!;
    const unit = described.get('UNIT');
    check(['gauge', 'counter', 'histogram'].includes(type), `type ${type}`);
    check(unit === undefined || family.endsWith(`_${unit}`), `${family} does not end in its unit ${unit}`);
    const samples = [first!, ...rest].filter((line) => !line.startsWith('#')).map(parseSample);
    check(samples.length > 0, `${family} has no samples`);
    for (const { name, labels, value } of samples) {
      check(suffixes(type, format).includes(withoutPrefix(name, family)), `sample ${name} in ${family}`);
      const key = JSON.stringify([name, [...labels].sort()]);
      check(!series.has(key), `series twice: ${key}`);
      series.add(key);
      if (type !== 'gauge') check(value >= 0, `${name} is ${value}`);
    }
    if (type === 'histogram') checkHistograms(samples, format);
    const help = unescaped(described.get('HELP')!, format === 'text' ? /[\\n]/ : /[\\n"]/);
    families.push({ name: family, type, help, ...(unit === undefined ? {} : { unit }), samples });
  }
  return families;
}

function linesOf(exposition: string, format: Format): string[] {
  const end = format === 'text' ? '' : '# EOF\n';
  check(exposition.endsWith(end) && (exposition === '' || exposition.endsWith('\n')), 'the end is missing');
  const body = exposition.slice(0, exposition.length - end.length);
  check(!body.includes('\n\n') && !body.startsWith('\n'), 'an empty line');
  return body === '' ? [] : body.slice(0, -1).split('\n');
}

/** A family starts at metadata after samples. */
function familiesOfLines(lines: readonly string[]): string[][] {
  const families: string[][] = [];
  let inSamples = true;
  for (const line of lines) {
    const isMetadata = line.startsWith('#');
    if (isMetadata) check(metadata.test(line), `not metadata: ${line}`);
    if (isMetadata && inSamples) families.push([]);
    check(families.length > 0, `a sample before any metadata: ${line}`);
    families.at(-1)!.push(line);
    inSamples = !isMetadata;
  }
  return families;
}

function parseSample(line: string): ParsedSample {
  const [, name, labels, value] = sample.exec(line) ?? fail(`not a sample: ${line}`);
  check(number.test(value!), `not a number: ${line}`);
  return { name: name!, labels: parseLabels(labels ?? '', line), value: parseNumber(value!) };
}

function parseLabels(text: string, line: string): Map<string, string> {
  const labels = new Map<string, string>();
  for (let rest = text; rest !== ''; ) {
    const [whole, name, value] = label.exec(rest) ?? fail(`labels: ${line}`);
    check(!labels.has(name!) && !name!.startsWith('_'), `label ${name}: ${line}`);
    labels.set(name!, unescaped(value!, /[\\n"]/));
    rest = rest.slice(whole!.length);
  }
  return labels;
}

function unescaped(text: string, allowed: RegExp): string {
  return text.replace(/\\(.?)/gs, (whole, character: string) => {
    check(allowed.test(character), `escape ${whole}`);
    return character === 'n' ? '\n' : character;
  });
}

const parseNumber = (text: string): number => Number(text.replace('Inf', 'Infinity'));

function suffixes(type: string, format: Format): string[] {
  if (type === 'histogram') return ['_bucket', '_sum', '_count'];
  return type === 'counter' && format === 'openmetrics' ? ['_total'] : [''];
}

const withoutPrefix = (name: string, family: string): string =>
  name.startsWith(family) ? name.slice(family.length) : `not of ${family}`;

/**
 * The lines of one label set are consecutive: buckets with rising bounds and counts up to +Inf, then sum, then count.
 */
function checkHistograms(samples: readonly ParsedSample[], format: Format): void {
  let below = { le: -Infinity, count: 0, labels: '' };
  for (const { name, labels, value } of samples) {
    const own = JSON.stringify([...labels].filter(([label]) => label !== 'le'));
    const text = labels.get('le');
    if (name.endsWith('_bucket')) {
      const le = parseNumber(text ?? fail(`${name} without le`));
      check(below.le !== Infinity || below.labels !== own, `${name} after +Inf`);
      if (below.le === Infinity) below = { le: -Infinity, count: 0, labels: own };
      check(le > below.le && value >= below.count, `${name}{le="${text}"} ${value}`);
      if (format === 'openmetrics') check(/[.e]|^\+Inf$/.test(text!), `le="${text}" is not a float`);
      below = { le, count: value, labels: own };
    } else {
      check(below.le === Infinity && below.labels === own, `${name} before its buckets`);
      check(text === undefined, `${name} with le`);
      if (name.endsWith('_count')) check(value === below.count, `${name} is not its +Inf bucket`);
    }
  }
}

function check(right: boolean, problem: string): void {
  if (!right) fail(problem);
}

function fail(problem: string): never {
  throw new Error(problem);
}
