/**
 * A runbook is written by hand, but for the part between two markers: when the alert fires, with the thresholds
 * that hold, so that the page that is read at night says what the rule says.
 */
import type { Alert, Inhibition } from '../../../alerts/alert.ts';
import { promDuration } from '../../monitoring/durations.ts';

const begin = '<!-- What the rule says; written by `gitaly-exporter generate` -->';
const end = '<!-- end -->';

/** The text with its facts renewed. Throws when the markers are not there, once each, in order. */
export function withFacts(
  text: string,
  alerts: readonly Alert[],
  inhibitions: readonly Inhibition[],
): string {
  const name = alerts[0]?.name ?? 'unknown';
  const [before, rest, ...more] = text.split(begin);
  const [, after, ...others] = (rest ?? '').split(end);
  if (before === undefined || after === undefined || more.length + others.length > 0)
    throw new Error(`the runbook of ${name} needs the lines ${begin} and ${end}, once each`);
  return `${before}${begin}\n\n${facts(name, alerts, inhibitions)}\n\n${end}${after}`;
}

function facts(name: string, alerts: readonly Alert[], inhibitions: readonly Inhibition[]): string {
  const silencers = inhibitions
    .filter(({ source, target }) => target.names.includes(name) && !source.names.includes(name))
    .flatMap(({ source }) => source.names.map((each) => link(each, source.severity)));
  return [
    ...alerts.map(
      ({ firesWhen, forSeconds, severity }) =>
        `- **${severity}** when ${firesWhen}.${forSeconds > 0 ? ` The rule's \`for\` is ${promDuration(forSeconds)}, which takes in missed scrapes.` : ''}`,
    ),
    ...(silencers.length === 0 ? [] : [`- Silenced by ${silencers.join(', ')}.`]),
  ].join('\n');
}

const link = (name: string, severity?: string): string =>
  `[${name}](${name}.md)${severity === undefined ? '' : ` (${severity})`}`;
