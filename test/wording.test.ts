/** Text for people: phrases that are always wrong, American spelling, and limits on length. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { demoCommands } from '../demo/commands.ts';
import { catalog } from '../src/app/catalog.ts';
import { packageCommands } from '../src/cli/commands.ts';
import { commandHelp, programHelp } from '../src/cli/help.ts';

const root = join(import.meta.dirname, '..');

interface Phrase {
  readonly pattern: RegExp;
  readonly reason: string;
}

/** Phrases that are wrong in any sentence, as the field has a term for them. */
const phrases: readonly Phrase[] = [
  { pattern: /\b(tells?|told)\b/i, reason: 'a metric reports, shows or exposes' },
  { pattern: /\bmend(s|ed|ing)?\b/i, reason: 'write fix or remediation' },
  {
    pattern: /\bwhoever\b|(?<!`)\b(?:nobody|somebody)\b/i,
    reason: 'name the caller, the process or the operator',
  },
  { pattern: /\bat once\b/i, reason: 'write immediately, or at the same time' },
  { pattern: /\b(anew|of late|meanwhile)\b/i, reason: 'write again, recently (with the window), until then' },
  { pattern: /\bbelieved?\b/i, reason: 'data is trusted, valid or stale' },
  { pattern: /\bturn(s|ed)? away\b/i, reason: 'Gitaly drops requests' },
  { pattern: /\bheld back\b/i, reason: 'a process is CPU-throttled' },
  { pattern: /\bout of reach\b/i, reason: 'a repository or a server is unavailable' },
  { pattern: /\bfor want of\b/i, reason: 'write ran out of memory, or OOM-killed' },
  { pattern: /\broll-outs?\b/i, reason: 'write rollout' },
  { pattern: /\b(again and again|stands? still)\b/i, reason: 'give the number and the window' },
];

const spelling: readonly Phrase[] = [
  ['catalogue', 'catalog'],
  ['artefact', 'artifact'],
  ['colour', 'color'],
  ['normalise', 'normalize'],
  ['behaviour', 'behavior'],
  ['honour', 'honor'],
  ['favour', 'favor'],
  ['cancelling', 'canceling'],
  ['judgement', 'judgment'],
].map(([british, american]) => ({
  pattern: new RegExp(`\\b${british}`, 'i'),
  reason: `American spelling: ${american}`,
}));

/** Each line of the text that has a wrong phrase, with the reason. */
function wrongPhrases(name: string, text: string): readonly string[] {
  return text
    .split('\n')
    .flatMap((line) =>
      [...phrases, ...spelling]
        .filter(({ pattern }) => pattern.test(line))
        .map(({ pattern, reason }) => `${name}: "${pattern.exec(line)?.[0]}" (${reason}) in: ${line.trim()}`),
    );
}

const metrics = catalog.flatMap((section) => section.metrics);

const filesIn = (folder: string, ending: string): readonly string[] =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith(ending))
    .map((name) => join(folder, name));

describe('metric HELP', () => {
  test('is one sentence of at most 120 characters', () => {
    const long = metrics
      .filter(({ help }) => help.length > 120)
      .map(({ name, help }) => `${name} ${help.length}`);
    const several = metrics.filter(({ help }) => /[.!?] \S/.test(help.slice(0, -1))).map(({ name }) => name);
    expect({ long, several }).toEqual({ long: [], several: [] });
  });

  test('is in the terms of the field', () => {
    expect(metrics.flatMap(({ name, help, details }) => wrongPhrases(name, `${help}\n${details}`))).toEqual(
      [],
    );
  });
});

test('the help of every command is in the terms of the field', () => {
  const commands = [...packageCommands, ...demoCommands];
  const texts = [programHelp(commands, 500), ...commands.map((command) => commandHelp(command, 500))];
  expect([...new Set(texts.flatMap((text) => wrongPhrases('help', text)))]).toEqual([]);
});

test.each([
  ['docs', '.md'],
  ['alerts', '.yaml'],
  ['alerts/runbooks', '.md'],
  ['dashboards', '.json'],
  ['deploy', '.yaml'],
])('%s is in the terms of the field (%s)', (folder, ending) => {
  const files = filesIn(folder, ending);
  expect(files.length).toBeGreaterThan(0);
  expect(files.flatMap((file) => wrongPhrases(file, readFileSync(join(root, file), 'utf8')))).toEqual([]);
});

test('README and CHANGELOG are in the terms of the field', () => {
  expect(
    ['README.md', 'CHANGELOG.md'].flatMap((file) =>
      wrongPhrases(file, readFileSync(join(root, file), 'utf8')),
    ),
  ).toEqual([]);
});

interface RuleTest {
  readonly alert_rule_test?: readonly {
    readonly exp_alerts?: readonly { readonly exp_annotations?: Readonly<Record<string, string>> }[];
  }[];
}

test('an alert as rendered has a summary of at most 100 characters', () => {
  const summaries = filesIn('alerts/tests', '.yaml').flatMap((file) => {
    const { tests } = parse(readFileSync(join(root, file), 'utf8')) as {
      readonly tests: readonly RuleTest[];
    };
    return tests
      .flatMap((each) => each.alert_rule_test ?? [])
      .flatMap((each) => each.exp_alerts ?? [])
      .flatMap(({ exp_annotations }) => exp_annotations?.['summary'] ?? []);
  });
  expect(summaries.length).toBeGreaterThan(0);
  expect(summaries.filter((summary) => summary.length > 100)).toEqual([]);
});
