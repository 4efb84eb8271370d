/** Runs in a separate process with a low limit on open files. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { createWrittenTree } from './written-tree.ts';

test('at the limit on open files the collectors fail with that reason, and recover afterwards', () => {
  const tree = createWrittenTree();
  tree.make('gitaly');
  tree.make('gitaly/gitaly-1');
  // More files than the process may keep open.
  for (let bucket = 0; bucket < 30; bucket++) tree.make(`gitaly/gitaly-1/repos-${bucket}`);
  const { status, stdout, stderr } = spawnSync(
    'sh',
    [
      '-c',
      'ulimit -n 80; exec "$@"',
      'sh',
      process.execPath,
      join(import.meta.dirname, 'open-file-limit.ts'),
      tree.root,
    ],
    { encoding: 'utf8' },
  );
  tree.remove();
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  const { before, during, after } = JSON.parse(stdout);
  const good = { kind: 'data', message: '' };
  const failed = {
    kind: 'failed',
    message: expect.stringContaining("raise the exporter's limit on open files"),
  };
  expect({ before, during, after }).toEqual({
    before: [good, good],
    during: [failed, failed],
    after: [good, good],
  });
});
