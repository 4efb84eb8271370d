/** Runs every step, and holds what the exporter says against what the kernel killed. */
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { startExporter, sums, type Told } from './exporter.ts';
import { readKernelLog, type Strike } from './kernel-log.ts';
import { foreign, makeNode, podsFile } from './node-tree.ts';
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

interface Outcome {
  readonly step: string;
  readonly killed: string;
  readonly metrics: string;
  readonly incidents: string;
  readonly logMs: number | undefined;
  readonly scrapeMs: number | undefined;
  readonly isRight: boolean;
  readonly told: readonly string[];
}

const killsName = 'gitaly_server_oom_kills_total';
const eventsName = 'gitaly_server_oom_events_total';
const promiseMs = 1000;

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

function byLevel(strikes: readonly Strike[], count: (strike: Strike) => number): Record<string, number> {
  const result: Record<string, number> = {};
  for (const strike of strikes) result[strike.level] = (result[strike.level] ?? 0) + count(strike);
  return result;
}

/**
 * The longest that any strike's last kill had to wait until the log had told of so many. While the exporter stood
 * still it could not: that time is not its.
 */
function longestDelay(
  strikes: readonly Strike[],
  told: readonly Told[],
  resumedAt: number,
): number | undefined {
  let longest: number | undefined;
  let killed = 0;
  for (const { at, pids } of strikes) {
    killed += pids.size;
    let known = 0;
    const line = told.find(({ processes }) => {
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
const kernel = await readKernelLog(foreign.uid.replaceAll('-', '_'));
const exporter = await startExporter(bundle, out, [
  `--cgroup.root=${root}`,
  `--cgroup.poll-interval=${poll}`,
  ...(pods === 'file' ? [`--cgroup.pods-file=${file}`] : []),
]);
const outcomes: Outcome[] = [];

for (const step of steps) {
  const before = await exporter.scrape();
  const firstStrike = kernel.strikes().length;
  const firstLine = exporter.told().length;
  console.log(`## ${step.name}`);
  await step.run(exporter);
  // Without a scrape, which would count by itself: the watch and the poll must see it.
  const strikes = (): readonly Strike[] =>
    kernel
      .strikes()
      .slice(firstStrike)
      .filter(({ isGitalys }) => isGitalys);
  const killed = (): number => strikes().reduce((sum, { pids }) => sum + pids.size, 0);
  const told = (): readonly Told[] => exporter.told().slice(firstLine);
  const known = (): number => told().reduce((sum, { processes }) => sum + processes, 0);
  await sleep(300);
  for (let waited = 0; waited < 5000 && known() < killed(); waited += 50) await sleep(50);
  const after = await exporter.scrape();
  const scrapedAt = Date.now();
  await sleep(1200);
  const later = await exporter.scrape();

  const metrics = difference(sums(after, killsName, 'level'), sums(before, killsName, 'level'));
  const settled = difference(sums(later, killsName, 'level'), sums(before, killsName, 'level'));
  const expected = byLevel(strikes(), ({ pids }) => pids.size);
  const uncorrected = strikes().filter(({ isCountedTwice, pids }) => pids.size > 1 && !isCountedTwice).length;
  const isCountRight =
    total(metrics) <= total(expected) &&
    total(metrics) >= total(expected) - uncorrected &&
    text(settled) === text(metrics);
  const isLevelRight = step.level !== undefined || uncorrected > 0 || text(metrics) === text(expected);
  const last = strikes().at(-1);
  const outcome: Outcome = {
    step: step.name,
    killed: text(expected),
    metrics: text(metrics),
    incidents: `${strikes().length} / ${total(difference(sums(after, eventsName, 'level'), sums(before, eventsName, 'level')))}`,
    logMs: longestDelay(strikes(), told(), exporter.resumedAt()),
    scrapeMs: last === undefined ? undefined : scrapedAt - last.at,
    isRight: isCountRight && isLevelRight,
    told: told().map(({ message }) => message),
  };
  outcomes.push(outcome);
  writeFileSync(join(out, 'result.json'), JSON.stringify(outcomes, undefined, 1));
  console.log(JSON.stringify(outcome, undefined, 1));
}

const metrics = await exporter.scrape();
writeFileSync(join(out, 'metrics.txt'), metrics);
const ms = (value: number | undefined): string => (value === undefined ? '' : `${Math.round(value)} ms`);
const isSlow = ({ logMs }: Outcome): boolean => logMs !== undefined && logMs > promiseMs;
/** Fewer than died is right only where a group was struck whose first victim was counted once. */
const verdict = ({ isRight, killed, metrics: told }: Outcome): string =>
  isRight ? (sumOf(killed) === sumOf(told) ? 'right' : 'one too few') : 'WRONG';
const sumOf = (counts: string): number =>
  (counts.match(/\d+/g) ?? []).reduce((sum, digits) => sum + Number(digits), 0);
const rows = outcomes.map(
  (one) =>
    `| ${one.step} | ${one.killed} | ${one.metrics} | ${one.incidents} | ${ms(one.logMs)} | ${verdict(one)}${isSlow(one) ? ', SLOW' : ''} |`,
);
writeFileSync(
  join(out, 'result.md'),
  [
    `Kernel ${release()}, ${readFileSync('/proc/cmdline', 'utf8').includes('psi=0') ? 'psi=0' : 'psi=1'}, pods ${pods}, poll ${poll}`,
    '',
    '| step | the kernel killed | /metrics | strikes / events | kill to log | |',
    '| --- | --- | --- | --- | --- | --- |',
    ...rows,
    '',
  ].join('\n'),
);
await exporter.stop();
kernel.stop();
process.exitCode = outcomes.every((one) => one.isRight && !isSlow(one)) ? 0 : 1;
