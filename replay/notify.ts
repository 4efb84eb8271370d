/**
 * The notifications of Alertmanager for the alerts of a replay. A real Alertmanager has the example configuration
 * with all durations divided, so that an hour takes a minute; alerts are sent as Prometheus sends them.
 */
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { systemClock } from '../src/lib/clock.ts';
import { type AlertToSend, exampleConfiguration, startAlertmanager } from './alertmanager.ts';
import type { AlertInterval } from './intervals.ts';

export interface Notification {
  /** Seconds since the first scrape of the recording. */
  readonly at: number;
  /** `on-call` is paged, `tickets` is not. */
  readonly receiver: string;
  /** Alertmanager's group, which is one incident in a pager. */
  readonly group: string;
  readonly firing: readonly Readonly<Record<string, string>>[];
  readonly resolved: readonly Readonly<Record<string, string>>[];
}

export interface Notified {
  readonly notifications: readonly Notification[];
  /** Labels of the alerts that fired and were inhibited at some time. */
  readonly inhibited: readonly Readonly<Record<string, string>>[];
}

/** The time of the incident is this many times faster. */
const speed = 60;
/** Prometheus sends firing alerts again after a minute, and they end four minutes after the last time. */
const resendSeconds = 60;
const validSeconds = 240;
/** After the last change: until the group's next notification, of resolved alerts. */
const tailSeconds = 330;
/** Concurrent Alertmanagers, one per part of the recording, which mostly wait: a week has hours of tickets. */
const concurrentSegments = 6;

interface NotifyOptions {
  readonly stepSeconds: number;
  /** Seconds since the first scrape: the end of the recording. */
  readonly until: number;
  readonly signal?: AbortSignal;
}

/** Alerts that still fire at the end of the recording do not end. Hours in which none fires are skipped. */
export async function notificationsOf(
  intervals: readonly AlertInterval[],
  options: NotifyOptions,
): Promise<Notified> {
  const firing = intervals
    .filter(({ firingAt }) => firingAt !== undefined)
    .sort((a, b) => (a.firingAt ?? 0) - (b.firingAt ?? 0));
  const segments: AlertInterval[][] = [];
  let end = Number.NEGATIVE_INFINITY;
  for (const interval of firing) {
    const { firingAt = 0, endedAt = options.until } = interval;
    if (firingAt > end + tailSeconds) segments.push([interval]);
    else segments.at(-1)?.push(interval);
    end = Math.max(end, endedAt);
  }
  const notified = new Map<AlertInterval[], Notified>();
  const waiting = [...segments];
  async function work(): Promise<void> {
    for (let segment = waiting.shift(); segment !== undefined; segment = waiting.shift())
      notified.set(segment, await notificationsOfSegment(segment, options));
  }
  await Promise.all(Array.from({ length: concurrentSegments }, work));
  const inOrder = segments.flatMap((segment) => notified.get(segment) ?? []);
  return {
    notifications: inOrder.flatMap(({ notifications }) => notifications),
    inhibited: inOrder.flatMap(({ inhibited }) => inhibited),
  };
}

async function notificationsOfSegment(
  firing: readonly AlertInterval[],
  { stepSeconds, until, signal }: NotifyOptions,
): Promise<Notified> {
  const start = Math.min(...firing.map(({ firingAt = 0 }) => firingAt)) - stepSeconds;
  const end = Math.min(until, Math.max(...firing.map(({ endedAt = until }) => endedAt)) + tailSeconds);
  const folder = await mkdtemp(join(tmpdir(), 'replay-'));
  const received: Notification[] = [];
  const inhibited = new Map<string, Readonly<Record<string, string>>>();
  let origin = 0;
  const incidentTime = (): number => start + ((performance.now() - origin) / 1000) * speed;
  const receiver = await listen((name, text) => received.push(notification(name, text, incidentTime())));
  try {
    const file = join(folder, 'alertmanager.yaml');
    await writeFile(file, await scaledConfiguration(receiver.url));
    const alertmanager = await startAlertmanager(file, signal);
    try {
      origin = performance.now();
      const epoch = systemClock.now();
      const timestamp = (time: number): string =>
        new Date(epoch + ((time - start) / speed) * 1000).toISOString();
      for (let time = start; time <= end; time += stepSeconds) {
        await systemClock.sleep(Math.max(0, ((time - incidentTime()) / speed) * 1000), signal);
        signal?.throwIfAborted();
        const due = firing.flatMap((interval) => dueAlert(interval, time, stepSeconds, timestamp));
        if (due.length > 0) await alertmanager.send(due);
        for (const { labels, status } of await alertmanager.list())
          if (status.inhibitedBy.length > 0) inhibited.set(JSON.stringify(labels), labels);
      }
    } finally {
      await alertmanager.stop();
    }
  } finally {
    receiver.server.close().closeAllConnections();
    await rm(folder, { recursive: true });
  }
  return { notifications: received, inhibited: [...inhibited.values()] };
}

/** What Prometheus sends for an alert at an evaluation: when it begins, each minute, and when it has ended. */
function dueAlert(
  { labels, firingAt = 0, endedAt = Number.POSITIVE_INFINITY }: AlertInterval,
  time: number,
  stepSeconds: number,
  timestamp: (time: number) => string,
): readonly AlertToSend[] {
  const isWithin = (moment: number): boolean => time <= moment && moment < time + stepSeconds;
  if (isWithin(endedAt)) return [{ labels, startsAt: timestamp(firingAt), endsAt: timestamp(time) }];
  if (time < firingAt || time > endedAt) return [];
  const isDue = (Math.round((time - firingAt) / stepSeconds) * stepSeconds) % resendSeconds < stepSeconds;
  return isDue ? [{ labels, startsAt: timestamp(firingAt), endsAt: timestamp(time + validSeconds) }] : [];
}

/** The example, with its durations divided and a webhook for each receiver that sends notifications. */
async function scaledConfiguration(webhook: string): Promise<string> {
  const configuration = parse(await readFile(exampleConfiguration, 'utf8')) as {
    readonly route: unknown;
    readonly receivers: readonly { readonly name: string }[];
  };
  return stringify({
    ...configuration,
    route: scaled(configuration.route),
    receivers: configuration.receivers.map(({ name }) => ({
      name,
      ...(name !== 'none' && { webhook_configs: [{ url: `${webhook}/${name}`, send_resolved: true }] }),
    })),
  });
}

const durationKeys: readonly string[] = ['group_wait', 'group_interval', 'repeat_interval'];
const unitMs: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1000 };

function scaled(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(scaled);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, part]) => [
      key,
      durationKeys.includes(key) ? `${Math.round(milliseconds(String(part)) / speed)}ms` : scaled(part),
    ]),
  );
}

function milliseconds(duration: string): number {
  const [, count, unit] = /^(\d+)([hms])$/.exec(duration) ?? [];
  if (count === undefined) throw new Error(`not a duration: ${duration}`);
  return Number(count) * (unitMs[unit ?? ''] ?? 0);
}

function notification(receiver: string, text: string, at: number): Notification {
  const { groupKey, alerts } = JSON.parse(text) as {
    groupKey: string;
    alerts: { status: string; labels: Record<string, string> }[];
  };
  const having = (status: string) =>
    alerts.filter((alert) => alert.status === status).map(({ labels }) => labels);
  return {
    at: Math.round(at),
    receiver,
    group: groupKey,
    firing: having('firing'),
    resolved: having('resolved'),
  };
}

const largestBody = 10_000_000;

/** Receives webhooks at `/<receiver>`. */
async function listen(
  receive: (receiver: string, text: string) => void,
): Promise<{ readonly url: string; readonly server: Server }> {
  const server = createServer((request, response) => {
    let text = '';
    request.setEncoding('utf8');
    request.on('data', (chunk: string) => {
      text += chunk;
      if (text.length > largestBody) request.destroy();
    });
    request.on('end', () => {
      receive((request.url ?? '').slice(1), text);
      response.end();
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  return { url: `http://127.0.0.1:${port}`, server };
}
