/** How problems with the settings are shown: all of them, each with its place. */
import { type Problem, problemText } from '../config/problem.ts';
import type { Output } from './command.ts';

export function printProblems(problems: readonly Problem[], output: Output): void {
  const count = problems.length === 1 ? 'one problem' : `${problems.length} problems`;
  output.write(`gitaly-exporter: ${count} with the configuration\n`);
  for (const problem of problems) output.write(`  ${problemText(problem)}\n`);
}
