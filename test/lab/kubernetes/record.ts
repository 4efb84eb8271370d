/**
 * Writes down every change of the exporter's series about Kubernetes, with the seconds since the first of them.
 *
 *   node record.ts http://127.0.0.1:9656/metrics      until SIGINT or SIGTERM
 */
import { setTimeout as sleep } from 'node:timers/promises';

const [url = 'http://127.0.0.1:9656/metrics'] = process.argv.slice(2);
const everyMs = 250;

const wanted =
  /^gitaly_server_(pod_|rotation|disruptions|node_|scrape_up|check)|^gitaly_exporter_(collector_success|collector_stale|kubernetes_|maintenance|config_source)/;
/** Values that move all the time, and zeros of closed sets that come with each new pod. */
const unwanted = /_bucket\{|_sum\{|_timestamp_seconds|_duration_seconds|_age_seconds|kubernetes_objects/;

let before: ReadonlyMap<string, string> | undefined;
let zero: number | undefined;
let isStopping = false;
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.on(signal, () => {
    isStopping = true;
  });

while (!isStopping) {
  const now = await scrape();
  if (now !== undefined && before !== undefined) tell(before, now);
  before = now ?? before;
  await sleep(everyMs);
}

async function scrape(): Promise<ReadonlyMap<string, string> | undefined> {
  try {
    const text = await (await fetch(url, { signal: AbortSignal.timeout(5000) })).text();
    return new Map(
      text
        .split('\n')
        .filter((line) => wanted.test(line) && !unwanted.test(line))
        .map((line) => {
          const at = line.lastIndexOf(' ');
          return [line.slice(0, at).replaceAll('namespace="gitlab",', ''), line.slice(at + 1)];
        }),
    );
  } catch {
    return undefined;
  }
}

function tell(old: ReadonlyMap<string, string>, now: ReadonlyMap<string, string>): void {
  const changes = [
    ...[...now].flatMap(([series, value]) => {
      const was = old.get(series);
      if (was === value || (was === undefined && value === '0')) return [];
      return [`${series} ${was ?? 'absent'} -> ${value}`];
    }),
    ...[...old].flatMap(([series, was]) =>
      now.has(series) || was === '0' ? [] : [`${series} ${was} -> absent`],
    ),
  ];
  if (changes.length === 0) return;
  zero ??= Date.now();
  const seconds = ((Date.now() - zero) / 1000).toFixed(1).padStart(6);
  for (const change of changes) console.log(`${seconds}  ${change}`);
}
