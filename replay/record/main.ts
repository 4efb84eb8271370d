/** `npm run replay:record [incident...]`: records incidents of the demo and captured ones, several at the same time. */
import { mkdirSync, readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { incidents } from '../../demo/incidents/catalog.ts';
import { startPostgres } from '../../test/support/postgres.ts';
import { allRules } from '../promtool.ts';
import { ofRules, type RecordedScrapes, recordingsFolder, writeRecording } from '../recording.ts';
import { capturedIncidents } from './captured-incidents.ts';
import { recordCapturedIncident } from './captures.ts';
import { ordinary, type Plan, recordDemoIncident } from './demo.ts';

/** As long as their expected alerts need; others 8 minutes. */
const longer: Readonly<Record<string, Omit<Plan, 'incident'>>> = {
  // Its oldest job has to be older than half an hour for 15 minutes; many repositories, because equal jobs are
  // merged.
  backlog: { minutes: 56, repositories: 12_000, writesPerSecond: 8, minutesAfter: 1 },
  // Stuck from 15 minutes on.
  'replication-refused': { minutes: 25 },
  'stuck-replica': { minutes: 25 },
  'replication-stalls': { minutes: 20 },
  [ordinary]: { minutes: 8 },
  'limit-saturated': { minutes: 13 },
  'praefect-cut-off': { minutes: 13 },
  'praefect-dies': { minutes: 15, minutesAfter: 1 },
  'repository-lost': { minutes: 10 },
  'database-blocked': { minutes: 11 },
  // Its pod is Pending for ten minutes.
  'image-pull-fails': { minutes: 13, minutesAfter: 1 },
  // They end by themselves.
  rollout: { minutes: 3 },
  'pod-deleted': { minutes: 3 },
  'replica-lost': { minutes: 3 },
  'node-drained': { minutes: 3 },
  'pod-evicted': { minutes: 3 },
};
const usualMinutes = 8;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    concurrency: { type: 'string', default: '4' },
    'output-dir': { type: 'string', default: recordingsFolder },
  },
});
const demoNames = [...incidents.map(({ name }) => name), ordinary];
const names = [...demoNames, ...capturedIncidents.map(({ name }) => name)];
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
const chosen = positionals.length > 0 ? positionals : names;
// The longest ones first.
const plans = demoNames
  .filter((name) => chosen.includes(name))
  .map((name): Plan => ({ incident: name, ...(longer[name] ?? { minutes: usualMinutes }) }))
  .sort((a, b) => b.minutes - a.minutes);

async function keep(name: string, record: () => Promise<RecordedScrapes>): Promise<void> {
  try {
    const recording = await record();
    const bytes = writeRecording(ofRules(recording, rules), values['output-dir']);
    process.stdout.write(`${name}: ${recording.scrapes} scrapes, ${bytes} bytes\n`);
  } catch (error) {
    if (stopping.signal.aborted) return;
    process.exitCode = 1;
    process.stderr.write(`${name}: ${error instanceof Error ? error.message : String(error)}\n`);
  }
}

async function recordDemos(): Promise<void> {
  for (let plan = plans.shift(); plan !== undefined && !stopping.signal.aborted; plan = plans.shift()) {
    const next = plan;
    await keep(next.incident, () => recordDemoIncident(next, stopping.signal));
  }
}

async function recordCaptures(): Promise<void> {
  const captured = capturedIncidents.filter(({ name }) => chosen.includes(name));
  if (captured.length === 0) return;
  const server = await startPostgres({ version: 15 });
  try {
    for (const incident of captured)
      if (!stopping.signal.aborted)
        await keep(incident.name, () => recordCapturedIncident(incident, server, stopping.signal));
  } finally {
    await server.stop();
  }
}

await Promise.all([recordCaptures(), ...Array.from({ length: Number(values.concurrency) }, recordDemos)]);
process.exit();
