/** promtool's own parser and lint for text 0.0.4. */
import { spawnSync } from 'node:child_process';
import { testWith } from '../support/tools.ts';

export const testWithPromtool = testWith('promtool');

/** Status 0 and no problems when the text is valid and passes promtool's lint. */
export function promtoolCheckMetrics(text: string): { status: number | null; problems: string } {
  const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], {
    input: text,
    encoding: 'utf8',
  });
  return { status, problems: stdout + stderr };
}
