/** Sections of the page: the collectors, memory and OOM kills, and the checks of recommendations. */

import type {
  BucketNoteView,
  CollectorView,
  LevelMemoryView,
  MemoryView,
  PodStatusView,
  PodsView,
  ServerMemoryView,
} from '../../app/status-view.ts';
import { bytesText, counted, durationText, listText, percentText } from '../../lib/format.ts';
import type { ChecksView, FailingCheckView, UnknownCheckView } from '../../rules/checks/view.ts';
import type { CollectorState } from '../../scheduler/status.ts';
import { anchor, type Html, html, timeTag } from './html.ts';

/** A state's label. Never by color alone: each has a sign and a word. */
export const tag = (tone: string, sign: string, word: string): Html =>
  html`<span class="tag tone-${tone}"><span aria-hidden="true">${sign} </span>${word}</span>`;

// --- Collectors: a table, which a narrow screen shows as cards. ---

const stateTags: Readonly<Record<CollectorState, Html>> = {
  ok: tag('ok', '✓', 'ok'),
  empty: tag('empty', '–', 'nothing to collect'),
  pending: tag('pending', '…', 'starting'),
  failed: tag('failed', '✕', 'failing'),
  stale: tag('stale', '!', 'stale'),
};

// The roles repeat what the elements mean, because a table that is displayed as blocks loses its own.
export function collectorsTable(collectors: readonly CollectorView[], now: number): Html {
  if (collectors.length === 0) return html`<p>No collector is enabled, so nothing is monitored.</p>`;
  return html`<table role="table" aria-labelledby="collectors">
<thead role="rowgroup"><tr role="row"><th role="columnheader" scope="col">Collector</th><th role="columnheader" scope="col">State</th><th role="columnheader" scope="col">Data age</th><th role="columnheader" scope="col">Interval</th><th role="columnheader" scope="col" class="number">Duration</th><th role="columnheader" scope="col" class="number">Series</th></tr></thead>
<tbody role="rowgroup">${collectors.map((collector) => collectorRow(collector, now))}</tbody>
</table>`;
}

function collectorRow(collector: CollectorView, now: number): Html {
  const { name, title, state, reason, message, readAt, maxAgeMs, durationMs, series } = collector;
  const cause = [reason, message].filter((part) => part !== undefined).join(': ');
  const hasData = state !== 'pending' && state !== 'empty';
  const age = hasData && readAt !== undefined ? durationText(now - readAt) : '';
  const maxAge =
    state === 'ok' &&
    maxAgeMs !== undefined &&
    html`<small class="nowrap">max ${durationText(maxAgeMs)}</small>`;
  return html`<tr role="row" class="tone-${state}">
<th role="rowheader" scope="row">${title}<code>${name}</code>${cause !== '' && html`<p class="message">${cause}</p>`}</th>
<td role="cell" class="state">${stateTags[state]}</td>
<td role="cell" data-label="Data age">${age}${maxAge}</td>
<td role="cell" data-label="Interval">${intervalText(collector)}</td>
<td role="cell" data-label="Duration" class="number">${durationMs !== undefined && durationText(durationMs)}</td>
<td role="cell" data-label="Series" class="number">${series?.toLocaleString('en')}</td>
</tr>`;
}

function intervalText({ everyMs, slowedBy }: CollectorView): Html {
  if (everyMs === undefined) return html`per scrape`;
  return html`${durationText(everyMs)}${slowedBy !== undefined && html`<small>slowed by ${slowedBy}</small>`}`;
}

// --- Gitaly's pods and their rotations. ---

const podStates: Readonly<Record<PodStatusView['state'], Html>> = {
  ready: tag('ok', '✓', 'Ready'),
  not_ready: tag('failed', '✕', 'not Ready'),
  rotating: tag('stale', '↻', 'rotating'),
};

export const podsSection = (
  { isUnknown, pods, notes }: PodsView,
  now: number,
): Html => html`<h2 id="pods">Pods and rotations</h2>
${pods.length > 0 ? podsTable(pods, now) : isUnknown ? html`<p>Gitaly's pods are unknown.</p>` : html`<p>No Gitaly pod found.</p>`}
${notes.map((note) => html`<p class="quiet">${note}</p>`)}`;

const podsTable = (pods: readonly PodStatusView[], now: number): Html =>
  html`<table role="table" aria-labelledby="pods">
<thead role="rowgroup"><tr role="row"><th role="columnheader" scope="col">Pod</th><th role="columnheader" scope="col">State</th><th role="columnheader" scope="col">Node</th><th role="columnheader" scope="col">Last rotation</th></tr></thead>
<tbody role="rowgroup">${pods.map((pod) => podRow(pod, now))}</tbody>
</table>`;

const podRow = (
  pod: PodStatusView,
  now: number,
): Html => html`<tr role="row" class="tone-${podTones[pod.state]}">
<th role="rowheader" scope="row">${pod.name}${pod.detail !== undefined && html`<p class="message">${pod.detail}</p>`}</th>
<td role="cell" class="state">${podStates[pod.state]}${pod.since !== undefined && html`<small>for ${durationText(now - pod.since)}</small>`}</td>
<td role="cell" data-label="Node">${pod.node === '' ? 'none' : pod.node}</td>
<td role="cell" data-label="Last rotation">${lastRotation(pod, now)}</td>
</tr>`;

const podTones = { ready: 'ok', not_ready: 'failed', rotating: 'stale' } as const;

function lastRotation({ lastRotation: last }: PodStatusView, now: number): Html {
  if (last === undefined) return html`<span class="quiet">none</span>`;
  const { cause, durationMs, endedAt, fromNode } = last;
  return html`${durationMs === undefined ? 'duration unknown' : durationText(durationMs)}<small>${cause}${fromNode !== undefined && `, from ${fromNode}`}${endedAt !== undefined && html`, ${durationText(now - endedAt)} ago`}</small>`;
}

// --- Memory and OOM kills of each Gitaly. ---

export const memorySection = (
  { isUnknown, servers, notes }: MemoryView,
  now: number,
): Html => html`<h2 id="memory">Memory and OOM kills</h2>
${servers.length > 0 ? memoryTable(servers, now) : isUnknown ? html`<p>Whether a Gitaly runs on this host is unknown.</p>` : html`<p>No Gitaly found on this host.</p>`}
${notes.map((note) => html`<p class="quiet">${note}</p>`)}`;

const memoryTable = (servers: readonly ServerMemoryView[], now: number): Html =>
  html`<table role="table" aria-labelledby="memory" class="memory">
<thead role="rowgroup"><tr role="row"><th role="columnheader" scope="col">Gitaly</th><th role="columnheader" scope="col">Pod</th><th role="columnheader" scope="col">Gitaly container</th><th role="columnheader" scope="col">Git processes</th></tr></thead>
<tbody role="rowgroup">${servers.map((server) => memoryRow(server, now))}</tbody>
</table>
<p class="quiet">Anonymous memory against each level's limit. Page cache is not counted, because the kernel reclaims it under pressure.</p>`;

const memoryRow = (server: ServerMemoryView, now: number): Html => html`<tr role="row">
<th role="rowheader" scope="row">${server.name}<p class="quiet">${server.title}</p>${oomKills(server, now)}${bucketNotes(server)}</th>
<td role="cell" data-label="Pod">${server.pod && memoryLevel(server.pod)}</td>
<td role="cell" data-label="Gitaly container">${server.gitaly && memoryLevel(server.gitaly)}</td>
<td role="cell" data-label="Git processes">${server.git && memoryLevel(server.git)}</td>
</tr>`;

const memoryLevel = (view: LevelMemoryView): Html => html`${anonymousMemory(view)}
${view.usage !== undefined && html`<small>${bytesText(view.usage)} with page cache</small>`}
${view.throttledRatio !== undefined && view.throttledRatio > 0 && html`<small>CPU-throttled in ${wholePercent(view.throttledRatio)} of periods</small>`}
${view.readErrors.length > 0 && html`<small>unreadable: ${view.readErrors.join(', ')}</small>`}`;

function anonymousMemory({ anon, limit }: LevelMemoryView): Html {
  if (anon === undefined) return html`unknown`;
  if (limit === undefined) return html`${bytesText(anon)}<small>limit unknown</small>`;
  if (limit === 'none') return html`${bytesText(anon)}<small>no limit</small>`;
  const ratio = limit === 0 ? 1 : anon / limit;
  return html`<meter min="0" max="1" high="0.8" optimum="0.2" value="${Math.min(1, ratio).toFixed(3)}"></meter> ${wholePercent(ratio)}<small>${bytesText(anon)} of ${bytesText(limit)}</small>`;
}

const wholePercent = (ratio: number): string => percentText(Math.round(ratio * 100) / 100);

function oomKills({ kills }: ServerMemoryView, now: number): Html {
  if (kills === undefined) return html`<p class="message tone-critical">OOM kills: unknown</p>`;
  if (kills.length === 0) return html`<p class="quiet">No OOM kills</p>`;
  return html`${kills.map(
    ({ last, level, processes }) =>
      html`<p class="message tone-critical"><b>${counted(processes, 'OOM kill', 'OOM kills')}</b>: ${level} was exceeded${last !== undefined && html`, last ${timeTag(last, now)}, ${durationText(now - last)} ago`}</p>`,
  )}`;
}

const bucketNotes = ({ killedBuckets, nearLimit }: ServerMemoryView): Html =>
  html`${killedBuckets.map((bucket) => bucketNote(bucket, 'critical'))}${nearLimit.map((bucket) => bucketNote(bucket, 'warning'))}`;

const bucketNote = ({ link, text }: BucketNoteView, tone: 'critical' | 'warning'): Html =>
  html`<p class="message tone-${tone}">${text}${link && html` ${anchor(link)}`}</p>`;

// --- Recommendations: failing checks with their fix, then the unknown ones with their reason, then the rest. ---

/** Of each list of objects or commands; the API has all. */
const shown = 10;

const failureWords = { warning: 'failing', info: 'advice' } as const;

export function recommendationsSection(checks: ChecksView, now: number): Html {
  return html`<section class="checks" aria-labelledby="checks">
<h2 id="checks">Recommendations</h2>
${checksContent(checks, now)}
</section>`;
}

function checksContent({ state, at, summary, failing, unknown, passing }: ChecksView, now: number): Html {
  if (state === 'pending') return html`<p>The checks have not run yet.</p>`;
  const age = at === undefined ? '' : durationText(now - at);
  if (state === 'stale') return html`<p>${tag('stale', '!', 'stale')} The checks last ran ${age} ago.</p>`;
  return html`<p>${summary.fail} failing, ${summary.unknown} unknown, ${summary.pass} passing; checked ${age} ago. <a href="api/v1/checks">JSON</a></p>
${failing.map(failingCheck)}
${unknown.length > 0 && checkGroup('unknown', '?', unknown.length, unknown.map(unknownCheck))}
${
  passing.length > 0 &&
  checkGroup(
    'passing',
    '✓',
    passing.length,
    passing.map((title) => html`<li>${title}</li>`),
  )
}`;
}

function checkGroup(word: 'unknown' | 'passing', sign: string, count: number, items: readonly Html[]): Html {
  const tone = word === 'passing' ? 'ok' : word;
  return html`<details id="checks-${word}" class="tone-${tone}"><summary id="checks-${word}-summary">${tag(tone, sign, word)} <h3>${counted(count, 'check', 'checks')}</h3></summary><ul>${items}</ul></details>`;
}

function failingCheck(failing: FailingCheckView): Html {
  const { check, title, severity, why, expected, runbook, subjects, helm, kubectl, other } = failing;
  const [only] = subjects;
  const count = subjects.length === 1 && only ? only.name : `${subjects.length} objects`;
  return html`<details id="check-${check}" class="tone-${severity}"><summary id="check-${check}-summary">${tag(severity, '✕', failureWords[severity])} <h3>${title}</h3> ${count}</summary>
<p>${why}</p>
<ul>${subjects.slice(0, shown).map(({ name, text }) => html`<li><b>${name}</b>: ${text}</li>`)}</ul>
${omitted(subjects.length)}
<p>Expected: ${expected}.</p>
${helm !== undefined && html`<p>Values of the GitLab chart:</p><pre><code>${helm}</code></pre>`}
${kubectl.length > 0 && html`<p>Commands:</p><pre><code>${kubectl.slice(0, shown).join('\n')}</code></pre>`}
${other !== undefined && html`<p>${other}</p>`}
<p class="quiet">Documentation: <code>${runbook}</code></p>
</details>`;
}

const unknownCheck = ({ title, reasons }: UnknownCheckView): Html =>
  html`<li><b>${title}</b>${reasons.slice(0, shown).map(({ text, names }) => html`<br>${listText(names, 3)}: ${text}`)}${omitted(reasons.length)}</li>`;

const omitted = (length: number): Html | false =>
  length > shown && html`<p class="quiet">and ${length - shown} more in the API</p>`;
