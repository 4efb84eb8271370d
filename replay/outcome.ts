/** A replay from its recording to its verdict. */
import { type Expectation, type ExpectedPage, expectations } from './expected.ts';
import { type AlertInterval, alertIntervals } from './intervals.ts';
import { type Notification, notificationsOf } from './notify.ts';
import type { RecordedScrapes } from './recording.ts';
import { type RivalAlerts, rivalAlertsOf } from './rivals.ts';

/** An incident in the pager: Alertmanager's group, from its first notification on. */
export interface Page {
  /** Seconds since the incident began. */
  readonly at: number;
  /** The alerts of the first notification. */
  readonly alerts: readonly Readonly<Record<string, string>>[];
  /** Notifications that added alerts to it. */
  readonly updates: number;
}

export interface ReplayOutcome {
  readonly name: string;
  readonly expected: Expectation;
  readonly pages: readonly Page[];
  /** Alerts by name, with the time of their first ticket. */
  readonly tickets: readonly { readonly name: string; readonly at: number }[];
  /** Names of alerts that fired without a notification, because another alert inhibited them. */
  readonly inhibited: readonly string[];
  readonly rivals: RivalAlerts;
  /** Differences from the expectation; empty when there are none. */
  readonly faults: readonly string[];
}

/** @throws Error when promtool or Alertmanager is missing */
export async function replay(recording: RecordedScrapes, signal?: AbortSignal): Promise<ReplayOutcome> {
  const options = signal === undefined ? {} : { signal };
  // promtool uses one processor, and takes minutes for a week.
  const [intervals, rivals] = await Promise.all([
    alertIntervals(recording, options),
    rivalAlertsOf(recording, signal),
  ]);
  const { stepSeconds, scrapes, began, name } = recording;
  const until = scrapes * stepSeconds;
  const { notifications, inhibited } = await notificationsOf(intervals, { stepSeconds, until, ...options });
  const expected = expectations.get(name) ?? {};
  const pages = pagesIn(notifications.filter(({ receiver }) => receiver === 'on-call')).map((page) => ({
    ...page,
    at: page.at - began,
  }));
  const tickets = new Map<string, number>();
  for (const { receiver, firing, at } of notifications)
    if (receiver === 'tickets')
      for (const { alertname = '' } of firing)
        if (!tickets.has(alertname)) tickets.set(alertname, at - began);
  const notified = new Set(
    notifications.flatMap(({ firing }) => firing.map(({ alertname = '' }) => alertname)),
  );
  const suppressed = [...new Set(inhibited.map(({ alertname = '' }) => alertname))].filter(
    (each) => !notified.has(each),
  );
  return {
    ...{ name, expected, pages, inhibited: suppressed.sort() },
    tickets: [...tickets].map(([ticket, at]) => ({ name: ticket, at })),
    rivals,
    faults: [
      ...pageFaults(expected.pages ?? [], pages),
      ...ticketFaults(expected, tickets),
      ...earlyFaults(intervals, began),
    ],
  };
}

function pagesIn(notifications: readonly Notification[]): readonly Page[] {
  const pages: {
    at: number;
    alerts: Page['alerts'];
    updates: number;
    group: string;
    known: Set<string>;
    isOpen: boolean;
  }[] = [];
  for (const { at, group, firing } of notifications) {
    const open = pages.find((page) => page.group === group && page.isOpen);
    const keys = firing.map((labels) => JSON.stringify(labels));
    if (open === undefined) {
      if (firing.length > 0)
        pages.push({ at, group, alerts: firing, updates: 0, known: new Set(keys), isOpen: true });
      continue;
    }
    if (keys.some((key) => !open.known.has(key))) open.updates += 1;
    for (const key of keys) open.known.add(key);
    if (firing.length === 0) open.isOpen = false;
  }
  return pages.map(({ at, alerts, updates }) => ({ at, alerts, updates }));
}

function pageFaults(expected: readonly ExpectedPage[], pages: readonly Page[]): readonly string[] {
  const rest = [...pages];
  const faults = expected.flatMap((each) => {
    const index = rest.findIndex((page) => isOf(page, each));
    const [page] = index < 0 ? [] : rest.splice(index, 1);
    if (page === undefined) return [`no page ${each.alert}`];
    const after = page.at - (each.afterMinutes ?? 0) * 60;
    return after > each.withinMinutes * 60
      ? [`${each.alert} paged after ${minutes(after)}, expected within ${each.withinMinutes}m`]
      : [];
  });
  return [...faults, ...rest.map((page) => `unexpected page ${namesOf(page)} after ${minutes(page.at)}`)];
}

/** Whether the first notification has the alert with this cause. */
const isOf = ({ alerts }: Page, { alert, names: cause = {} }: ExpectedPage): boolean =>
  alerts.some(
    (labels) =>
      labels['alertname'] === alert &&
      Object.entries(cause).every(([label, value]) => labels[label] === value),
  );

const namesOf = ({ alerts }: Page): string =>
  [...new Set(alerts.map(({ alertname }) => alertname))].join(' and ');

const ticketFaults = ({ tickets = [] }: Expectation, found: ReadonlyMap<string, number>): readonly string[] =>
  tickets.filter((name) => !found.has(name)).map((name) => `no ticket ${name}`);

/** Alerts that fire before the incident have another cause. */
const earlyFaults = (intervals: readonly AlertInterval[], began: number): readonly string[] =>
  intervals
    .filter(({ firingAt, severity }) => firingAt !== undefined && firingAt < began && severity !== 'info')
    .map(({ name }) => `${name} fired before the incident`);

/** `5m30s` */
export const minutes = (seconds: number): string =>
  `${Math.floor(seconds / 60)}m${String(Math.round(seconds % 60)).padStart(2, '0')}s`;
