/**
 * The structure of the code as described in docs/architecture.md: which folder may import which, no circles
 * between files, and one meaning for each exported name.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, test } from '@jest/globals';

const root = join(import.meta.dirname, '..');

const base = ['src/lib', 'src/metrics', 'src/scheduler', 'src/config'];
/** Shared by all sources: the labels that identify a Gitaly, and what several of them report of one. */
const identities = ['src/sources/identity.ts', 'src/sources/server-info.ts', 'src/sources/volume-facts.ts'];
const sources = ['src/sources'];
/** What the settings of alerts consist of: names, severities and thresholds, which import nothing. */
const thresholds = ['src/rules/thresholds.ts', 'src/rules/alert-list.ts'];
const judgment = ['src/rules/finding.ts', ...thresholds, 'src/rules/alert-thresholds.ts'];
const app = [...base, ...sources, 'src/rules', 'src/buckets', 'src/app'];
/** Metric declarations, and modules that alerts and dashboards share. */
const monitoring = ['src/lib', 'src/monitoring', 'src/rules', 'src/metrics', 'src/scheduler', ...sources];

/** Folder (or file) -> what it may import in addition to itself, types included. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  'src/lib': [],
  'src/metrics': ['src/lib'],
  'src/scheduler': ['src/lib', 'src/metrics'],
  'src/rules/finding.ts': [],
  'src/rules/thresholds.ts': [],
  'src/rules/alert-list.ts': ['src/rules/thresholds.ts'],
  'src/rules/alert-thresholds.ts': thresholds,
  'src/config': ['src/lib', ...judgment],
  'src/sources/identity.ts': ['src/metrics'],
  'src/sources/server-info.ts': ['src/metrics', 'src/sources/identity.ts'],
  'src/sources/volume-facts.ts': ['src/lib'],
  // Sources do not import each other: what one needs of another is an interface of its own.
  'src/sources/praefect': [...base, ...identities],
  'src/sources/gitaly': [...base, ...identities],
  'src/sources/cgroup': [...base, ...identities],
  'src/sources/kubernetes': [...base, ...identities],
  'src/sources/maintenance': [...base, ...identities],
  'src/sources/storages': [...base, ...identities],
  'src/rules': [...base, ...sources],
  'src/buckets': [...base, ...sources],
  // Recording rules are declared here, so that alerts and dashboards share them without importing each other.
  'src/monitoring': ['src/lib', 'src/metrics', 'src/rules', 'src/scheduler', ...sources],
  'src/app': app,
  'src/server': app,
  'src/doctor': [...app, 'src/monitoring'],
  'src/cli': [...app, 'src/server', 'src/doctor', 'src/monitoring', 'alerts', 'dashboards'],
  'src/index.ts': app,
  'src/praefect.ts': app,
  alerts: monitoring,
  dashboards: monitoring,
  demo: [...app, 'src/server', 'src/cli'],
  bench: ['src', 'test/support', 'alerts', 'dashboards'],
  replay: ['src', 'demo', 'alerts', 'test/support'],
  bin: ['src/cli', 'src/config', 'demo'],
  release: [],
  test: ['src', 'demo', 'alerts', 'dashboards', 'bench', 'bin', 'replay', 'release'],
};

const code = /\.(ts|js|mjs|cjs)$/;
const isIgnored = (path: string): boolean =>
  /(^|\/)(node_modules|dist|bundle|build|fixtures)(\/|$)/.test(path);

const files = readdirSync(root, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && !entry.name.startsWith('.') && !isIgnored(entry.name))
  .flatMap(({ name }) =>
    readdirSync(join(root, name), { recursive: true, encoding: 'utf8' }).map((path) => join(name, path)),
  )
  .filter((path) => code.test(path) && !isIgnored(path))
  .sort();

const texts = new Map(files.map((file) => [file, readFileSync(join(root, file), 'utf8')]));

/** Of each file, the files it imports: statically, dynamically, and as types. */
const imports = new Map(
  [...texts].map(([file, text]) => [
    file,
    [...text.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*'(\.[^']+)'/g)].map(([, target]) =>
      relative(root, resolve(root, dirname(file), target ?? '')),
    ),
  ]),
);

const isIn = (file: string, folder: string): boolean => file === folder || file.startsWith(`${folder}/`);

/** The most specific entry of the table. */
const unitOf = (file: string): string | undefined =>
  Object.keys(mayImport)
    .filter((unit) => isIn(file, unit))
    .sort((a, b) => b.length - a.length)[0];

describe('the folders', () => {
  test('are all in the table', () => {
    expect(files.filter((file) => unitOf(file) === undefined)).toEqual([]);
  });

  test.each(Object.entries(mayImport))('%s imports only what it may', (unit, allowed) => {
    const own = files.filter((file) => unitOf(file) === unit);
    expect(own).not.toEqual([]);
    const others = own.flatMap((file) =>
      (imports.get(file) ?? [])
        .filter((target) => code.test(target))
        .filter((target) => ![unit, ...allowed].some((each) => isIn(target, each)))
        .map((target) => `${file} -> ${target}`),
    );
    expect(others).toEqual([]);
  });
});

test('files do not import each other in circles', () => {
  expect(circles()).toEqual([]);
});

/** Tarjan's strongly connected components, of more than one file. */
function circles(): readonly string[] {
  const order = new Map<string, number>();
  const stack: string[] = [];
  const found: string[] = [];
  const visit = (file: string): number => {
    const index = order.size;
    order.set(file, index);
    let low = index;
    stack.push(file);
    for (const target of imports.get(file) ?? []) {
      if (!imports.has(target)) continue;
      if (!order.has(target)) low = Math.min(low, visit(target));
      else if (stack.includes(target)) low = Math.min(low, order.get(target) ?? low);
    }
    if (low === index) {
      const circle = stack.splice(stack.indexOf(file));
      if (circle.length > 1) found.push(circle.sort().join(' '));
    }
    return low;
  };
  for (const file of files) if (!order.has(file)) visit(file);
  return found.sort();
}

test('an exported name has one meaning', () => {
  const places = new Map<string, Set<string>>();
  for (const [file, text] of texts) {
    if (!['src', 'demo', 'alerts', 'dashboards', 'replay'].some((folder) => isIn(file, folder))) continue;
    for (const [, name] of text.matchAll(
      /^export (?:async )?(?:function\*?|const|let|interface|type|class|enum) (\w+)/gm,
    ))
      places.set(name ?? '', (places.get(name ?? '') ?? new Set()).add(file));
  }
  const ambiguous = [...places].filter(([, where]) => where.size > 1).map(([name]) => name);
  expect(ambiguous.sort()).toEqual([]);
});
