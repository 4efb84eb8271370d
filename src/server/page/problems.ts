/** What is wrong right now, or in so many words that nothing is. */
import type { Assessment } from '../assessment.ts';
import type { LinkView, ProblemView } from '../status-view.ts';
import { formatDuration, formatTime } from './durations.ts';
import { type Html, html, safeHref } from './html.ts';

export function verdictPanel({ verdict, headline, knowledge, problems }: Assessment, now: number): Html {
  return html`<section class="verdict tone-${verdict}" aria-labelledby="verdict" role="status">
<h2 id="verdict">${headline}</h2>
<p>${knowledge} As of ${moment(now, now)}.</p>
</section>
${problems.length > 0 && html`<ul class="problems" aria-label="What is wrong">${problems.map((one) => problem(one, now))}</ul>`}`;
}

function problem({ severity, title, since, detail, action, link }: ProblemView, now: number): Html {
  return html`<li class="tone-${severity}">
<span class="tag">${severity}</span>${since !== undefined && html`<span class="since">since ${moment(since, now)}, for ${formatDuration(now - since)}</span>`}
<h3>${title}</h3>
${detail !== undefined && html`<p>${detail}</p>`}
${action !== undefined && html`<p class="action"><b>What to do:</b> ${action}</p>`}
${link && html`<p>${anchor(link)}</p>`}
</li>`;
}

/** A time as people read it, with the machine's form and the date in its attributes. */
export function moment(at: number, now: number): Html {
  const full = formatTime(at);
  return html`<time datetime="${full.replace(' UTC', 'Z').replace(' ', 'T')}" title="${full}">${formatTime(at, now)}</time>`;
}

export function anchor({ text, href }: LinkView): Html {
  const safe = safeHref(href);
  return safe === undefined ? html`${text}: ${href}` : html`<a href="${safe}">${text}</a>`;
}
