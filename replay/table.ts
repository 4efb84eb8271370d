/** The result of replays as a Markdown table. */
import { minutes, type Page, type ReplayOutcome } from './outcome.ts';

export const resultTable = (outcomes: readonly ReplayOutcome[]): string =>
  markdownTable(
    ['incident', 'expected page', 'pages', 'tickets', 'inhibited', 'verdict'],
    outcomes.map((outcome) => [
      outcome.name,
      expectedText(outcome),
      outcome.pages.map(pageText).join('<br>') || 'none',
      [...outcome.tickets].map(([name, at]) => `${name} ${minutes(at)}`).join('<br>'),
      outcome.inhibited.join('<br>'),
      outcome.faults.length === 0 ? 'as expected' : outcome.faults.join('<br>'),
    ]),
  );

function expectedText({ expected: { pages = [], tickets } }: ReplayOutcome): string {
  if (pages.length > 0)
    return pages
      .map((page) => `${page.alert} within ${page.withinMinutes + (page.afterMinutes ?? 0)}m`)
      .join('<br>');
  return tickets === undefined ? 'none' : `none; ticket ${tickets.join(', ')}`;
}

const pageText = ({ at, alerts, updates }: Page): string =>
  `${[...new Set(alerts.map(alertText))].join(', ')} ${minutes(at)}${updates > 0 ? `, ${updates} ${updates === 1 ? 'update' : 'updates'}` : ''}`;

function alertText(labels: Readonly<Record<string, string>>): string {
  const cause = labels['storage'] ?? labels['pod'] ?? labels['virtual_storage'];
  return `${labels['alertname'] ?? ''}${cause === undefined ? '' : ` (${cause})`}`;
}

export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |\n`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('');
}
