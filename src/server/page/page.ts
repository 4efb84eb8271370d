/** The page: verdict and problems, the demo's incidents, memory, collectors, recommendations, events, links. */

import type {
  AlertView,
  DemoIncidentView,
  MaintenanceWindowView,
  ProblemView,
  StatusView,
} from '../../app/status-view.ts';
import { durationText } from '../../lib/format.ts';
import type { Event } from '../../scheduler/event-log.ts';
import { assessStatus, type StatusAssessment } from '../assessment.ts';
import { refreshSeconds, script, style } from './assets.ts';
import { anchor, type Html, html, timeTag, toText, verbatim } from './html.ts';
import { collectorsTable, memorySection, podsSection, recommendationsSection, tag } from './sections.ts';

export interface PageContent {
  readonly status: StatusView;
  readonly telemetryPath: string;
  /** Clock.now(), the reference of all ages. */
  readonly now: number;
}

const iconColors = { critical: 'b3261e', warning: 'd98a00', unknown: '7a86c2', ok: '2b9a61' } as const;

/** The whole document. Its links are relative, so that it works below any path of a proxy. */
export function renderPage({ status, telemetryPath, now }: PageContent): string {
  const assessment = assessStatus(status, now);
  const { program, target, demo, checks } = status;
  const incidents = demo?.incidents ?? [];
  const links = [
    { text: 'Metrics', href: telemetryPath.slice(1) },
    { text: 'Status as JSON', href: 'api/v1/status' },
    { text: 'Readiness', href: '-/ready' },
    ...status.links,
  ];
  const icon = `data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Ccircle cx='8' cy='8' r='7' fill='%23${iconColors[assessment.verdict]}'/%3E%3C/svg%3E`;
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
<a class="skip" href="#verdict">Skip to the current status</a>
<div id="old" class="banner" role="alert" hidden></div>
<div id="notice" class="banner" role="alert" hidden></div>
<header>
<h1>${program.name} <span>${program.version}</span></h1>
<p class="target">Monitoring ${target}</p>
</header>
<main>
${verdictPanel(assessment, now)}
${runningIncidents(incidents, now)}
${assessment.problems.length > 0 && problemsList(assessment.problems, now)}
${(status.maintenanceWindows ?? []).map((window) => maintenanceWindow(window, now))}
${incidents.length > 0 && incidentsSection(incidents)}
${status.pods && podsSection(status.pods, now)}
${status.memory && memorySection(status.memory, now)}
<h2 id="collectors">Collectors</h2>
${collectorsTable(assessment.collectors, now)}
${checks && recommendationsSection(checks, now)}
<h2>Recent events</h2>
${eventsList(status.events, status.startedAt, now)}
<p class="quiet uptime">Up for ${durationText(now - status.startedAt)}, since ${timeTag(status.startedAt, now)}.</p>
</main>
<footer>
<ul class="links">${links.map((link) => html`<li>${anchor(link)}</li>`)}</ul>
<p class="quiet live">This page refreshes every ${refreshSeconds} s, and warns when it cannot.</p>
</footer>
<script>${verbatim(script)}</script>
</body>
</html>
`);
}

const verdictPanel = ({ verdict, headline, summary }: StatusAssessment, now: number): Html =>
  html`<section class="verdict tone-${verdict}" aria-labelledby="verdict" role="status">
<h2 id="verdict" tabindex="-1">${headline}</h2>
<p>${summary} As of ${timeTag(now, now)}.</p>
</section>`;

/** The API has all. */
const shownProblems = 50;

const problemsList = (problems: readonly ProblemView[], now: number): Html => {
  const more = problems.length - shownProblems;
  return html`<ul class="problems" aria-label="Problems">${problems.slice(0, shownProblems).map((one) => problemItem(one, now))}</ul>
${more > 0 && html`<p class="quiet">${more} more problems are in the <a href="api/v1/status">API</a>.</p>`}`;
};

const problemItem = (problem: ProblemView, now: number): Html => html`<li class="tone-${problem.severity}">
<span class="tag">${problem.severity}</span>${problem.since !== undefined && html`<span class="since">since ${timeTag(problem.since, now)}, for ${durationText(now - problem.since)}</span>`}
<h3>${problem.title}</h3>
${problem.detail !== undefined && html`<p>${problem.detail}</p>`}
${problem.action !== undefined && html`<p><b>Next step:</b> ${problem.action}</p>`}
${problem.alert && alertLine(problem.alert)}
</li>`;

const alertLine = ({ name, state, runbook }: AlertView): Html =>
  html`<p><b>Alert:</b> ${name}${state !== undefined && html` (${state})`} · ${anchor(runbook)}</p>`;

const maintenanceWindow = ({ endsAt, name }: MaintenanceWindowView, now: number): Html =>
  html`<p class="maintenance"><b>Maintenance window open:</b> ${name}${endsAt !== undefined && html`, until ${timeTag(endsAt, now)}`}. The alerts that it covers are suppressed.</p>`;

const shownEvents = 20;

function eventsList(events: readonly Event[], startedAt: number, now: number): Html {
  if (events.length === 0) {
    return html`<p class="quiet">None since the exporter started ${durationText(now - startedAt)} ago.</p>`;
  }
  const older = events.length - shownEvents;
  return html`<ol class="events">${events.slice(0, shownEvents).map((event) => eventItem(event, now))}</ol>
${older > 0 && html`<p class="quiet">${older} older events are in the API.</p>`}`;
}

const eventItem = ({ at, kind, message }: Event, now: number): Html =>
  html`<li><span class="quiet">${timeTag(at, now)}, ${durationText(now - at)} ago</span><span><code>${kind}</code> ${message}</span></li>`;

// --- The demo's incidents: plain forms, which work without script. An incident has one control, with one id:
// the button that starts it, or while it runs, the button under the verdict that ends it. ---

const incidentPath = (name: string): string => `demo/incidents/${encodeURIComponent(name)}`;

function runningIncidents(incidents: readonly DemoIncidentView[], now: number): Html | false {
  const running = incidents.filter(({ runningSince }) => runningSince !== undefined);
  return (
    running.length > 0 &&
    html`<ul class="running" aria-label="Running incidents">${running.map((one) => runningIncident(one, now))}</ul>`
  );
}

function runningIncident(
  { name, title, runningSince = 0, state, progress }: DemoIncidentView,
  now: number,
): Html {
  const isEnding = state === 'ending';
  return html`<li>
<div><b>${title}</b> ${tag('warning', '●', `${isEnding ? 'ending' : 'running'}, ${durationText(now - runningSince)}`)}${progress !== undefined && html`<p class="quiet">${progress}</p>`}</div>
<form method="post" action="${incidentPath(name)}/end"><button id="incident-${name}" class="end"${isEnding && html` aria-disabled="true"`}>${isEnding ? 'Ending' : 'End'}<span class="skip">: ${title}</span></button></form>
</li>`;
}

const incidentsSection = (
  incidents: readonly DemoIncidentView[],
): Html => html`<section aria-labelledby="demo">
<h2 id="demo">Demo incidents</h2>
<p class="quiet">The cluster is simulated, on a real PostgreSQL. Start an incident, then watch this page and the metrics.</p>
<ul class="incidents">${incidents.map(incidentItem)}</ul>
</section>`;

const incidentItem = ({
  name,
  title,
  description,
  runningSince,
  blockedBy,
}: DemoIncidentView): Html => html`<li>
<details id="about-${name}"><summary id="about-${name}-summary">${title}</summary><p class="quiet">${blockedBy !== undefined && html`It cannot run together with ${blockedBy}. `}${description}</p></details>
${runningSince !== undefined ? tag('warning', '●', 'running') : blockedBy !== undefined ? html`<span class="quiet">blocked</span>` : startForm(name, title)}
</li>`;

const startForm = (name: string, title: string): Html =>
  html`<form method="post" action="${incidentPath(name)}"><button id="incident-${name}">Start<span class="skip">: ${title}</span></button></form>`;
