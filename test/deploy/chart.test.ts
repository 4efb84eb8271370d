/**
 * The Helm chart as Helm renders it, compared with the checked-in renderings; without Helm, a checksum shows
 * whether they are stale. UPDATE_GOLDEN=1 writes them, and deploy/kubernetes from them.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from '@jest/globals';
import { alertGroups } from '../../alerts/index.ts';
import { chartValues } from '../../src/cli/generate/chart.ts';
import { defaultMonitoringSettings } from '../../src/monitoring/settings.ts';
import { hasTool } from '../support/tools.ts';
import { type ChartCase, chartCaseNames, chartCases } from './cases.ts';
import { chart, golden, goldenFolder, helm, manifests, rendered, root, sourceChecksum } from './chart.ts';
import { kustomizeFiles } from './kustomize-files.ts';

/**
 * No package of Debian or npm has Helm (`go install helm.sh/helm/v3/cmd/helm@v3.22.0` takes minutes). The
 * checksum is compared everywhere, and manifests.test.ts needs the checked-in renderings only.
 */
const [withHelm, needsHelm] = hasTool('helm') ? [test, ''] : [test.skip, ' (needs helm)'];

const checksumFile = join(goldenFolder, 'checksum');

if (process.env['UPDATE_GOLDEN'] && hasTool('helm')) {
  rmSync(goldenFolder, { recursive: true, force: true });
  mkdirSync(goldenFolder, { recursive: true });
  for (const name of chartCaseNames) writeFileSync(join(goldenFolder, `${name}.yaml`), rendered(name));
  writeFileSync(checksumFile, `${sourceChecksum()}\n`);
  for (const [path, text] of kustomizeFiles()) writeFileSync(join(root, path), text);
}

test('the checked-in renderings are up to date', () => {
  // If it fails: UPDATE_GOLDEN=1 npm test -- test/deploy, with helm on the PATH.
  expect(readFileSync(checksumFile, 'utf8').trim()).toBe(sourceChecksum());
  expect(readdirSync(goldenFolder).sort()).toEqual(
    ['checksum', ...chartCaseNames.map((name) => `${name}.yaml`)].sort(),
  );
});

describe.each(chartCaseNames)(`%s${needsHelm}`, (name) => {
  withHelm('Helm renders what is checked in', () => {
    expect(rendered(name)).toBe(golden(name));
  });

  withHelm('helm lint --strict finds nothing', () => {
    expect(helm('lint', chartCases[name])).toContain('0 chart(s) failed');
  });
});

describe(`invalid values are rejected with the reason${needsHelm}`, () => {
  withHelm.each<[string, ChartCase['values'], RegExp]>([
    ['an unknown value', { agents: { enabled: false } }, /agents/],
    ['a value of the wrong type', { gitalyNamespaces: 'gitlab' }, /gitalyNamespaces/],
    [
      'a password in the address',
      { praefect: { database: { url: 'postgres://user:secret@db/praefect' } } },
      /praefect\/database\/url/,
    ],
    [
      'a Secret without an address',
      { praefect: { database: { secret: { name: 'password' } } } },
      /praefect\.database has a Secret but no address: set praefect\.database\.url/,
    ],
    [
      'a client certificate without its key',
      {
        praefect: {
          database: { url: 'postgres://db/praefect', tls: { secretName: 'tls', certKey: 'tls.crt' } },
        },
      },
      /keyKey is required/,
    ],
  ])('%s', (_, values, message) => {
    expect(() => helm('template', { values })).toThrow(message);
  });
});

withHelm(`rules and dashboards are rendered complete, and a release fits into its Secret${needsHelm}`, () => {
  const text = helm('template', chartCases.operator);
  const objects = manifests(text);
  const rules = objects.filter(({ kind }) => kind === 'PrometheusRule');
  const alertNames = (value: unknown): readonly string[] =>
    [...JSON.stringify(value).matchAll(/"alert":"(\w+)"/g)].map(([, name]) => name ?? '').sort();
  expect(alertNames(rules)).toEqual(
    alertGroups(defaultMonitoringSettings)
      .flatMap(({ alerts }) => alerts.map(({ name }) => name))
      .sort(),
  );
  const dashboards = objects.filter(({ metadata }) => metadata.labels?.['grafana_dashboard'] === '1');
  for (const { data } of dashboards)
    for (const [file, json] of Object.entries(data as Record<string, string>))
      expect(JSON.parse(json)).toEqual(
        JSON.parse(readFileSync(join(root, 'dashboards', file.replace(/^gitaly-exporter-/, '')), 'utf8')),
      );
  expect(dashboards).toHaveLength(
    readdirSync(join(root, 'dashboards')).filter((f) => f.endsWith('.json')).length,
  );

  // Helm stores the chart's files and all objects as gzip, base64 and base64 again; Kubernetes accepts 1 MiB.
  const files = readdirSync(chart, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(entry.parentPath, entry.name)).toString('base64'));
  const stored = gzipSync(JSON.stringify({ files, text })).toString('base64');
  expect(Buffer.from(stored).toString('base64').length).toBeLessThan(2 ** 20 * 0.75);
  for (const object of objects) expect(JSON.stringify(object).length).toBeLessThan(2 ** 20 * 0.5);
});

test('the chart has the version of the package', () => {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  const [meta] = manifests(readFileSync(join(chart, 'Chart.yaml'), 'utf8'));
  expect(meta).toMatchObject({ version, appVersion: version });
});

test('every value has a description and a schema', () => {
  interface Schema {
    readonly $ref?: string;
    readonly properties?: Readonly<Record<string, Schema>>;
  }
  const schema = JSON.parse(readFileSync(join(chart, 'values.schema.json'), 'utf8')) as Schema & {
    readonly definitions: Readonly<Record<string, Schema>>;
  };
  const resolve = (node: Schema | undefined): Schema | undefined =>
    node?.$ref === undefined ? node : schema.definitions[basename(node.$ref)];
  const values = chartValues(readFileSync(join(chart, 'values.yaml'), 'utf8'));
  expect(values.filter(({ description }) => description === '')).toEqual([]);
  const missing = values.filter(({ name }) => {
    let node: Schema | undefined = schema;
    for (const key of name.split('.')) node = resolve(node)?.properties?.[key];
    return node === undefined;
  });
  expect(missing).toEqual([]);
});
