/** The results of replays as Markdown: a table for the terminal, and docs/replays.md. */
import { minutes, type Page, type ReplayOutcome } from './outcome.ts';
import { type RivalAlert, rivals } from './rivals.ts';
import { weekEvents } from './week/week.ts';

export const resultTable = (outcomes: readonly ReplayOutcome[]): string =>
  markdownTable(
    ['incident', 'expected page', 'pages', 'tickets', 'inhibited', 'verdict'],
    outcomes.map((outcome) => [
      outcome.name,
      expectedText(outcome),
      outcome.pages.map(pageText).join('<br>') || 'none',
      outcome.tickets.map(({ name, at }) => `${name} ${minutes(at)}`).join('<br>'),
      outcome.inhibited.join('<br>'),
      outcome.faults.length === 0 ? 'as expected' : outcome.faults.join('<br>'),
    ]),
  );

function expectedText({ expected: { pages = [], tickets } }: ReplayOutcome): string {
  if (pages.length > 0)
    return pages
      .map(({ alert, withinMinutes, afterMinutes = 0 }) => `${alert} within ${withinMinutes + afterMinutes}m`)
      .join('<br>');
  return tickets === undefined ? 'none' : `none; ticket ${tickets.join(', ')}`;
}

const pageText = ({ at, alerts, updates }: Page): string =>
  `${[...new Set(alerts.map(alertText))].join(', ')} ${minutes(at)}${updates > 0 ? `, ${updates} ${updates === 1 ? 'update' : 'updates'}` : ''}`;

function alertText(labels: Readonly<Record<string, string>>): string {
  const cause = labels['storage'] ?? labels['pod'] ?? labels['virtual_storage'];
  return `${labels['alertname'] ?? ''}${cause === undefined ? '' : ` (${cause})`}`;
}

/** The first notifications of all rule sets, next to each other. */
const rivalTable = (outcomes: readonly ReplayOutcome[]): string =>
  markdownTable(
    ['incident', 'these alerts', ...rivals.map(({ title }) => title)],
    outcomes.map((outcome) => [
      outcome.name,
      noticeText([
        ...outcome.pages.map(({ at }) => ({ isPage: true, at, name: '' })),
        ...outcome.tickets.map((ticket) => ({ ...ticket, isPage: false })),
      ]),
      ...rivals.map(({ id }) => noticeText(outcome.rivals[id])),
    ]),
  );

function noticeText(alerts: readonly RivalAlert[] | undefined): string {
  if (alerts === undefined) return 'not recorded';
  const pages = alerts.filter(({ isPage }) => isPage);
  const [first] = [...(pages.length > 0 ? pages : alerts)].sort((a, b) => a.at - b.at);
  if (first === undefined) return 'nothing';
  return `${pages.length > 1 ? `${pages.length} pages` : pages.length === 1 ? 'page' : 'ticket'} ${minutes(first.at)}`;
}

interface Counts {
  readonly noticed: number;
  readonly inTime: number;
  readonly missed: number;
  readonly needless: number;
}

/** For the incidents that need a page: paged at all, and within the expected time; and pages where none is needed. */
function countsOf(
  outcomes: readonly ReplayOutcome[],
  pagesOf: (outcome: ReplayOutcome) => readonly { readonly at: number }[] | undefined,
): Counts {
  let [noticed, inTime, missed, needless] = [0, 0, 0, 0];
  for (const outcome of outcomes) {
    const pages = pagesOf(outcome);
    if (pages === undefined) continue;
    const [expected] = outcome.expected.pages ?? [];
    if (expected === undefined) needless += pages.length;
    else {
      const limit = ((expected.afterMinutes ?? 0) + expected.withinMinutes) * 60;
      if (pages.length === 0) missed += 1;
      else noticed += 1;
      if (pages.some(({ at }) => at <= limit)) inTime += 1;
    }
  }
  return { noticed, inTime, missed, needless };
}

function summaryTable(outcomes: readonly ReplayOutcome[]): string {
  const row = (title: string, { noticed, inTime, missed, needless }: Counts): readonly string[] => [
    title,
    ...[noticed, inTime, missed, needless].map(String),
  ];
  return markdownTable(
    ['rules', 'incidents paged', 'of these in time', 'incidents without a page', 'pages for nothing'],
    [
      row(
        'these alerts',
        countsOf(outcomes, ({ pages }) => pages),
      ),
      ...rivals.map(({ id, title }) =>
        row(
          title,
          countsOf(outcomes, (outcome) => outcome.rivals[id]?.filter(({ isPage }) => isPage)),
        ),
      ),
    ],
  );
}

export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |\n`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('');
}

/** docs/replays.md */
export const replayDocument = (outcomes: readonly ReplayOutcome[]): string => {
  const isCaptured = ({ name }: ReplayOutcome): boolean => name.startsWith('captured-');
  const isOrdinary = ({ name }: ReplayOutcome): boolean => name.startsWith('ordinary');
  return `# Replays of incidents

<!-- Written by \`npm run replay -- --update\` from alerts/replays/results.json. Do not edit. -->

Every alert is tested by recorded incidents, from the metrics to the notification: \`npm run replay\` replays all of
them, \`npm run replay storage-dies\` one, and \`npm run replay:record storage-dies\` records one again. It needs
\`promtool\` and Alertmanager.

1. **Recorded**: a demo plays the incident in real time, and its exporter (with the defaults of \`serve\`) and its Gitalys
   are scraped every 15 s. Of incidents captured on real clusters the exporter reads the database of each moment; a
   captured moment lasts seconds, and stands for ten minutes here. \`alerts/replays/\` has the scrapes, as far as rules use
   them, and what happened when. The hour before is modelled on the minutes before the incident.
2. **Evaluated**: by Prometheus' own rule engine (\`promtool test rules\`), at every scrape.
3. **Notified**: the alerts are sent to a real Alertmanager with \`alerts/alertmanager.example.yaml\`, as Prometheus sends
   them, 60 times faster and with all its durations divided by 60. Times are right within about 10 s.

Times are since the incident began. A **page** is what the receiver \`on-call\` gets of one group; an update is a later
notification that adds an alert to it. **Inhibited** alerts fired and notified no one, because of their cause.

## Incidents of the demo

${resultTable(outcomes.filter((outcome) => !isCaptured(outcome) && !isOrdinary(outcome)))}
The limits of three Gitalys that one client floods are one page. Tickets GitalyMemoryPressure are of page cache at a
limit, which the demo counted as pressure when these were recorded. In \`image-pull-fails\` the rollout stops suppressing
alerts when its new pod cannot start, so that it pages like any other outage.

## Incidents captured on real clusters

${resultTable(outcomes.filter(isCaptured))}
A Gitaly that serves a storage in each of two virtual storages pages once for each. Captures have the database only, so
that alerts on Gitaly's servers cannot fire.

## Ordinary operation

Nothing may page here. \`ordinary\` is a recording without an incident. The others are made of it and these events:
\`ordinary-hours\` has them one after the other with a scrape every 15 s, \`ordinary-week\` at their times of a week with
a scrape a minute, backup and housekeeping every night. The week is evaluated in two parts with a day in common, and
takes nine minutes.

${weekEvents.map(({ what }) => `- ${what}\n`).join('')}

${resultTable(outcomes.filter(isOrdinary))}
## Other rule sets

The same replays with equivalents of public rules (\`replay/rivals.rules.yaml\`), by their own severities: pages are what
they call critical. Praefect's own value of unavailable repositories is the exporter's value of the same query, and
kube-state-metrics are the exporter's series of the same objects. Their rules on latency, on saturation of machines, and
on metrics that Gitaly does not have here are left out. Most recordings end 8 minutes after the beginning of the incident,
and \`image-pull-fails\` after 13: a rule that waits for longer, as GitLab's for 15 minutes, cannot fire in them.

${summaryTable(outcomes)}
${rivalTable(outcomes)}`;
};
