/** Memory of each Gitaly, level by level, and what was killed for want of it. */

import { bytesText } from '../../lib/format.ts';
import type { BucketNoteView, LevelMemoryView, MemoryView, ServerMemoryView } from '../status-view.ts';
import { formatDuration } from './durations.ts';
import { type Html, html } from './html.ts';
import { anchor, moment } from './problems.ts';

export const memorySection = (
  { servers, notes }: MemoryView,
  now: number,
): Html => html`<h2 id="memory">Memory of Gitaly and its Git processes</h2>
${servers.length === 0 ? html`<p>No Gitaly is found on this host.</p>` : memoryTable(servers, now)}
${notes.map((note) => html`<p class="quiet">${note}</p>`)}`;

// The roles repeat what the elements mean, since a table that is displayed as blocks loses its own.
const memoryTable = (servers: readonly ServerMemoryView[], now: number): Html =>
  html`<table role="table" aria-labelledby="memory" class="memory">
<thead role="rowgroup"><tr role="row"><th role="columnheader" scope="col">Gitaly</th><th role="columnheader" scope="col">Whole pod</th><th role="columnheader" scope="col">Gitaly itself</th><th role="columnheader" scope="col">All its Git processes</th></tr></thead>
<tbody role="rowgroup">${servers.map((server) => row(server, now))}</tbody>
</table>
<p class="quiet">Of each level what its processes hold, against its limit; page cache is given back when memory is short, so it does not count.</p>`;

const row = (server: ServerMemoryView, now: number): Html => html`<tr role="row">
<th role="rowheader" scope="row">${server.name}<p class="quiet">${server.title}</p>${kills(server, now)}${buckets(server)}</th>
<td role="cell" data-label="Whole pod">${server.pod && level(server.pod)}</td>
<td role="cell" data-label="Gitaly itself">${server.gitaly && level(server.gitaly)}</td>
<td role="cell" data-label="All its Git processes">${server.git && level(server.git)}</td>
</tr>`;

const level = (view: LevelMemoryView): Html => html`${held(view)}
${view.usage !== undefined && html`<small>with page cache ${bytesText(view.usage)}</small>`}
${view.throttledRatio !== undefined && view.throttledRatio > 0 && html`<small>CPU limit holds it back in ${percent(view.throttledRatio)} of periods</small>`}
${view.readErrors.length > 0 && html`<small>not read: ${view.readErrors.join(', ')}</small>`}`;

function held({ anon, limit }: LevelMemoryView): Html {
  if (anon === undefined) return html`not known`;
  if (limit === undefined) return html`${bytesText(anon)}<small>limit not known</small>`;
  if (limit === 'none') return html`${bytesText(anon)}<small>no limit</small>`;
  const ratio = limit === 0 ? 1 : anon / limit;
  return html`<meter min="0" max="1" high="0.8" optimum="0.2" value="${Math.min(1, ratio).toFixed(3)}"></meter> ${percent(ratio)}<small>${bytesText(anon)} of ${bytesText(limit)}</small>`;
}

function kills({ kills: found }: ServerMemoryView, now: number): Html {
  if (found === undefined) return html`<p class="message tone-critical">OOM kills are not known.</p>`;
  if (found.length === 0) return html`<p class="quiet">No OOM kill seen.</p>`;
  return html`${found.map(
    ({ last, level, processes }) =>
      html`<p class="message tone-critical"><b>${processes} OOM ${processes === 1 ? 'kill' : 'kills'}</b>, limit of ${level}${last !== undefined && html`, last ${moment(last, now)}, ${formatDuration(now - last)} ago`}</p>`,
  )}`;
}

const buckets = ({ killedBuckets, nearLimit }: ServerMemoryView): Html =>
  html`${killedBuckets.map((bucket) => note(bucket, 'critical'))}${nearLimit.map((bucket) => note(bucket, 'warning'))}`;

const note = ({ link, text }: BucketNoteView, tone: 'critical' | 'warning'): Html =>
  html`<p class="message tone-${tone}">${text}${link && html` ${anchor(link)}`}</p>`;

const percent = (ratio: number): string => `${Math.round(ratio * 100)} %`;
