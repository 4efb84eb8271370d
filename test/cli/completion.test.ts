/** Completion by the real scripts in a real bash, with the real program. */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { testWith } from '../support/tools.ts';

const bin = join(import.meta.dirname, '../../bin/gitaly-exporter.ts');
let folder = '';

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'completion-'));
  const program = join(folder, 'gitaly-exporter');
  writeFileSync(program, `#!/bin/sh\nexec '${process.execPath}' '${bin}' "$@"\n`);
  chmodSync(program, 0o755);
});
afterAll(() => rmSync(folder, { recursive: true }));

const run = (...args: string[]): string =>
  execFileSync(process.execPath, [bin, ...args], { encoding: 'utf8' });

test.each([
  [['s'], 'serve'],
  [['config', ''], 'check'],
  [['serve', '--log.'], '--log.level'],
  [['serve', '--log.level', 'd'], 'debug'],
  [['doctor', '--output', ''], 'json'],
  [['completion', ''], 'bash'],
])('%j is completed to %s', (words, completion) => {
  const values = run('complete', '--', ...words)
    .split('\n')
    .map((line) => line.split('\t')[0]);
  expect(values).toContain(completion);
});

testWith('bash')('the script for bash registers a completion', () => {
  const script = `
    source <(gitaly-exporter completion bash)
    complete -p gitaly-exporter`;
  const out = execFileSync('bash', ['-c', script], {
    encoding: 'utf8',
    env: { ...process.env, PATH: `${folder}:${process.env['PATH']}` },
  });
  expect(out).toMatch(/^complete -F \S+ gitaly-exporter$/m);
});

test('completion without a shell lists the supported ones, and exits with code 2', () => {
  expect(() => run('completion')).toThrow(/gitaly-exporter completion bash\|zsh\|fish/);
});
