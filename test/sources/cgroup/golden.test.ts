/**
 * The exposition of each captured tree (test/fixtures/cgroup), without HELP. UPDATE_GOLDEN=1 rewrites the golden files:
 * review the diff against the files in the archives before committing it.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { promtoolCheckMetrics, testWithPromtool } from '../../metrics/promtool.ts';
import {
  type CapturedTree,
  capturedKernels,
  capturedMoments,
  capturedTree,
  runcTree,
} from '../../support/cgroup-fixtures.ts';
import { createTestSource } from './source-support.ts';

const folder = join(import.meta.dirname, '../../fixtures/cgroup/golden');

const captures: readonly { readonly name: string; readonly unpack: () => CapturedTree }[] = [
  ...capturedKernels.flatMap((kernel) =>
    capturedMoments.map((moment) => ({
      name: `kernel-${kernel}-${moment}`,
      unpack: () => capturedTree(kernel, moment),
    })),
  ),
  { name: 'runc-containerd', unpack: runcTree },
];

async function textOf(unpack: () => CapturedTree): Promise<string> {
  const tree = unpack();
  const { source, text } = createTestSource(tree.root, { kernelVersion: '6.12.0-test' });
  try {
    return await text();
  } finally {
    await source.stop();
    tree.remove();
  }
}

describe.each(captures)('$name', ({ name, unpack }) => {
  const golden = join(folder, `${name}.prom`);
  let text = '';
  beforeAll(async () => {
    text = await textOf(unpack);
  });

  test('is exposed as in the golden file', () => {
    const withoutHelp = text
      .replace(/^# HELP .*\n/gm, '')
      // Depends on the limits of this machine.
      .replace(/^(# TYPE )?gitaly_exporter_cgroup_(open_files|watches)\b.*\n/gm, '');
    if (process.env['UPDATE_GOLDEN'] !== undefined) writeFileSync(golden, withoutHelp);
    expect(withoutHelp).toBe(readFileSync(golden, 'utf8'));
  });

  testWithPromtool('promtool finds nothing in it', () => {
    expect(promtoolCheckMetrics(text)).toEqual({ status: 0, problems: '' });
  });
});
