/** Tests that need an external program: where it is missing they are skipped visibly, and fail in CI. */
import { spawnSync } from 'node:child_process';
import { test } from '@jest/globals';

export const hasTool = (name: string): boolean => spawnSync('sh', ['-c', `command -v ${name}`]).status === 0;

/** `test`, or `test.skip` with the missing tool in its name; in CI a failing test in its place. */
export function testWith(
  tool: string,
): (name: string, body: () => Promise<void> | void, timeout?: number) => void {
  if (hasTool(tool)) return test;
  if (process.env['CI']) {
    return (name) =>
      test(name, () => {
        throw new Error(`${tool} is not installed, and CI must not skip what needs it`);
      });
  }
  return (name) => test.skip(`${name} (needs ${tool})`, () => undefined);
}
