/** The newest result of each replay, stored next to the recordings, and the document that is generated from them. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ReplayOutcome } from './outcome.ts';
import { recordingsFolder } from './recording.ts';
import { replayDocument } from './table.ts';

const resultsFile = join(recordingsFolder, 'results.json');
const documentFile = join(import.meta.dirname, '../docs/replays.md');

/** Replaces the results of these replays; `order` is that of the document. */
export function updateResults(order: readonly string[], outcomes: readonly ReplayOutcome[]): void {
  const kept = existsSync(resultsFile)
    ? (JSON.parse(readFileSync(resultsFile, 'utf8')) as readonly ReplayOutcome[])
    : [];
  const all = [
    ...kept.filter(({ name }) => !outcomes.some((other) => other.name === name)),
    ...outcomes,
  ].sort((a, b) => order.indexOf(a.name) - order.indexOf(b.name));
  writeFileSync(resultsFile, `${JSON.stringify(all, null, 1)}\n`);
  writeFileSync(documentFile, replayDocument(all));
}
