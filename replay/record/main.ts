/** `npm run replay:record [incident...]`: records incidents of the demo, several at the same time. */
import { mkdirSync, readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { incidents } from '../../demo/incidents/catalog.ts';
import { allRules } from '../promtool.ts';
import { ofRules, recordingsFolder, writeRecording } from '../recording.ts';
import { type Plan, recordDemoIncident } from './demo.ts';

/** As long as the alerts need that are expected of them; others 18 minutes. */
const longer: Readonly<Record<string, Omit<Plan, 'incident'>>> = {
  // Compared with 30 minutes before; more repositories, because equal jobs are merged.
  backlog: { minutes: 52, repositories: 4000 },
  'crash-loop': { minutes: 24 },
  'replication-stalls': { minutes: 26 },
  // Stuck from 15 minutes on.
  'replication-refused': { minutes: 28 },
  'stuck-replica': { minutes: 28 },
  // They end by themselves.
  rollout: { minutes: 8 },
  'pod-deleted': { minutes: 8 },
  'replica-lost': { minutes: 8 },
  'node-drained': { minutes: 8 },
  'pod-evicted': { minutes: 8 },
};
const usualMinutes = 18;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    concurrency: { type: 'string', default: '4' },
    'output-dir': { type: 'string', default: recordingsFolder },
  },
});
const names = incidents.map(({ name }) => name);
const unknown = positionals.filter((name) => !names.includes(name));
if (unknown.length > 0) {
  process.stderr.write(`unknown incident ${unknown.join(', ')}, expected some of ${names.join(', ')}\n`);
  process.exit(2);
}

const rules = allRules.map((file) => readFileSync(file, 'utf8'));
const stopping = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => stopping.abort(new Error(signal)));
mkdirSync(values['output-dir'], { recursive: true });
// The longest ones first.
const plans = (positionals.length > 0 ? positionals : names)
  .map((incident): Plan => ({ incident, ...(longer[incident] ?? { minutes: usualMinutes }) }))
  .sort((a, b) => b.minutes - a.minutes);

async function work(): Promise<void> {
  for (let plan = plans.shift(); plan !== undefined && !stopping.signal.aborted; plan = plans.shift()) {
    try {
      const recording = await recordDemoIncident(plan, stopping.signal);
      const bytes = writeRecording(ofRules(recording, rules), values['output-dir']);
      process.stdout.write(`${plan.incident}: ${recording.scrapes} scrapes, ${bytes} bytes\n`);
    } catch (error) {
      if (stopping.signal.aborted) return;
      process.exitCode = 1;
      process.stderr.write(`${plan.incident}: ${error instanceof Error ? error.message : String(error)}\n`);
    }
  }
}
await Promise.all(Array.from({ length: Number(values.concurrency) }, work));
process.exit();
