/** `npm run replay [incident...]`: replays recorded incidents through Prometheus' rules and Alertmanager. */
import { parseArgs } from 'node:util';
import { expectations } from './expected.ts';
import { type ReplayOutcome, replay } from './outcome.ts';
import { readRecording, recordingNames, recordingsFolder } from './recording.ts';
import { updateResults } from './results.ts';
import { resultTable } from './table.ts';
import { composedNames, composedRecording } from './week/week.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    concurrency: { type: 'string', default: '2' },
    /** Stores the results, and writes docs/replays.md from all that are stored. */
    update: { type: 'boolean', default: false },
    'recordings-dir': { type: 'string', default: recordingsFolder },
  },
});
const folder = values['recordings-dir'];
const recorded = recordingNames(folder);
// A week is composed of the recording of ordinary operation and others.
const known = [...recorded, ...(recorded.includes('ordinary') ? composedNames : [])];
const unknown = positionals.filter((name) => !known.includes(name));
if (unknown.length > 0) {
  process.stderr.write(`no recording of ${unknown.join(', ')}, expected some of ${known.join(', ')}\n`);
  process.exit(2);
}
const stopping = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => stopping.abort(new Error(signal)));

const order = [...expectations.keys()];
const names = (positionals.length > 0 ? [...positionals] : [...known]).sort(
  (a, b) => order.indexOf(a) - order.indexOf(b),
);
const outcomes = new Map<string, ReplayOutcome>();
const waiting = [...names];
async function work(): Promise<void> {
  for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
    const composed = composedNames.find((each) => each === name);
    const recording =
      composed === undefined ? readRecording(name, folder) : composedRecording(composed, folder);
    const outcome = await replay(recording, stopping.signal);
    outcomes.set(name, outcome);
    if (values.update) updateResults(order, [outcome]);
    process.stderr.write(
      `${name}: ${outcome.faults.length === 0 ? 'as expected' : outcome.faults.join('; ')}\n`,
    );
  }
}
await Promise.all(Array.from({ length: Number(values.concurrency) }, work));
const results = names.flatMap((name) => outcomes.get(name) ?? []);
process.stdout.write(resultTable(results));
process.exitCode = results.every(({ faults }) => faults.length === 0) ? 0 : 1;
