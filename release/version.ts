/**
 * One version everywhere: package.json has it, and every other place quotes it.
 *
 *   node release/version.ts            print the places that differ; exit code 1 if there are any
 *   node release/version.ts 0.2.0      write this version to all places, and date the changelog's section
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const number = String.raw`\d+\.\d+\.\d+(?:-rc\.\d+)?`;
const at = (before: string, after = '') => new RegExp(`(?<=${before})${number}${after}`, 'g');

/** Files and the places in them. Every file of the first group has at least one. */
const single: Readonly<Record<string, RegExp>> = {
  'package.json': at('^\\{\\n  "name": "gitaly-exporter",\\n  "version": "'),
  'package-lock.json': at('"name": "gitaly-exporter",\\n\\s*"version": "'),
  Dockerfile: at('image\\.version="'),
  'deploy/helm/gitaly-exporter/Chart.yaml': at('\\n(?:appV|v)ersion: "?'),
};
/** In documents, manifests and expected texts: image, label, and names of packages. */
const quoted = [
  at('\\bgitaly-exporter:'),
  at('\\bgitaly-exporter[-_]'),
  at('app\\.kubernetes\\.io/version: "?'),
  at('newTag: "?'),
];
const quotingFiles = ['README.md', 'docs', 'deploy', 'test/deploy'];

export interface VersionPlace {
  readonly file: string;
  readonly line: number;
  readonly version: string;
}

/** @returns every place, in the order of files and lines */
export function versionPlaces(root: string): readonly VersionPlace[] {
  return versionedFiles(root).flatMap(({ file, patterns }) => {
    const text = readFileSync(join(root, file), 'utf8');
    const found = patterns.flatMap((pattern) =>
      [...text.matchAll(pattern)].map(({ 0: version, index }) => ({
        file,
        line: text.slice(0, index).split('\n').length,
        version,
      })),
    );
    return found.length > 0 || !(file in single) ? found : [{ file, line: 1, version: 'no version' }];
  });
}

function versionedFiles(root: string): readonly { file: string; patterns: readonly RegExp[] }[] {
  const tracked = execFileSync('git', ['ls-files', '-z', '--', ...quotingFiles], {
    cwd: root,
    encoding: 'utf8',
  });
  const texts = tracked.split('\0').filter((file) => file !== '' && !/\.(png|gz|tgz)$/.test(file));
  return [
    ...Object.entries(single).map(([file, pattern]) => ({ file, patterns: [pattern] })),
    ...texts.filter((file) => !(file in single)).map((file) => ({ file, patterns: quoted })),
  ];
}

export const packageVersionOf = (root: string): string =>
  (JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }).version;

/** The version of the changelog's newest dated section; undefined before the first release. */
export const releasedVersion = (changelog: string): string | undefined =>
  new RegExp(`^## \\[(${number})\\] - \\d{4}-\\d\\d-\\d\\d$`, 'm').exec(changelog)?.[1];

/** The content of Unreleased becomes the section of the version. */
export const withRelease = (changelog: string, version: string, date: string): string =>
  changelog.replace('## [Unreleased]\n', `## [Unreleased]\n\n## [${version}] - ${date}\n`);

/** One line for each place that does not have the version of package.json; empty when all agree. */
export function versionProblems(root: string): readonly string[] {
  const expected = packageVersionOf(root);
  const released = releasedVersion(readFileSync(join(root, 'CHANGELOG.md'), 'utf8'));
  return [
    ...versionPlaces(root)
      .filter(({ version }) => version !== expected)
      .map(({ file, line, version }) => `${file}:${line}: found ${version}, expected ${expected}`),
    ...(released === undefined || released === expected
      ? []
      : [`CHANGELOG.md: the newest section is ${released}, expected ${expected}`]),
  ];
}

function stamp(root: string, version: string): void {
  for (const { file, patterns } of versionedFiles(root)) {
    const path = join(root, file);
    const text = readFileSync(path, 'utf8');
    const stamped = patterns.reduce((result, pattern) => result.replaceAll(pattern, version), text);
    if (stamped !== text) writeFileSync(path, stamped);
  }
  const changelog = join(root, 'CHANGELOG.md');
  const text = readFileSync(changelog, 'utf8');
  if (releasedVersion(text) !== version)
    writeFileSync(changelog, withRelease(text, version, new Date().toISOString().slice(0, 10)));
}

if (import.meta.main) {
  const root = join(import.meta.dirname, '..');
  const { positionals } = parseArgs({ allowPositionals: true });
  const [version] = positionals;
  if (version !== undefined && !new RegExp(`^${number}$`).test(version)) {
    process.stderr.write(`version.ts: found "${version}", expected a version such as 0.2.0\n`);
    process.exit(2);
  }
  if (version !== undefined) stamp(root, version);
  const problems = versionProblems(root);
  for (const problem of problems) process.stderr.write(`${problem}\n`);
  if (problems.length > 0) process.exitCode = 1;
  else process.stdout.write(`${packageVersionOf(root)} in ${versionPlaces(root).length} places\n`);
}
