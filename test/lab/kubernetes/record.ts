/**
 * Records every change of the exporter's series about Kubernetes, with the seconds since the first change.
 *
 *   node record.ts http://127.0.0.1:9656/metrics      until SIGINT or SIGTERM
 */
import { setTimeout as sleep } from 'node:timers/promises';

const [url = 'http://127.0.0.1:9656/metrics'] = process.argv.slice(2);
const intervalMs = 250;

const included =
  /^gitaly_server_(pod_|rotation|disruptions|node_|scrape_up|check)|^gitaly_exporter_(collector_success|collector_stale|kubernetes_|maintenance|config_source)/;
/** Metrics whose values change all the time. */
const excluded = /_bucket\{|_sum\{|_timestamp_seconds|_duration_seconds|_age_seconds|kubernetes_objects/;

let before: ReadonlyMap<string, string> | undefined;
let firstChangeAt: number | undefined;
let isStopping = false;
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.on(signal, () => {
    isStopping = true;
  });

while (!isStopping) {
  const now = await scrape();
  if (now !== undefined && before !== undefined) printChanges(before, now);
  before = now ?? before;
  await sleep(intervalMs);
}

async function scrape(): Promise<ReadonlyMap<string, string> | undefined> {
  try {
    const text = await (await fetch(url, { signal: AbortSignal.timeout(5000) })).text();
    return new Map(
      text
        .split('\n')
        .filter((line) => included.test(line) && !excluded.test(line))
        .map((line) => {
          const at = line.lastIndexOf(' ');
          return [line.slice(0, at).replaceAll('namespace="gitlab",', ''), line.slice(at + 1)];
        }),
    );
  } catch {
    return undefined;
  }
}

/** New series with value 0 are omitted: each new pod has one for every value of a closed label. */
function printChanges(old: ReadonlyMap<string, string>, now: ReadonlyMap<string, string>): void {
  const changes = [
    ...[...now].flatMap(([series, value]) => {
      const previous = old.get(series);
      if (previous === value || (previous === undefined && value === '0')) return [];
      return [`${series} ${previous ?? 'absent'} -> ${value}`];
    }),
    ...[...old].flatMap(([series, previous]) =>
      now.has(series) || previous === '0' ? [] : [`${series} ${previous} -> absent`],
    ),
  ];
  if (changes.length === 0) return;
  firstChangeAt ??= Date.now();
  const seconds = ((Date.now() - firstChangeAt) / 1000).toFixed(1).padStart(6);
  for (const change of changes) console.log(`${seconds}  ${change}`);
}
