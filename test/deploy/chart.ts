/** Renders the chart, and reads its checked-in renderings. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse, parseAllDocuments } from 'yaml';
import { type ChartCase, type ChartCaseName, chartCases } from './cases.ts';

export const root = join(import.meta.dirname, '../..');
export const chart = join(root, 'deploy/helm/gitaly-exporter');
export const goldenFolder = join(import.meta.dirname, 'golden');

/** Any Kubernetes object, with the fields that the tests read. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly [field: string]: unknown;
}

export const manifests = (text: string): readonly Manifest[] =>
  parseAllDocuments(text)
    .map((document) => document.toJS() as Manifest | null)
    .filter((manifest) => manifest !== null);

export const golden = (name: ChartCaseName): string =>
  readFileSync(join(goldenFolder, `${name}.yaml`), 'utf8');

/** Throws Helm's message. */
export function helm(
  command: string,
  { values, apiVersions = [], kubeVersion, namespace }: ChartCase,
): string {
  return execFileSync(
    'helm',
    [
      command,
      ...(command === 'template' ? ['gitaly-exporter'] : []),
      chart,
      `--namespace=${namespace ?? 'gitaly-exporter'}`,
      `--kube-version=${kubeVersion ?? '1.35.0'}`,
      ...(command === 'template' ? apiVersions.map((version) => `--api-versions=${version}`) : ['--strict']),
      '--values=-',
    ],
    { input: JSON.stringify(values), encoding: 'utf8', stdio: ['pipe', 'pipe', 'pipe'], maxBuffer: 1e8 },
  );
}

/** Without the contents of rules and dashboards, which are generated, so that a changed alert changes no rendering. */
export const rendered = (name: ChartCaseName): string =>
  helm('template', chartCases[name])
    .split(/^---\n/m)
    .map((document) =>
      /^kind: PrometheusRule$/m.test(document)
        ? document.replace(/^spec:\n[\s\S]*/m, 'spec: {}\n')
        : document.replace(/^( {2}gitaly-exporter-\w+\.json): .*$/m, '$1: ""'),
    )
    .join('---\n');

/** The checksum of everything that the renderings depend on, without the content that they omit. */
export function sourceChecksum(): string {
  const hash = createHash('sha256');
  const files = readdirSync(chart, { recursive: true, encoding: 'utf8' })
    .filter((path) => /^(Chart\.yaml|values\.yaml|templates\/.*\.(yaml|tpl))$/.test(path))
    .sort();
  for (const path of files) {
    const text = readFileSync(join(chart, path), 'utf8');
    // Comments of values.yaml are only in README.md, and release/version.ts stamps the renderings, too.
    const hashed =
      path === 'values.yaml' ? JSON.stringify(parse(text)) : text.replace(/^(appV|v)ersion: .*$/gm, '');
    hash.update(`${path}\n`).update(hashed);
  }
  return hash.update(JSON.stringify(chartCases)).digest('hex');
}
