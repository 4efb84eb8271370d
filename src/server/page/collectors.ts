/** The collectors: a table, which a narrow screen shows as cards. */
import type { CollectorState, CollectorView } from '../status-view.ts';
import { formatDuration } from './durations.ts';
import { type Html, html } from './html.ts';

const states: Readonly<Record<CollectorState, { readonly sign: string; readonly word: string }>> = {
  ok: { sign: '✓', word: 'ok' },
  empty: { sign: '–', word: 'nothing to collect' },
  pending: { sign: '…', word: 'not read yet' },
  failed: { sign: '✕', word: 'failed' },
  stale: { sign: '!', word: 'too old, withdrawn' },
};

// The roles repeat what the elements mean, since a table that is displayed as blocks loses its own.
export function collectorsTable(collectors: readonly CollectorView[], now: number): Html {
  if (collectors.length === 0) return html`<p>None is enabled: nothing is being watched.</p>`;
  return html`<table role="table" aria-labelledby="collectors">
<thead role="rowgroup"><tr role="row"><th role="columnheader" scope="col">What it reads</th><th role="columnheader" scope="col">State</th><th role="columnheader" scope="col">Age</th><th role="columnheader" scope="col">Runs</th><th role="columnheader" scope="col" class="number">Took</th><th role="columnheader" scope="col" class="number">Series</th></tr></thead>
<tbody role="rowgroup">${collectors.map((collector) => row(collector, now))}</tbody>
</table>`;
}

function row(collector: CollectorView, now: number): Html {
  const { name, title, state, reason, message, readAt, maxAgeMs, durationMs, series } = collector;
  const words = [reason, message].filter((part) => part !== undefined).join(': ');
  const showsValues = state !== 'pending' && state !== 'empty';
  const age = showsValues && readAt !== undefined ? formatDuration(now - readAt) : '';
  const promise =
    state === 'ok' &&
    maxAgeMs !== undefined &&
    html`<small class="hold">good for ${formatDuration(maxAgeMs)}</small>`;
  return html`<tr role="row" class="tone-${state}">
<th role="rowheader" scope="row">${title}<code>${name}</code>${words !== '' && html`<p class="message">${words}</p>`}</th>
<td role="cell" class="state"><span class="tag tone-${state}"><span aria-hidden="true">${states[state].sign} </span>${states[state].word}</span></td>
<td role="cell" data-label="Age">${age}${promise}</td>
<td role="cell" data-label="Runs">${interval(collector)}</td>
<td role="cell" data-label="Took" class="number">${durationMs !== undefined && formatDuration(durationMs)}</td>
<td role="cell" data-label="Series" class="number">${series?.toLocaleString('en')}</td>
</tr>`;
}

function interval({ everyMs, stretchedBy }: CollectorView): Html {
  if (everyMs === undefined) return html`at each scrape`;
  return html`every ${formatDuration(everyMs)}${stretchedBy !== undefined && html`<small>rarer than set: ${stretchedBy}</small>`}`;
}
