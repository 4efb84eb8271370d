/** The latest events, newest first. */
import type { EventView } from '../status-view.ts';
import { formatDuration } from './durations.ts';
import { type Html, html } from './html.ts';
import { moment } from './problems.ts';

const shown = 20;

export function eventsList(events: readonly EventView[], startedAt: number, now: number): Html {
  if (events.length === 0) {
    return html`<p class="quiet">None since the exporter started, ${formatDuration(now - startedAt)} ago.</p>`;
  }
  const more = events.length - shown;
  return html`<ol class="events">${events.slice(0, shown).map((event) => item(event, now))}</ol>
${more > 0 && html`<p class="quiet">${more} older ones are in the API.</p>`}`;
}

const item = ({ at, kind, message }: EventView, now: number): Html =>
  html`<li><span class="quiet">${moment(at, now)}, ${formatDuration(now - at)} ago</span><span><code>${kind}</code>${message}</span></li>`;
