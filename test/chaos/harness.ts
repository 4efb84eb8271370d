/**
 * Runs the exporter, by its own command line, against a misbehaving peer, and checks what must always hold: no
 * crash, no hang, no false value, no secret, bounded memory. All servers listen on the loopback interface.
 */
import { EventEmitter } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { main } from '../../src/cli/main.ts';
import { hostSystem } from '../../src/config/system.ts';

/** A password or token of the scenario: it must not appear in any output of the exporter. */
export const sentinel = 'SENTINEL-5e1f';

export interface Peer {
  /** Flags that make the exporter use the peer. */
  readonly flags: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  stop(): Promise<void> | void;
}

export interface Expected {
  /** The collector that reads the peer. */
  readonly collector: string;
  /**
   * `failed`: its success is 0 and these series are absent. `ok`: its success is 1. `survives`: either, as long as
   * everything that always holds does.
   */
  readonly outcome: 'failed' | 'ok' | 'survives';
  /** Prefixes of series that would be false. */
  readonly absent?: readonly string[];
  /** Prefixes of series that must exist, as another peer is healthy. */
  readonly present?: readonly string[];
}

export interface Scenario {
  readonly name: string;
  /** Takes longer than a second, mostly waiting for a deadline: only in `npm run chaos`. */
  readonly isSlow?: boolean;
  start(folder: string): Promise<Peer> | Peer;
  readonly expected: Expected;
}

/** Limits for every scenario: a run that exceeds one is a finding. */
const readyWithinMs = 30_000;
const respondsWithinMs = 5000;
const stopsWithinMs = 8000;
const maxGrowthBytes = 400 * 1024 * 1024;

/** Violations, a sentence each; empty when everything holds. */
export async function violations(scenario: Scenario): Promise<readonly string[]> {
  const folder = mkdtempSync(join(tmpdir(), 'chaos-'));
  const peer = await scenario.start(folder);
  const found: string[] = [];
  const rssBefore = process.memoryUsage.rss();
  const exporter = startExporter(peer);
  try {
    const url = await exporter.url;
    const metrics = await metricsOnceRead(url, scenario.expected.collector, exporter);
    found.push(...judge(scenario.expected, metrics));
    const shown = [metrics];
    for (const path of ['/', '/api/v1/status', '/api/v1/checks', '/-/ready', '/-/healthy'])
      shown.push(await get(url + path));
    shown.push(exporter.log());
    if (shown.some((text) => text.includes(sentinel))) found.push('a secret is shown');
    if (shown.some((text) => text.length > 1_000_000)) found.push('a page or the log is larger than 1 MB');
    const growth = process.memoryUsage.rss() - rssBefore;
    if (growth > maxGrowthBytes) found.push(`memory grew by ${Math.round(growth / 2 ** 20)} MiB`);
  } catch (error) {
    found.push(error instanceof Error ? error.message : String(error));
  } finally {
    const began = performance.now();
    const code = await exporter.stop();
    if (code !== 0) found.push(`exit code ${code}`);
    const tookMs = performance.now() - began;
    if (tookMs > stopsWithinMs) found.push(`stopping took ${Math.round(tookMs)} ms`);
    await peer.stop();
    rmSync(folder, { recursive: true, force: true });
  }
  if (exporter.crashes.length > 0) found.push(`crashed: ${exporter.crashes.join('; ')}`);
  return found;
}

interface RunningExporter {
  readonly url: Promise<string>;
  readonly crashes: readonly string[];
  log(): string;
  stop(): Promise<number>;
}

function startExporter({ flags, env = {} }: Peer): RunningExporter {
  let log = '';
  const signals = new EventEmitter();
  const crashes: string[] = [];
  const { promise: url, resolve } = Promise.withResolvers<string>();
  const ended = main(
    ['serve', '--web.listen-address=127.0.0.1:0', '--log.format=json', '--log.level=debug', ...flags],
    {
      system: hostSystem({ HOME: '/nonexistent', ...env }),
      stdout: { write: () => true },
      stderr: {
        write(text) {
          log += text;
          const listening = /"url":"([^"]+)","msg":"listening"/.exec(text)?.[1];
          if (listening !== undefined) resolve(listening.replace(/\/$/, ''));
        },
      },
      signals,
      exit: (code) => crashes.push(`exit ${code}`),
    },
  );
  return {
    url: Promise.race([
      url,
      ended.then((code) =>
        Promise.reject(new Error(`did not start, exit code ${code}: ${log.slice(0, 500)}`)),
      ),
    ]),
    crashes,
    log: () => log,
    stop() {
      signals.emit('SIGTERM');
      return ended;
    },
  };
}

/** The metrics once the collector has ended its first run. */
async function metricsOnceRead(url: string, collector: string, exporter: RunningExporter): Promise<string> {
  const end = performance.now() + readyWithinMs;
  for (;;) {
    const metrics = await get(`${url}/metrics`);
    if (
      new RegExp(`^gitaly_exporter_collector_duration_seconds\\{collector="${collector}"\\}`, 'm').test(
        metrics,
      )
    )
      return metrics;
    if (performance.now() > end)
      throw new Error(
        `${collector} did not end a run within ${readyWithinMs} ms: ${exporter.log().slice(-500)}`,
      );
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function get(url: string): Promise<string> {
  const response = await fetch(url, { signal: AbortSignal.timeout(respondsWithinMs) }).catch(
    (error: unknown) => {
      throw new Error(`${url} did not respond within ${respondsWithinMs} ms (${String(error)})`);
    },
  );
  return response.text();
}

function judge(
  { collector, outcome, absent = [], present = [] }: Expected,
  metrics: string,
): readonly string[] {
  const success = new RegExp(
    `^gitaly_exporter_collector_success\\{collector="${collector}"\\} (\\d)`,
    'm',
  ).exec(metrics)?.[1];
  const has = (prefix: string): boolean => metrics.split('\n').some((line) => line.startsWith(prefix));
  return [
    ...(success === undefined ? [`${collector} has no success series`] : []),
    ...(outcome === 'failed' && success !== '0' ? [`${collector} reads as successful`] : []),
    ...(outcome === 'ok' && success !== '1' ? [`${collector} reads as failed`] : []),
    ...absent.filter(has).map((prefix) => `${prefix} is exposed although it is untrue`),
    ...present.filter((prefix) => !has(prefix)).map((prefix) => `${prefix} is missing`),
  ];
}
