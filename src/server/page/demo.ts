/** The demo's incidents, each with a button that sets it off or ends it: plain forms, no script. */
import type { DemoView, IncidentView } from '../status-view.ts';
import { formatDuration } from './durations.ts';
import { type Html, html } from './html.ts';

export function demoPanel({ incidents }: DemoView, now: number): Html {
  return html`<section class="demo" aria-labelledby="demo">
<h2 id="demo">Set off an incident</h2>
<p class="quiet">The cluster is simulated, on a real PostgreSQL. Set something off and watch this page and the metrics.</p>
<ul class="incidents">${incidents.map((one) => incident(one, now))}</ul>
</section>`;
}

function incident({ name, title, description, runningSince }: IncidentView, now: number): Html {
  const path = `demo/incidents/${encodeURIComponent(name)}`;
  const running = runningSince !== undefined;
  return html`<li>
<h3>${title}</h3>
<p class="quiet">${description}</p>
${running && html`<p><span class="tag tone-warning">going on for ${formatDuration(now - runningSince)}</span></p>`}
<form method="post" action="${running ? `${path}/end` : path}"><button id="incident-${name}"${running && html` class="end"`}>${running ? 'End it' : 'Set it off'}<span class="skip">: ${title}</span></button></form>
</li>`;
}
