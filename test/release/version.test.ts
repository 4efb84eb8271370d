/** The same version is in every place, as `node release/version.ts` writes it. */
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { releasedVersion, versionPlaces, versionProblems, withRelease } from '../../release/version.ts';

const root = join(import.meta.dirname, '../..');

test('every place has the version of package.json', () => {
  expect(versionProblems(root)).toEqual([]);
});

test('the list has every place that users install from', () => {
  const files = new Set(versionPlaces(root).map(({ file }) => file));
  expect([...files]).toEqual(
    expect.arrayContaining([
      'package-lock.json',
      'Dockerfile',
      'README.md',
      'deploy/helm/gitaly-exporter/Chart.yaml',
      'deploy/kubernetes/base/agent.yaml',
      'docs/install-virtual-machines.md',
    ]),
  );
});

test('a release dates the entries under Unreleased', () => {
  const before = '# Changelog\n\n## [Unreleased]\n\n### Added\n\n- One.\n';
  const after = withRelease(before, '0.2.0', '2026-12-01');
  expect(after).toBe('# Changelog\n\n## [Unreleased]\n\n## [0.2.0] - 2026-12-01\n\n### Added\n\n- One.\n');
  expect([releasedVersion(before), releasedVersion(after)]).toEqual([undefined, '0.2.0']);
});
