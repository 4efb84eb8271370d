/** The landing page: what is wrong now, each collector's state, the latest events, where else to look. */
import type { Assessment } from '../assessment.ts';
import type { MaintenanceWindowView, StatusView } from '../status-view.ts';
import { checksPanel } from './checks.ts';
import { collectorsTable } from './collectors.ts';
import { demoPanel } from './demo.ts';
import { formatDuration } from './durations.ts';
import { eventsList } from './events.ts';
import { type Html, html, toText, verbatim } from './html.ts';
import { memorySection } from './memory.ts';
import { anchor, moment, verdictPanel } from './problems.ts';
import { refreshSeconds, script } from './script.ts';
import { style } from './style.ts';

const colours = { critical: 'b3261e', warning: 'd98a00', unknown: '7a86c2', ok: '2b9a61' } as const;

export interface PageContent {
  readonly status: StatusView;
  readonly assessment: Assessment;
  readonly telemetryPath: string;
  /** Clock.now(), to which all ages are reckoned. */
  readonly now: number;
}

/** The whole document. Its links are relative, so that it works below any path of a proxy. */
export function renderPage({ status, assessment, telemetryPath, now }: PageContent): string {
  const { program, target, demo, checks } = status;
  const links = [
    { text: 'Metrics', href: telemetryPath.slice(1) },
    { text: 'This page as JSON', href: 'api/v1/status' },
    { text: 'Ready?', href: '-/ready' },
    ...status.links,
  ];
  const icon = `data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Ccircle cx='8' cy='8' r='7' fill='%23${colours[assessment.verdict]}'/%3E%3C/svg%3E`;
  return toText(html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${assessment.headline} - ${program.name}</title>
<link rel="icon" href="${icon}">
<noscript><meta http-equiv="refresh" content="${3 * refreshSeconds}"></noscript>
<style>${verbatim(style)}</style>
</head>
<body>
<a class="skip" href="#verdict">To what is wrong now</a>
<div id="old" role="alert" hidden></div>
<header>
<h1>${program.name} <span>${program.version}</span></h1>
<p class="target">watches ${target}</p>
</header>
<main>
${verdictPanel(assessment, now)}
${planned(status.maintenanceWindows ?? [], now)}
${status.memory && memorySection(status.memory, now)}
${demo && demo.incidents.length > 0 && demoPanel(demo, now)}
<h2 id="collectors">Collectors</h2>
${collectorsTable(assessment.collectors, now)}
${checks && checksPanel(checks, now)}
<h2>Latest events</h2>
${eventsList(status.events, status.startedAt, now)}
<p class="quiet running">Running for ${formatDuration(now - status.startedAt)}, since ${moment(status.startedAt, now)}.</p>
</main>
<footer>
<ul class="links">${links.map((link) => html`<li>${anchor(link)}</li>`)}</ul>
<p class="quiet live">An open page keeps itself up to date, and says so when it cannot.</p>
</footer>
<script>${verbatim(script)}</script>
</body>
</html>
`);
}

const planned = (windows: readonly MaintenanceWindowView[], now: number): Html =>
  html`${windows.map(
    ({ endsAt, name }) =>
      html`<p class="planned"><b>Planned work is under way:</b> ${name}${endsAt !== undefined && html`, until ${moment(endsAt, now)}`}. Alerts that it holds are held.</p>`,
  )}`;
