/** What the documents name exists: links, headings, commands with their flags, settings, scripts and files. */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { demoCommands } from '../demo/commands.ts';
import { packageCommands, readInvocation } from '../src/cli/commands.ts';
import { sections } from '../src/config/sections/index.ts';
import { namedSettings } from '../src/config/setting.ts';

const root = resolve(import.meta.dirname, '..');
const files = globSync(['*.md', 'docs/**/*.md', 'alerts/runbooks/*.md'], { cwd: root });

/** As GitHub generates them. */
const anchors = (text: string): ReadonlySet<string> =>
  new Set(
    [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
      heading
        .toLowerCase()
        .replaceAll(/[^\w\- ]/g, '')
        .trim()
        .replaceAll(' ', '-'),
    ),
  );

test.each(files)('the links of %s', (file) => {
  const text = readFileSync(join(root, file), 'utf8');
  const broken = [...text.matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, link = '']) => {
    if (/^(https?:|mailto:)/.test(link)) return [];
    const [path = '', anchor] = link.split('#');
    const target = path === '' ? join(root, file) : join(root, dirname(file), path);
    if (!existsSync(target)) return [link];
    const hasAnchor =
      anchor === undefined || !target.endsWith('.md') || anchors(readFileSync(target, 'utf8')).has(anchor);
    return hasAnchor ? [] : [link];
  });
  expect(broken).toEqual([]);
});

/** The documents, in which a command that the reader types stands in a code block or in backticks. */
const documents = files.filter((file) => !file.startsWith('docs/decisions') && file !== 'CHANGELOG.md');

/** Code of a document, with lines that a backslash continues joined. */
function codeIn(file: string): readonly string[] {
  const text = readFileSync(join(root, file), 'utf8').replaceAll(/\\\n\s*/g, '');
  const lines = [...text.matchAll(/^(?: {4,}|\t)(.*)$|^```[^\n]*\n([\s\S]*?)^ *```/gm)]
    .flatMap(([, indented, fenced]) => (indented ?? fenced ?? '').split('\n'))
    .map((line) => line.trim());
  return [...lines, ...[...text.matchAll(/`([^`\n]+)`/g)].map(([, code = '']) => code)];
}

/** The arguments of each `gitaly-exporter ...` in a document; quotes group, `|`, `#`, `;` and `>` end a command. */
const commandsIn = (file: string): readonly (readonly string[])[] =>
  codeIn(file)
    .flatMap((code) => [
      ...code.matchAll(
        /(?:(?:^|[|(&$]|\bsudo)\s*gitaly-exporter|bin\/gitaly-exporter\.[jt]s)((?: +(?:'[^']*'|"[^"]*"|[^\s|#;>)`]+))+)/g,
      ),
    ])
    .map(([, args = '']) =>
      [...args.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(([, one, two, bare]) => one ?? two ?? bare ?? ''),
    )
    .filter(([first = '']) => /^(-|[a-z]+$)/.test(first));

test('every command of the documents is one that the program accepts', () => {
  const commands = documents.flatMap((file) => commandsIn(file).map((args) => ({ file, args })));
  expect(commands.length).toBeGreaterThan(100);
  const rejected = commands.flatMap(({ file, args }) => {
    const invocation = readInvocation(args, [...packageCommands, ...demoCommands]);
    const problems = invocation.kind === 'run' ? invocation.flags.problems : [];
    return invocation.kind === 'error' || problems.length > 0 ? [{ file, args, invocation }] : [];
  });
  expect(rejected).toEqual([]);
});

/** Whether the path leads to a value of the Helm chart, or into one that users fill. */
function isChartValue(path: string): boolean {
  let value: unknown = parse(readFileSync(join(root, 'deploy/helm/gitaly-exporter/values.yaml'), 'utf8'));
  for (const key of path.split('.')) {
    if (typeof value !== 'object' || value === null) return false;
    if (Object.keys(value).length === 0) return true;
    if (!Object.hasOwn(value, key)) return false;
    value = (value as Readonly<Record<string, unknown>>)[key];
  }
  return true;
}

test('every setting and every value of the chart that the documents name exists', () => {
  const settings = namedSettings(sections).map(({ name }) => name);
  const prefixes = [...new Set(settings.map((name) => name.split('.')[0]))].join('|');
  const pattern = new RegExp(`^(?:--(?:no-)?)?((?:${prefixes})\\.[a-zA-Z.-]*[a-zA-Z])(?:[=: ]|$)`);
  const named = documents.flatMap((file) =>
    [
      ...codeIn(file),
      ...[...readFileSync(join(root, file), 'utf8').matchAll(/\bthreshold `([^`]+)`/g)].map(
        ([, name]) => `alerts.threshold.${name}`,
      ),
    ]
      .map((code) => pattern.exec(code)?.[1] ?? '')
      .filter((name) => name !== '' && !/\.(ya?ml|tpl|toml|com)$/.test(name))
      .map((name) => ({ file, name })),
  );
  expect(named.length).toBeGreaterThan(100);
  expect(
    named.filter(
      ({ name }) =>
        !settings.some((each) => each === name || each.startsWith(`${name}.`)) && !isChartValue(name),
    ),
  ).toEqual([]);
});

test('every script and file that a command of the documents runs exists', () => {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    readonly scripts: Readonly<Record<string, string>>;
  };
  const missing = documents.flatMap((file) =>
    codeIn(file)
      .filter((code) => !code.startsWith('kubectl'))
      .flatMap((code) => [
        ...[...code.matchAll(/\bnpm run (?:--silent )?([\w:-]+)/g)]
          .filter(([, script = '']) => scripts[script] === undefined)
          .map(([command]) => `${file}: ${command}`),
        ...[...code.matchAll(/(?:^|\s)((?:bench|release|test|deploy|demo|alerts|dashboards)\/[\w./-]*\w)/g)]
          .filter(([, path = '']) => !/PATH$/.test(path) && globSync(`${path}*`, { cwd: root }).length === 0)
          .map(([, path = '']) => `${file}: ${path}`),
      ]),
  );
  expect(missing).toEqual([]);
});
