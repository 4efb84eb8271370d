/** Which recommendations are followed: what fails with its mend, what is not known with its reason, then the rest. */
import type { ChecksView, FailingCheckView, UnknownCheckView } from '../status-view.ts';
import { formatDuration } from './durations.ts';
import { type Html, html } from './html.ts';

const shown = 10;

const words = { warning: 'not followed', advice: 'advice not followed' } as const;

export function checksPanel(posture: ChecksView, now: number): Html {
  return html`<section class="posture" aria-labelledby="posture">
<h2 id="posture">Recommendations</h2>
${content(posture, now)}
</section>`;
}

function content({ state, at, summary, failing, unknown, passing }: ChecksView, now: number): Html {
  if (state === 'pending') return html`<p>The checks have not been run yet.</p>`;
  const age = at === undefined ? '' : formatDuration(now - at);
  if (state === 'stale')
    return html`<p><span class="tag tone-stale"><span aria-hidden="true">! </span>too old, withdrawn</span> The checks were last run ${age} ago: what they found then may not be so any more.</p>`;
  return html`<p>${summary.fail} fail, ${summary.unknown} are not known, ${summary.pass} pass; looked at ${age} ago. <a href="api/v1/checks">All of it as JSON</a></p>
${failing.map(failingCheck)}
${unknown.map(openCheck)}
${passing.length > 0 && html`<details id="posture-passing" class="tone-ok"><summary id="posture-passing-summary"><span class="tag tone-ok"><span aria-hidden="true">✓ </span>pass</span> <h3>${passing.length} are followed everywhere</h3></summary><ul>${passing.map((title) => html`<li>${title}</li>`)}</ul></details>`}`;
}

function failingCheck(failing: FailingCheckView): Html {
  const { check, title, severity, why, expected, runbook, subjects, helm, kubectl, other } = failing;
  return html`<details id="posture-${check}" class="tone-${severity}"><summary id="posture-${check}-summary"><span class="tag tone-${severity}"><span aria-hidden="true">✕ </span>${words[severity]}</span> <h3>${title}</h3> ${count(subjects)}</summary>
<p>${why}</p>
<ul>${subjects.slice(0, shown).map(({ name, text }) => html`<li><b>${name}</b>: ${text}</li>`)}</ul>
${more(subjects.length)}
<p>Expected: ${expected}.</p>
${helm !== undefined && html`<p>Values of the GitLab chart:</p><pre tabindex="0"><code>${helm}</code></pre>`}
${kubectl.length > 0 && html`<p>In a shell:</p><pre tabindex="0"><code>${kubectl.slice(0, shown).join('\n')}</code></pre>`}
${other !== undefined && html`<p>${other}</p>`}
<p class="quiet">More: <code>${runbook}</code></p>
</details>`;
}

const openCheck = ({ check, title, reasons }: UnknownCheckView): Html =>
  html`<details id="posture-${check}" class="tone-unknown"><summary id="posture-${check}-summary"><span class="tag tone-unknown"><span aria-hidden="true">? </span>not known</span> <h3>${title}</h3></summary>
<ul>${reasons.slice(0, shown).map(({ text, names }) => html`<li><b>${some(names)}</b>: ${text}</li>`)}</ul>
${more(reasons.length)}
</details>`;

const count = (subjects: FailingCheckView['subjects']): string =>
  subjects.length === 1 ? (subjects[0]?.name ?? '') : `${subjects.length} times`;

const more = (length: number): Html | false =>
  length > shown && html`<p class="quiet">and ${length - shown} more, in the API</p>`;

const some = (names: readonly string[]): string =>
  names.length > 3 ? `${names.slice(0, 3).join(', ')} and ${names.length - 3} more` : names.join(', ');
