/** The scenarios of promtool in alerts/tests, each with the rules that its alerts need. */
import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parse, stringify } from 'yaml';
import { parseDuration } from '../../src/lib/format.ts';

const tests = join(import.meta.dirname, '../../alerts/tests');

export const scenarioFiles: readonly string[] = readdirSync(tests);

interface Rule {
  readonly alert?: string;
  readonly record?: string;
  readonly expr: string;
  readonly annotations?: Readonly<Record<string, string>>;
}
interface RuleFile {
  readonly groups: readonly { readonly name: string; readonly rules: readonly Rule[] }[];
}
export interface Scenario {
  readonly name?: string;
  readonly interval: string;
  readonly input_series: readonly { readonly series: string; readonly values: string }[];
  readonly alert_rule_test?: readonly {
    readonly alertname: string;
    readonly eval_time: string;
    readonly exp_alerts?: readonly { readonly exp_labels: Readonly<Record<string, string>> }[];
  }[];
  readonly promql_expr_test?: readonly {
    readonly expr: string;
    readonly eval_time: string;
    readonly exp_samples: readonly { readonly labels: string; readonly value: number }[];
  }[];
}
export interface ScenarioFile {
  readonly rule_files: readonly string[];
  readonly tests: readonly Scenario[];
}

export const readScenarios = (file: string): ScenarioFile =>
  parse(readFileSync(join(tests, file), 'utf8')) as ScenarioFile;

/** The rules whose names are in the texts, and the rules that these read in turn. */
function neededRules(rules: readonly Rule[], texts: readonly string[]): ReadonlySet<Rule> {
  const needed = new Set<Rule>();
  const open = [...texts];
  for (let text = open.pop(); text !== undefined; text = open.pop()) {
    for (const rule of rules) {
      if (needed.has(rule) || !text.includes(rule.alert ?? rule.record ?? '')) continue;
      needed.add(rule);
      open.push(rule.expr, JSON.stringify(rule.annotations ?? {}));
    }
  }
  return needed;
}

/** Writes the scenarios and the rules that they need to a new folder in `scratch`; returns the path of the scenarios. */
export function writeReduced(scratch: string, file: string, scenarios: ScenarioFile): string {
  const files = scenarios.rule_files.map((path) => ({
    name: basename(path),
    content: parse(readFileSync(join(tests, path), 'utf8')) as RuleFile,
  }));
  const needed = neededRules(
    files.flatMap(({ content }) => content.groups.flatMap(({ rules }) => rules)),
    scenarios.tests.flatMap((each) => [
      ...(each.alert_rule_test ?? []).map(({ alertname }) => alertname),
      ...(each.promql_expr_test ?? []).map(({ expr }) => expr),
    ]),
  );
  const folder = mkdtempSync(join(scratch, 'one-'));
  for (const { name, content } of files) {
    const groups = content.groups.map((group) => ({
      ...group,
      rules: group.rules.filter((rule) => needed.has(rule)),
    }));
    writeFileSync(join(folder, name), stringify({ ...content, groups }));
  }
  const path = join(folder, file);
  writeFileSync(path, stringify({ ...scenarios, rule_files: files.map(({ name }) => name) }));
  return path;
}

export const secondsOf = (duration: string): number => (parseDuration(duration) ?? 0) / 1000;

/** A scenario in which an alert fires: when, and as how many alerts. */
export interface Firing {
  readonly file: string;
  readonly alert: string;
  readonly scenario: Scenario;
  /** Seconds after its start. */
  readonly at: number;
  readonly count: number;
}

/** The first scenario of each alert in which it fires with such a severity. */
export const firingScenarios = (isWanted: (severity: string) => boolean): readonly Firing[] =>
  scenarioFiles
    .flatMap((file) =>
      readScenarios(file).tests.flatMap((scenario) =>
        (scenario.alert_rule_test ?? []).flatMap(({ alertname, eval_time, exp_alerts = [] }): Firing[] =>
          exp_alerts.some(({ exp_labels }) => isWanted(exp_labels['severity'] ?? ''))
            ? [{ file, alert: alertname, scenario, at: secondsOf(eval_time), count: exp_alerts.length }]
            : [],
        ),
      ),
    )
    .filter(({ alert }, index, all) => all.findIndex((each) => each.alert === alert) === index);
