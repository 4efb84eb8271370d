/**
 * The page's only style sheet, inline, with nothing loaded from anywhere. Colours are named once, for light and
 * dark; every pair of text and ground has a contrast of 4.5 or more (WCAG AA). State is never told by colour
 * alone: each has a sign and a word as well.
 */
export const style = `
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
a:focus-visible, button:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; border-radius: 3px; }
code { font: .875em/1.4 ui-monospace, "SFMono-Regular", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
time { font-variant-numeric: tabular-nums; }
.quiet { color: var(--quiet); font-size: .9375rem; }
.target { flex: 1 1 16rem; color: var(--quiet); }

.verdict { margin-top: 1rem; padding: 1.125rem 1.25rem; border-left: 6px solid var(--tone); border-radius: 6px;
  background: var(--tone-ground); }
.verdict h2 { margin: 0; font-size: 1.625rem; line-height: 1.25; color: var(--tone); }
.verdict p { margin-top: .25rem; }
.tone-critical { --tone: var(--critical); --tone-ground: var(--critical-ground); }
.tone-warning, .tone-stale { --tone: var(--warning); --tone-ground: var(--warning-ground); }
.tone-failed { --tone: var(--critical); --tone-ground: var(--critical-ground); }
.tone-unknown, .tone-pending { --tone: var(--unknown); --tone-ground: var(--unknown-ground); }
.tone-ok { --tone: var(--ok); --tone-ground: var(--ok-ground); }
.tone-empty { --tone: var(--quiet); --tone-ground: transparent; }
.tag { display: inline-block; padding: 0 .5rem; border: 1px solid var(--tone); border-radius: 1rem; color: var(--tone);
  background: var(--tone-ground); font-size: .875rem; font-weight: 600; white-space: nowrap; }
.tone-pending.tag, .tone-empty.tag { border-style: dashed; }

.problems, .incidents, .events, .links { list-style: none; margin: 0; padding: 0; }
.problems li { margin-top: .75rem; padding: 1rem 1.25rem; background: var(--sheet); border: 1px solid var(--line);
  border-left: 6px solid var(--tone); border-radius: 6px; }
.problems h3 { font-size: 1.125rem; line-height: 1.35; margin-top: .25rem; }
.problems p { margin-top: .375rem; }
.since { color: var(--quiet); margin-left: .5rem; font-size: .9375rem; }
.action b { font-weight: 600; }

table { width: 100%; border-collapse: separate; border-spacing: 0; background: var(--sheet);
  border: 1px solid var(--line); border-radius: 6px; }
th { text-align: left; font-size: .875rem; font-weight: 600; color: var(--quiet); }
th, td { padding: .625rem .75rem; vertical-align: top; border-bottom: 1px solid var(--line); }
tbody tr:last-child > * { border-bottom: 0; }
thead th { white-space: nowrap; }
tbody th { width: 45%; color: var(--ink); font-size: 1rem; font-weight: 600; }
tbody th code { display: block; font-weight: 400; color: var(--quiet); }
tbody th .message { margin-top: .25rem; font-weight: 400; font-size: .9375rem; color: var(--tone); }
td { white-space: nowrap; font-variant-numeric: tabular-nums; }
td small { display: block; max-width: 13rem; white-space: normal; color: var(--quiet); font-size: .875rem; }
td small.hold { white-space: nowrap; }
th.number, td.number { text-align: right; }

.planned { margin-top: 1rem; padding: .75rem 1.25rem; border-left: 6px solid var(--unknown); border-radius: 6px;
  background: var(--unknown-ground); }
.memory tbody th { width: 38%; }
.memory tbody th .quiet { font-weight: 400; }
.memory tbody th .message { font-size: .9375rem; font-weight: 400; margin-top: .25rem; color: var(--tone); }
meter { width: 7rem; vertical-align: middle; }

.posture > p, .posture summary { color: var(--quiet); font-size: .9375rem; }
.posture details { margin-top: .5rem; padding: .75rem 1.25rem; background: var(--sheet); border: 1px solid var(--line);
  border-left: 6px solid var(--tone); border-radius: 6px; }
.posture summary { cursor: pointer; }
.posture summary h3 { display: inline; color: var(--ink); }
.posture summary:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; border-radius: 3px; }
.posture details p { margin-top: .5rem; }
.posture ul { margin: .375rem 0 0; padding-left: 1.25rem; }
.posture pre { margin: .5rem 0 0; padding: .625rem .75rem; overflow-x: auto; background: var(--ground); border-radius: 4px;
  overflow-wrap: normal; }
.tone-advice { --tone: var(--unknown); --tone-ground: var(--unknown-ground); }

.events li { display: grid; grid-template-columns: 15.5rem 1fr; gap: 0 1rem; padding: .625rem 0;
  border-top: 1px solid var(--line); }
.events li:first-child { border-top: 0; }
.events code { color: var(--quiet); margin-right: .75rem; }

.demo > p { margin-bottom: .75rem; }
.incidents { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); gap: .75rem; }
.incidents li { display: flex; flex-direction: column; gap: .375rem; padding: 1rem 1.25rem; background: var(--sheet);
  border: 1px solid var(--line); border-radius: 6px; }
.incidents form { margin-top: auto; padding-top: .5rem; }
button { font: inherit; font-weight: 600; min-height: 2.5rem; padding: .25rem 1rem; border-radius: 6px; cursor: pointer;
  border: 1px solid var(--quiet); background: transparent; color: var(--ink); }
button:hover { border-color: var(--ink); }
button.end { border-color: var(--button); background: var(--button); color: var(--button-ink); }
.running { margin-top: 1.25rem; }
footer { padding-top: 2.5rem; padding-bottom: 2.5rem; }
.links { display: flex; flex-wrap: wrap; gap: .25rem 1.5rem; }
.links a { display: inline-block; padding: .25rem 0; }
footer p { margin-top: .75rem; }
.skip { position: absolute; left: -100vw; }
.skip:focus { left: 1rem; top: .5rem; background: var(--sheet); padding: .25rem .75rem; }
[hidden] { display: none; }
.old main { opacity: .75; filter: grayscale(1); }
#old { position: sticky; top: 0; z-index: 1; padding: .75rem 1.25rem; text-align: center; font-weight: 600;
  background: var(--critical); color: var(--sheet); }

@media (max-width: 60rem) {
  header, main, footer { padding-left: 1rem; padding-right: 1rem; }
  .verdict h2 { font-size: 1.375rem; }
  table, tbody, th, td { display: block; }
  table { border: 0; background: none; }
  thead { position: absolute; left: -100vw; }
  tbody tr { display: grid; grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); gap: .5rem 1rem; margin-bottom: .75rem; padding: .875rem 1rem;
    background: var(--sheet); border: 1px solid var(--line); border-radius: 6px; }
  tbody th, tbody td { padding: 0; border: 0; text-align: left; }
  th.number, td.number { text-align: left; }
  tbody th { grid-column: 1 / -1; width: auto; }
  td { white-space: normal; }
  td::before { content: attr(data-label); display: block; font-size: .8125rem; color: var(--quiet); }
  td.state::before { display: none; }
  td.state { grid-column: 1 / -1; order: -1; }
  td:empty { display: none; }
}
@media (max-width: 40rem) {
  .events li { grid-template-columns: 1fr; }
  button { width: 100%; min-height: 2.75rem; }
}
@media print {
  :root { --ground: #fff; --sheet: #fff; --ink: #000; --quiet: #444; --line: #bbb; --critical: #a00; --warning: #740;
    --unknown: #336; --ok: #153; --critical-ground: #fff; --warning-ground: #fff; --unknown-ground: #fff; --ok-ground: #fff; }
  body { font-size: 11pt; }
  .demo, .live { display: none; }
  .problems li, tbody tr, .events li { break-inside: avoid; }
}
`;
