/** The page's only style sheet and its only script, inline: the page loads nothing. */

/** How often an open page refreshes itself. Without script, its header reloads it, less often. */
export const refreshSeconds = 10;

/**
 * Colors are declared once, for light and dark. Every pair of text and background has a contrast of at least
 * 4.5 (WCAG AA).
 */
export const style = withoutIndent(`
:root {
  color-scheme: light dark;
  --ground: #f6f6f3; --sheet: #fff; --line: #deded8; --ink: #1e2227; --quiet: #5a6069; --link: #0b57a4;
  --critical: #b3261e; --critical-ground: #fdf0ee;
  --warning: #8a5300; --warning-ground: #fdf5e3;
  --unknown: #4f5b93; --unknown-ground: #f0f1f9;
  --ok: #1b6e43; --ok-ground: #edf6f0;
  --button: #1e2227; --button-ink: #fff;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #131619; --sheet: #1b1f24; --line: #31373e; --ink: #e7e9ec; --quiet: #a3abb5; --link: #8ab8f0;
    --critical: #ff968c; --critical-ground: #331b1a;
    --warning: #f0bd62; --warning-ground: #2e2514;
    --unknown: #b1bbf5; --unknown-ground: #20243a;
    --ok: #7fd1a3; --ok-ground: #172a20;
    --button: #e7e9ec; --button-ink: #131619;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--ground); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
  overflow-wrap: anywhere;
}
header, main, footer { max-width: 68rem; margin: 0 auto; padding: 0 1.25rem; }
header { display: flex; flex-wrap: wrap; gap: .25rem 1.5rem; align-items: baseline; padding-top: 1.5rem; }
h1 { font-size: 1.0625rem; margin: 0; }
h1 span { font-weight: 400; color: var(--quiet); }
h2 { font-size: 1.0625rem; margin: 2.25rem 0 .75rem; }
h3 { font-size: 1rem; margin: 0; }
p { margin: 0; }
a { color: var(--link); text-underline-offset: .15em; }
a:focus-visible, button:focus-visible, summary:focus-visible { outline: 3px solid var(--link); outline-offset: 2px;
  border-radius: 3px; }
code { font: .875em/1.4 ui-monospace, "SFMono-Regular", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
time { font-variant-numeric: tabular-nums; }
summary { cursor: pointer; }
.quiet { color: var(--quiet); font-size: .9375rem; }
.target { flex: 1 1 16rem; color: var(--quiet); }

.verdict { margin-top: 1rem; padding: 1.125rem 1.25rem; border-left: 6px solid var(--tone); border-radius: 6px;
  background: var(--tone-ground); }
.verdict h2 { margin: 0; font-size: 1.625rem; line-height: 1.25; color: var(--tone); }
.verdict h2:focus { outline: none; }
.verdict p { margin-top: .25rem; }
.tone-critical, .tone-failed { --tone: var(--critical); --tone-ground: var(--critical-ground); }
.tone-warning, .tone-stale { --tone: var(--warning); --tone-ground: var(--warning-ground); }
.tone-unknown, .tone-pending, .tone-info { --tone: var(--unknown); --tone-ground: var(--unknown-ground); }
.tone-ok { --tone: var(--ok); --tone-ground: var(--ok-ground); }
.tone-empty { --tone: var(--quiet); --tone-ground: transparent; }
.tag { display: inline-block; padding: 0 .5rem; border: 1px solid var(--tone); border-radius: 1rem; color: var(--tone);
  background: var(--tone-ground); font-size: .875rem; font-weight: 600; white-space: nowrap; }
.tone-pending.tag, .tone-empty.tag { border-style: dashed; }

.problems, .running, .incidents, .events, .links { list-style: none; margin: 0; padding: 0; }
.problems li { margin-top: .75rem; padding: 1rem 1.25rem; background: var(--sheet); border: 1px solid var(--line);
  border-left: 6px solid var(--tone); border-radius: 6px; }
.problems h3 { font-size: 1.125rem; line-height: 1.35; margin-top: .25rem; }
.problems p { margin-top: .375rem; }
.since { color: var(--quiet); margin-left: .5rem; font-size: .9375rem; }
.maintenance { margin-top: 1rem; padding: .75rem 1.25rem; border-left: 6px solid var(--unknown); border-radius: 6px;
  background: var(--unknown-ground); }

table { width: 100%; border-collapse: separate; border-spacing: 0; background: var(--sheet);
  border: 1px solid var(--line); border-radius: 6px; }
th { text-align: left; font-size: .875rem; font-weight: 600; color: var(--quiet); }
th, td { padding: .625rem .75rem; vertical-align: top; border-bottom: 1px solid var(--line); }
tbody tr:last-child > * { border-bottom: 0; }
thead th { white-space: nowrap; }
tbody th { width: 45%; color: var(--ink); font-size: 1rem; font-weight: 600; }
tbody th code { display: block; font-weight: 400; color: var(--quiet); }
tbody th .message, tbody th .quiet { margin-top: .25rem; font-weight: 400; font-size: .9375rem; }
tbody th .message { color: var(--tone); }
td { white-space: nowrap; font-variant-numeric: tabular-nums; }
td small { display: block; max-width: 13rem; white-space: normal; color: var(--quiet); font-size: .875rem; }
td small.nowrap { white-space: nowrap; }
th.number, td.number { text-align: right; }
meter { width: 7rem; vertical-align: middle; }
table + .quiet { margin-top: .5rem; }

.checks > p { color: var(--quiet); font-size: .9375rem; }
.checks details { margin-top: .5rem; padding: .75rem 1.25rem; background: var(--sheet); border: 1px solid var(--line);
  border-left: 6px solid var(--tone); border-radius: 6px; }
.checks summary { color: var(--quiet); font-size: .9375rem; }
.checks h3 { display: inline; color: var(--ink); }
.checks details p { margin-top: .5rem; }
.checks ul { margin: .375rem 0 0; padding-left: 1.25rem; }
.checks li { margin-top: .25rem; }
.checks pre { margin: .5rem 0 0; padding: .625rem .75rem; background: var(--ground); border-radius: 4px;
  white-space: pre-wrap; }

.events li { display: grid; grid-template-columns: 15.5rem 1fr; gap: 0 1rem; padding: .625rem 0;
  border-top: 1px solid var(--line); }
.events li:first-child { border-top: 0; }
.events code { color: var(--quiet); margin-right: .25rem; }
.uptime { margin-top: 1.25rem; }

.running li, .incidents li { display: flex; justify-content: space-between; align-items: center; gap: .25rem 1rem; }
.running li { margin-top: .75rem; padding: .75rem 1.25rem; background: var(--sheet); border: 1px solid var(--line);
  border-radius: 6px; }
/* Without script, the browser scrolls to the button: keep the verdict above it in view. */
.running button { scroll-margin-top: 14rem; }
.incidents { margin-top: .75rem; columns: 2; column-gap: 2rem; }
.incidents li { break-inside: avoid; padding: .25rem 0; border-bottom: 1px solid var(--line); align-items: flex-start; }
.incidents summary { padding: .375rem 0; margin-left: 1.25rem; list-style-position: outside; }
.incidents details .quiet { margin-left: 1.25rem; }
.incidents details .quiet { padding-bottom: .375rem; }
.incidents li > :is(form, .tag, .quiet) { flex: none; }
.incidents li > :is(.tag, .quiet) { margin-top: .375rem; }
button { font: inherit; font-weight: 600; min-height: 2.25rem; padding: .125rem 1rem; border-radius: 6px; cursor: pointer;
  border: 1px solid var(--quiet); background: transparent; color: var(--ink); white-space: nowrap; }
button:hover { border-color: var(--ink); }
button.end { border-color: var(--button); background: var(--button); color: var(--button-ink); }
button[aria-disabled] { cursor: progress; opacity: .7; }
.runbook { padding-bottom: 2.5rem; }
.runbook h1 { margin: 1rem 0; font-size: 1.625rem; }
.runbook :is(p, ul, ol, table, pre) { margin: .5rem 0; }
.runbook :is(th, td) { white-space: normal; }
.runbook tbody td:first-child { width: 30%; }
.runbook pre { padding: .625rem .75rem; background: var(--sheet); border: 1px solid var(--line); border-radius: 4px;
  white-space: pre-wrap; }
footer { padding-top: 2.5rem; padding-bottom: 2.5rem; }
.links { display: flex; flex-wrap: wrap; gap: .25rem 1.5rem; }
.links a { display: inline-block; padding: .25rem 0; }
footer p { margin-top: .75rem; }
.skip:not(:focus) { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.skip:focus { position: absolute; left: 1rem; top: .5rem; background: var(--sheet); padding: .25rem .75rem; }
[hidden] { display: none; }
.old main { opacity: .75; filter: grayscale(1); }
.banner { position: sticky; top: 0; z-index: 1; padding: .75rem 1.25rem; text-align: center; font-weight: 600;
  background: var(--critical); color: var(--sheet); }

@media (max-width: 60rem) {
  header, main, footer { padding-left: 1rem; padding-right: 1rem; }
  .verdict h2 { font-size: 1.375rem; }
  table, tbody, th, td { display: block; }
  table { border: 0; background: none; }
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  tbody tr { display: flex; flex-wrap: wrap; gap: .25rem 1rem; margin-bottom: .5rem; padding: .75rem 1rem;
    background: var(--sheet); border: 1px solid var(--line); border-radius: 6px; }
  tbody th, tbody td { padding: 0; border: 0; text-align: left; }
  th.number, td.number { text-align: left; }
  tbody th, .memory tbody th { flex: 1 0 100%; width: auto; }
  td { white-space: normal; }
  td::before { content: attr(data-label) ": "; font-size: .875rem; color: var(--quiet); }
  td small { display: inline; margin-left: .375rem; }
  .memory td { flex: 1 0 9rem; }
  .memory td::before { content: attr(data-label); display: block; }
  .memory td small { display: block; margin: 0; }
  td.state::before { display: none; }
  td.state { flex: 1 0 100%; order: -1; }
  td:empty { display: none; }
}
@media (max-width: 40rem) {
  .events li { grid-template-columns: 1fr; }
  .incidents { columns: 1; }
  button { min-height: 2.75rem; }
}
@media print {
  :root { --ground: #fff; --sheet: #fff; --ink: #000; --quiet: #444; --line: #bbb; --critical: #a00; --warning: #740;
    --unknown: #336; --ok: #153; --critical-ground: #fff; --warning-ground: #fff; --unknown-ground: #fff; --ok-ground: #fff; }
  body { font-size: 11pt; }
  .incidents, .live, form { display: none; }
  .problems li, tbody tr, .events li { break-inside: avoid; }
}
`);

/**
 * Keeps an open page current. It fetches the page every few seconds and replaces its content. When that fails
 * it says so, because a page that stays green after the exporter has died is worse than none. It also submits
 * the demo's forms without leaving the page. Focus, open details and selected text survive a refresh.
 */
export const script = withoutIndent(`
(() => {
  const everyMs = ${refreshSeconds * 1000};
  const oldAfterMs = 3 * everyMs;
  const banner = document.getElementById('old');
  const notice = document.getElementById('notice');
  let readAt = Date.now();
  let busy = false;
  let actions = 0;
  const keyOf = (element) => element.id || [element.tagName, element.getAttribute('href'), element.textContent].join(' ');
  const focusable = () => [...document.querySelectorAll('main :is(a, button, summary, [tabindex])')];
  const show = (text) => {
    const next = new DOMParser().parseFromString(text, 'text/html');
    const main = next.querySelector('main');
    if (!main) return;
    const active = document.activeElement;
    const key = active && active.closest('main') ? keyOf(active) : undefined;
    for (const { id } of document.querySelectorAll('main details[open]')) next.getElementById(id)?.setAttribute('open', '');
    document.querySelector('main').replaceWith(document.adoptNode(main));
    document.title = next.title;
    document.querySelector('link[rel=icon]').href = next.querySelector('link[rel=icon]').href;
    if (key !== undefined) focusable().find((element) => keyOf(element) === key)?.focus({ preventScroll: true });
    readAt = Date.now();
  };
  const mark = () => {
    const age = Date.now() - readAt;
    const old = age > oldAfterMs;
    document.documentElement.classList.toggle('old', old);
    banner.hidden = !old;
    if (old) banner.textContent = 'This page has not been updated for ' + Math.round(age / 1000) +
      ' s: its data is out of date.';
  };
  const refresh = async () => {
    if (busy || document.hidden) return;
    busy = true;
    const before = actions;
    try {
      const response = await fetch(location.href, { cache: 'no-store', signal: AbortSignal.timeout(everyMs) });
      const text = response.ok ? await response.text() : '';
      if (before === actions && !String(getSelection())) show(text);
    } catch {
    } finally {
      busy = false;
      mark();
    }
  };
  const act = async (form, button) => {
    const { id } = button;
    const isEnd = button.classList.contains('end');
    button.setAttribute('aria-disabled', 'true');
    button.firstChild.data = isEnd ? 'Ending' : 'Starting';
    let problem = '';
    try {
      const response = await fetch(form.action, { method: 'POST' });
      const text = await response.text();
      if (response.ok) show(text);
      else problem = text;
    } catch {
      problem = 'No response from the exporter.';
    }
    actions += 1;
    notice.textContent = problem;
    notice.hidden = problem === '';
    if (problem !== '') await refresh();
    else document.querySelector('.verdict').scrollIntoView({ block: 'nearest' });
    document.getElementById(isEnd && problem === '' ? 'verdict' : id)?.focus({ preventScroll: true });
  };
  document.addEventListener('submit', (event) => {
    event.preventDefault();
    if (!event.submitter.hasAttribute('aria-disabled')) act(event.target, event.submitter);
  });
  setInterval(refresh, everyMs);
  setInterval(mark, 1000);
  document.addEventListener('visibilitychange', () => { mark(); refresh(); });
})();
`);

/** A tenth smaller: they are part of every page. */
function withoutIndent(text: string): string {
  return text.replace(/^ +/gm, '');
}
