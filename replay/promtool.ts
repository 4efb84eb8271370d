/** Prometheus' own rule engine, as `promtool test rules` runs it: the alerts at given times, exactly. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import { familyOf, wordsOf } from './series.ts';

export interface AlertInstance {
  readonly name: string;
  readonly severity: string;
  readonly state: 'pending' | 'firing';
  readonly labels: ReadonlyMap<string, string>;
}

export interface AlertsAt {
  /** Seconds since the first value of the series. */
  readonly time: number;
  readonly alerts: readonly AlertInstance[];
}

export interface InputSeries {
  readonly series: string;
  /** In the notation of promtool. Values that are times are seconds since the first value. */
  readonly values: string;
}

export interface RuleEvaluation {
  readonly ruleFiles: readonly string[];
  readonly series: readonly InputSeries[];
  /** Of the scrapes and of the evaluations. */
  readonly stepSeconds: number;
  /** In seconds, ascending. Rules are evaluated from 0 until the last one. */
  readonly times: readonly number[];
  readonly signal?: AbortSignal;
}

/** The shipped rules, in the order in which they read each other's series. */
export const shippedRules: readonly string[] = ['exporter', 'praefect', 'gitaly'].map((name) =>
  join(import.meta.dirname, `../alerts/${name}.rules.yaml`),
);

/** Public rules of other projects for the same services, each with its requirements; see the file. */
export const rivalRules = join(import.meta.dirname, 'rivals.rules.yaml');

/** A recording has the families that these rules name. */
export const allRules: readonly string[] = [...shippedRules, rivalRules];

/** @throws Error when promtool is missing or rejects the input */
export async function alertsAt(evaluation: RuleEvaluation): Promise<readonly AlertsAt[]> {
  const { ruleFiles, series, stepSeconds, times, signal } = evaluation;
  const folder = await mkdtemp(join(tmpdir(), 'replay-'));
  try {
    const rules = await Promise.all(ruleFiles.map(rulesIn));
    const copies = rules.map((_, index) => join(folder, `${index}.rules.yaml`));
    await Promise.all(copies.map((copy, index) => writeFile(copy, JSON.stringify(rules[index]))));
    const used = wordsOf(rules.map((each) => JSON.stringify(each)));
    const file = join(folder, 'test.yaml');
    const content = {
      rule_files: copies,
      evaluation_interval: `${stepSeconds}s`,
      group_eval_order: rules.flatMap(({ groups }) => groups.map(({ name }) => name)),
      tests: [
        {
          interval: `${stepSeconds}s`,
          // Many families of a page are in no rule.
          input_series: series.filter((each) => used.has(familyOf(each.series))),
          // promtool prints the alerts that it found in place of the expected empty list.
          promql_expr_test: times.map((time) => ({ expr: 'ALERTS', eval_time: `${time}s`, exp_samples: [] })),
        },
      ],
    };
    await writeFile(file, JSON.stringify(content));
    return alertsIn(await promtoolOutput(file, signal), times);
  } finally {
    await rm(folder, { recursive: true });
  }
}

interface RuleFile {
  readonly groups: readonly { readonly name: string; readonly rules: readonly object[] }[];
}

/** Without annotations: their queries would run at every evaluation, and no result has them. */
async function rulesIn(file: string): Promise<RuleFile> {
  const { groups } = parse(await readFile(file, 'utf8')) as RuleFile;
  return {
    groups: groups.map((group) => ({
      ...group,
      rules: group.rules.map((rule) => ({ ...rule, annotations: {} })),
    })),
  };
}

/** promtool fails whenever an alert is pending or firing: only its output is used. */
const promtoolOutput = (file: string, signal: AbortSignal | undefined): Promise<string> =>
  new Promise((resolve, reject) =>
    execFile('promtool', ['test', 'rules', file], { maxBuffer: 1e9, signal }, (error, stdout, stderr) => {
      if (error !== null && typeof error.code !== 'number') reject(error);
      else resolve(`${stdout}\n${stderr}`);
    }),
  );

/** Times without any alert are as expected, and not in the output. */
function alertsIn(output: string, times: readonly number[]): readonly AlertsAt[] {
  const found = new Map<number, readonly AlertInstance[]>();
  for (const [, time, got] of output.matchAll(/expr: "ALERTS", time: (\S+),\s*exp: nil\s*got: (.*)/g))
    found.set(
      durationSeconds(time ?? ''),
      [...(got ?? '').matchAll(/\{((?:[^}"]|"(?:[^"\\]|\\.)*")*)\}/g)].map(([, text]) =>
        instanceOf(text ?? ''),
      ),
    );
  if (found.size === 0 && !output.includes('SUCCESS'))
    throw new Error(`promtool failed: ${output.slice(0, 2000)}`);
  return times.map((time) => ({ time, alerts: found.get(time) ?? [] }));
}

const unitSeconds: Readonly<Record<string, number>> = { w: 604_800, d: 86_400, h: 3600, m: 60, s: 1 };

const durationSeconds = (text: string): number =>
  [...text.matchAll(/(\d+)([wdhms])/g)].reduce(
    (sum, [, count, unit]) => sum + Number(count) * (unitSeconds[unit ?? ''] ?? 0),
    0,
  );

function instanceOf(text: string): AlertInstance {
  const labels = new Map(
    [...text.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, name, value]) => [name ?? '', value ?? '']),
  );
  const state = labels.get('alertstate') === 'firing' ? 'firing' : 'pending';
  return { name: labels.get('alertname') ?? '', severity: labels.get('severity') ?? '', state, labels };
}
