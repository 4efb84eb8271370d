/** What the demo says on the terminal. */
import { wrap } from '../src/lib/format.ts';
import type { DemoSettings } from './demo.ts';
import type { IncidentView } from './incidents/director.ts';
import type { IncidentText } from './incidents/incident.ts';
import type { Topology } from './topology.ts';

export interface Greeting {
  readonly url: string;
  readonly settings: DemoSettings;
  readonly topology: Topology;
  readonly incidents: readonly IncidentView[];
  /** How people call the command that sets off an incident: `npm start -- incident`. */
  readonly command: string;
}

/** How the command is called from here: in a clone through npm, else by its own name. */
export const incidentCommand = (env: Readonly<Record<string, string | undefined>>): string =>
  env['npm_lifecycle_event'] === 'start' ? 'npm start -- incident' : 'gitaly-exporter demo incident';

export function greeting({ url, settings, topology, incidents, command }: Greeting): string {
  const gitalys = topology.virtualStorages.reduce((sum, { storages }) => sum + storages.length, 0);
  const example = incidents[0]?.name ?? '';
  const rows: readonly (readonly [string, string])[] = [
    ['Page', `${url}/`],
    ['Metrics', `${url}/metrics`],
    [
      'Cluster',
      `${topology.praefects.length} Praefects and ${gitalys} Gitalys, simulated, on a real PostgreSQL; ${count(settings.repositories)} repositories, about ${count(settings.writesPerSecond)} writes a second`,
    ],
    [
      'Look at',
      'praefect_db_storage_healthy, praefect_db_replication_jobs, praefect_db_repositories_unavailable',
    ],
    ['Set off', `an incident on the page, or in another terminal: ${command} ${example}`],
    ['', `${command} --list explains all ${incidents.length}; --stop ends one`],
    ['End', 'Ctrl-C; nothing is left behind'],
  ];
  const lines = rows.map(([name, text]) => `  ${name.padEnd(9)}${text}`);
  return ['', ...lines, '', ''].join('\n');
}

const count = (number: number): string => number.toLocaleString('en-US');

/** A line of what happens, with the time of day. */
export const happening = (at: Date, line: string): string => `${at.toTimeString().slice(0, 8)}  ${line}\n`;

/** `demo incident --list`. `width` is the terminal's. */
export function incidentList(incidents: readonly ListedIncident[], width: number): string {
  const paragraphs = incidents.map(({ name, title, description, watch, alerts, ends, running }) =>
    [
      `${name}: ${title}${running ? ' (going on)' : ''}`,
      ...wrap(description, width, 2, 2),
      ...watch.flatMap(({ metric, shows }) => wrap(`${metric}: ${shows}`, width, 4, 6)),
      ...(alerts.length === 0 ? [] : wrap(`Alert: ${alerts.join(', ')}`, width, 4, 6)),
      ...wrap(`Ends: ${ends}`, width, 4, 6),
    ].join('\n'),
  );
  return `${paragraphs.join('\n\n')}\n`;
}

export interface ListedIncident extends IncidentText {
  readonly watch: IncidentView['watch'];
  readonly running: boolean;
}
