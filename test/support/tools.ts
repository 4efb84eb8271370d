/** Programs that tests start. Where an external one is missing, tests are skipped visibly, and fail in CI. */
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

/** For a program of this project that starts with few variables: it compiles its code once, not in each process. */
export const compileCache: Readonly<Record<string, string>> = {
  NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'] ?? '',
};
