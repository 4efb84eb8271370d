/** A real Alertmanager on the loopback, with the shipped example configuration or one made from it. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../demo/address.ts';
import { systemClock } from '../src/lib/clock.ts';

/** The shipped example. */
export const exampleConfiguration = join(import.meta.dirname, '../alerts/alertmanager.example.yaml');

/** Its names in Debian and upstream. */
export const alertmanagerProgram =
  ['prometheus-alertmanager', 'alertmanager'].find(
    (name) => spawnSync('sh', ['-c', `command -v ${name}`]).status === 0,
  ) ?? 'prometheus-alertmanager';

export interface AlertToSend {
  readonly labels: Readonly<Record<string, string>>;
  readonly startsAt?: string;
  readonly endsAt?: string;
}

export interface AlertStatus {
  readonly labels: Readonly<Record<string, string>>;
  readonly status: {
    readonly state: 'unprocessed' | 'active' | 'suppressed';
    readonly inhibitedBy: readonly string[];
  };
}

/** Alerts that arrive in one notification. */
export interface AlertGroupStatus {
  readonly labels: Readonly<Record<string, string>>;
  readonly receiver: { readonly name: string };
  readonly alerts: readonly AlertStatus[];
}

export interface Alertmanager {
  /** As Prometheus sends them. */
  send(alerts: readonly AlertToSend[]): Promise<void>;
  /** All its alerts, with their state. */
  list(): Promise<readonly AlertStatus[]>;
  /** All groups of alerts, by route. */
  groups(): Promise<readonly AlertGroupStatus[]>;
  stop(): Promise<void>;
}

const startLimitMs = 60_000;
const requestLimitMs = 30_000;

/** @throws Error when it is not installed, rejects its configuration, or does not start within a minute */
export async function startAlertmanager(configuration: string, signal?: AbortSignal): Promise<Alertmanager> {
  const folder = await mkdtemp(join(tmpdir(), 'alertmanager-'));
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const child = spawn(
    alertmanagerProgram,
    [
      `--config.file=${configuration}`,
      `--storage.path=${folder}`,
      `--web.listen-address=127.0.0.1:${port}`,
      '--cluster.listen-address=',
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let log = '';
  child.stderr.on('data', (chunk: Buffer) => {
    log = (log + chunk.toString()).slice(-10_000);
  });
  let failure: unknown;
  const closed = once(child, 'close').catch((error: unknown) => {
    failure = error;
  });
  const request = (path: string, init: RequestInit = {}): Promise<Response> =>
    fetch(`${url}${path}`, { ...init, signal: limited(signal) });
  const stop = async (): Promise<void> => {
    child.kill();
    await closed;
    await rm(folder, { recursive: true, force: true });
  };
  try {
    const limit = performance.now() + startLimitMs;
    while ((await request('/-/ready').catch(() => undefined))?.ok !== true) {
      if (failure !== undefined || child.exitCode !== null || performance.now() > limit)
        throw new Error(`${alertmanagerProgram} did not start: ${String(failure ?? log)}`);
      await systemClock.sleep(50, signal);
      signal?.throwIfAborted();
    }
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    async send(alerts) {
      const response = await request('/api/v2/alerts', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(alerts),
      });
      if (!response.ok) throw new Error(`Alertmanager rejected the alerts: ${await response.text()}`);
    },
    list: async () => (await (await request('/api/v2/alerts')).json()) as readonly AlertStatus[],
    groups: async () =>
      (await (await request('/api/v2/alerts/groups')).json()) as readonly AlertGroupStatus[],
    stop,
  };
}

const limited = (signal: AbortSignal | undefined): AbortSignal =>
  AbortSignal.any([AbortSignal.timeout(requestLimitMs), ...(signal === undefined ? [] : [signal])]);
