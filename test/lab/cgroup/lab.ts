/** Runs every step, and compares the exporter's counts with the kernel's kills. */
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { type LoggedKill, startExporter, sumsByLabel } from './exporter.ts';
import { type KernelIncident, readKernelLog } from './kernel-log.ts';
import { makeNode, otherPod, podsFile } from './node-tree.ts';
import { steps } from './steps.ts';

const {
  exporter: bundle,
  root,
  out,
  pods,
  poll,
} = parseArgs({
  options: {
    exporter: { type: 'string', default: '' },
    root: { type: 'string', default: '' },
    out: { type: 'string', default: '' },
    pods: { type: 'string', default: 'file' },
    poll: { type: 'string', default: '500ms' },
  },
}).values;

interface StepResult {
  readonly step: string;
  readonly killed: string;
  readonly metrics: string;
  readonly incidents: string;
  readonly logMs: number | undefined;
  readonly scrapeMs: number | undefined;
  readonly isRight: boolean;
}

const killsName = 'gitaly_server_oom_kills_total';
const eventsName = 'gitaly_server_oom_events_total';
const unattributedName = 'gitaly_exporter_cgroup_unattributed_oom_kills_total';
const maxDelayMs = 1000;

const total = (counts: Readonly<Record<string, number>>): number =>
  Object.values(counts).reduce((a, b) => a + b, 0);

function difference(after: Readonly<Record<string, number>>, before: Readonly<Record<string, number>>) {
  const entries = Object.keys(after).map((key) => [key, (after[key] ?? 0) - (before[key] ?? 0)] as const);
  return Object.fromEntries(entries.filter(([, count]) => count !== 0));
}

const text = (counts: Readonly<Record<string, number>>): string =>
  Object.entries(counts)
    .sort()
    .map(([key, count]) => `${key} ${count}`)
    .join(', ') || 'none';

const eventsSince = (before: string, after: string): Record<string, number> =>
  difference(sumsByLabel(after, eventsName, 'level'), sumsByLabel(before, eventsName, 'level'));

const killsIn = (metrics: string): Record<string, number> => ({
  ...sumsByLabel(metrics, killsName, 'level'),
  ...sumsByLabel(metrics, unattributedName, 'level', 'unattributed'),
});

function killsByLevel(incidents: readonly KernelIncident[]): Record<string, number> {
  const result: Record<string, number> = {};
  for (const { level, pids } of incidents) result[level] = (result[level] ?? 0) + pids.size;
  return result;
}

/**
 * The longest time from an incident's last kill until the log had all its kills. Time in which the exporter was
 * stopped does not count.
 */
function longestDelay(
  incidents: readonly KernelIncident[],
  logged: readonly LoggedKill[],
  resumedAt: number,
): number | undefined {
  let longest: number | undefined;
  let killed = 0;
  for (const { at, pids } of incidents) {
    killed += pids.size;
    let known = 0;
    const line = logged.find(({ processes }) => {
      known += processes;
      return known >= killed;
    });
    if (line === undefined) continue;
    longest = Math.max(longest ?? 0, line.at - Math.max(at, resumedAt));
  }
  return longest;
}

mkdirSync(out, { recursive: true });
mkdirSync('/run/lab', { recursive: true });
const file = '/run/lab/pods.json';
writeFileSync(file, podsFile());
chmodSync(file, 0o644);
makeNode();
const kernel = await readKernelLog(otherPod.uid.replaceAll('-', '_'));
const exporter = await startExporter(bundle, out, [
  `--cgroup.root=${root}`,
  `--cgroup.poll-interval=${poll}`,
  ...(pods === 'file' ? [`--cgroup.pods-file=${file}`] : []),
]);
const results: StepResult[] = [];

for (const step of steps) {
  const before = await exporter.scrape();
  const firstIncident = kernel.incidents().length;
  const firstLine = exporter.logged().length;
  console.log(`## ${step.name}`);
  await step.run(exporter);
  // Without a scrape, which would count the kills itself: the watch or the poll must find them.
  const incidents = (): readonly KernelIncident[] =>
    kernel
      .incidents()
      .slice(firstIncident)
      .filter(({ isGitalys }) => isGitalys);
  const killed = (): number => incidents().reduce((sum, { pids }) => sum + pids.size, 0);
  const logged = (): readonly LoggedKill[] => exporter.logged().slice(firstLine);
  const known = (): number => logged().reduce((sum, { processes }) => sum + processes, 0);
  await sleep(300);
  for (let waited = 0; waited < 5000 && known() < killed(); waited += 50) await sleep(50);
  const after = await exporter.scrape();
  const scrapedAt = Date.now();
  await sleep(1200);
  const later = await exporter.scrape();

  const metrics = difference(killsIn(after), killsIn(before));
  const settled = difference(killsIn(later), killsIn(before));
  const expected = killsByLevel(incidents());
  const uncorrected = incidents().filter(
    ({ isCountedTwice, pids }) => pids.size > 1 && !isCountedTwice,
  ).length;
  const isCountRight =
    total(metrics) <= total(expected) &&
    total(metrics) >= total(expected) - uncorrected &&
    text(settled) === text(metrics);
  const isLevelRight = step.level !== undefined || uncorrected > 0 || text(metrics) === text(expected);
  const last = incidents().at(-1);
  const result: StepResult = {
    step: step.name,
    killed: text(expected),
    metrics: text(metrics),
    incidents: `${incidents().length} / ${total(eventsSince(before, after))}`,
    logMs: longestDelay(incidents(), logged(), exporter.resumedAt()),
    scrapeMs: last === undefined ? undefined : scrapedAt - last.at,
    isRight: isCountRight && isLevelRight,
  };
  results.push(result);
  writeFileSync(join(out, 'result.json'), JSON.stringify(results, undefined, 1));
  console.log(JSON.stringify(result, undefined, 1));
}

const metrics = await exporter.scrape();
writeFileSync(join(out, 'metrics.txt'), metrics);
const ms = (value: number | undefined): string => (value === undefined ? '' : `${Math.round(value)} ms`);
const isSlow = ({ logMs }: StepResult): boolean => logMs !== undefined && logMs > maxDelayMs;
/** A count below the number of kills is right only for a group whose first victim the kernel counted once. */
const verdict = ({ isRight, killed, metrics: counted }: StepResult): string =>
  isRight ? (numbersIn(killed) === numbersIn(counted) ? 'right' : 'one too few') : 'WRONG';
const numbersIn = (counts: string): number =>
  (counts.match(/\d+/g) ?? []).reduce((sum, digits) => sum + Number(digits), 0);
const rows = results.map(
  (one) =>
    `| ${one.step} | ${one.killed} | ${one.metrics} | ${one.incidents} | ${ms(one.logMs)} | ${verdict(one)}${isSlow(one) ? ', SLOW' : ''} |`,
);
writeFileSync(
  join(out, 'result.md'),
  [
    `Kernel ${release()}, ${readFileSync('/proc/cmdline', 'utf8').includes('psi=0') ? 'psi=0' : 'psi=1'}, pods ${pods}, poll ${poll}`,
    '',
    '| step | the kernel killed | /metrics | incidents / events | kill to log | |',
    '| --- | --- | --- | --- | --- | --- |',
    ...rows,
    '',
  ].join('\n'),
);
await exporter.stop();
kernel.stop();
process.exitCode = results.every((one) => one.isRight && !isSlow(one)) ? 0 : 1;
