/** In a process of its own, which may open few files: this one needs its own. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { createWrittenTree } from './written-tree.ts';

test('without a descriptor left, what needs a new one fails and says so, and all comes back with them', () => {
  const tree = createWrittenTree();
  tree.make('gitaly');
  tree.make('gitaly/gitaly-1');
  // More files than it keeps open.
  for (let bucket = 0; bucket < 30; bucket++) tree.make(`gitaly/gitaly-1/repos-${bucket}`);
  const { status, stdout, stderr } = spawnSync(
    'sh',
    [
      '-c',
      'ulimit -n 80; exec "$@"',
      'sh',
      process.execPath,
      join(import.meta.dirname, 'out-of-descriptors.ts'),
      tree.root,
    ],
    { encoding: 'utf8' },
  );
  tree.remove();
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  const { before, during, after } = JSON.parse(stdout);
  const good = { kind: 'data', message: '' };
  const bad = {
    kind: 'failed',
    message: expect.stringContaining("raise the exporter's limit on open files"),
  };
  expect({ before, during, after }).toEqual({
    before: [good, good],
    during: [bad, bad],
    after: [good, good],
  });
});
