/**
 * The scenarios of promtool in alerts/tests. Each file is evaluated with the shipped rules that its alerts need: the
 * alerts it names and the recording rules they read, as all of them together would cost six times the time.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, describe, expect } from '@jest/globals';
import { parse, stringify } from 'yaml';
import { testWith } from '../support/tools.ts';

const tests = join(import.meta.dirname, '../../alerts/tests');
const scratch = mkdtempSync(join(tmpdir(), 'scenarios-'));
afterAll(() => rmSync(scratch, { recursive: true }));

interface Rule {
  readonly alert?: string;
  readonly record?: string;
  readonly expr: string;
  readonly annotations?: Readonly<Record<string, string>>;
}
interface RuleFile {
  readonly groups: readonly { readonly name: string; readonly rules: readonly Rule[] }[];
}
interface ScenarioFile {
  readonly rule_files: readonly string[];
  readonly tests: readonly {
    readonly alert_rule_test?: readonly { readonly alertname: string }[];
    readonly promql_expr_test?: readonly { readonly expr: string }[];
  }[];
}

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

/** Writes the scenarios and the rules they need to a folder of their own; returns its path. */
function reduced(file: string): string {
  const scenarios = parse(readFileSync(join(tests, file), 'utf8')) as ScenarioFile;
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

describe('promtool scenarios', () => {
  for (const file of readdirSync(tests)) {
    testWith('promtool')(
      file,
      async () => {
        const { stdout } = await promisify(execFile)('promtool', ['test', 'rules', reduced(file)]);
        expect(stdout).toContain('SUCCESS');
      },
      120_000,
    );
  }
});
