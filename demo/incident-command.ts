/** `demo incident`: lists the incidents, or starts or ends one in a demo that runs in another terminal. */
import type { CommandIo } from '../src/cli/command.ts';
import { widthOf } from '../src/cli/help.ts';
import type { Settings } from '../src/config/sections/index.ts';
import { closest } from '../src/config/suggest.ts';
import { wrap } from '../src/lib/format.ts';
import { incidents } from './incidents/catalog.ts';
import type { Incident } from './incidents/incident.ts';
import type { IncidentOptionValues } from './options.ts';

const requestTimeoutMs = 30_000;

/** @returns the exit code: 0 done, 1 the demo rejected the request, 2 no such incident or no demo at the address */
export async function run(
  _settings: Settings,
  io: CommandIo,
  { name, stop, list, url }: IncidentOptionValues,
): Promise<number> {
  const base = url.replace(/\/+$/, '');
  const fail = (message: string): number => {
    io.stderr.write(`gitaly-exporter: ${message}\n`);
    return 2;
  };
  if (!URL.canParse(base)) return fail(`--url: found ${JSON.stringify(url)}, expected http://host:port`);
  if (stop && name === undefined)
    return fail('--stop needs the name of an incident: demo incident storage-dies --stop');
  if (list || name === undefined) {
    const running = await runningIncidents(base, io.signal);
    io.stdout.write(incidentList(running, widthOf(io.stdout)));
    return 0;
  }
  const names = incidents.map((incident) => incident.name);
  if (!names.includes(name)) {
    const similar = closest(name, names);
    const hint = similar === undefined ? `expected one of ${names.join(', ')}` : `did you mean ${similar}?`;
    return fail(`unknown incident ${JSON.stringify(name)}, ${hint}`);
  }
  const path = `/demo/incidents/${name}${stop ? '/end' : ''}`;
  const response = await request(base + path, 'POST', io.signal);
  if (response === undefined)
    return fail(`no demo responds at ${base}: start one with npm start, or pass its address with --url`);
  if (response.status === 404) return fail(`the server at ${base} is not a demo`);
  const message = (await response.text()).trim();
  const isDone = response.status < 400;
  (isDone ? io.stdout : io.stderr).write(`${message}\n`);
  return isDone ? 0 : 1;
}

/** `width` is that of the terminal. */
function incidentList(running: readonly string[], width: number): string {
  const paragraphs = incidents.map(({ name, title, description, watch, alerts, ends }: Incident) =>
    [
      `${name}: ${title}${running.includes(name) ? ' (running)' : ''}`,
      ...wrap(description, width, 2, 2),
      ...watch.flatMap(({ metric, shows }) => wrap(`${metric.name}: ${shows}`, width, 4, 6)),
      ...(alerts.length === 0 ? [] : wrap(`Alerts: ${alerts.join(', ')}`, width, 4, 6)),
      ...wrap(`End: ${ends}`, width, 4, 6),
    ].join('\n'),
  );
  return `${paragraphs.join('\n\n')}\n`;
}

/** Names of the running incidents; none when no demo responds. */
async function runningIncidents(base: string, signal: AbortSignal): Promise<readonly string[]> {
  const response = await request(`${base}/api/v1/status`, 'GET', signal);
  const status: unknown = response?.ok === true ? await response.json().catch(() => undefined) : undefined;
  if (typeof status !== 'object' || status === null || !('incidents' in status)) return [];
  return Array.isArray(status.incidents)
    ? status.incidents.filter(({ running }) => running === true).map(({ name }) => String(name))
    : [];
}

/** Redirects are not followed: the page's forms redirect to the page. Undefined when there is no response. */
async function request(
  url: string,
  method: 'GET' | 'POST',
  signal: AbortSignal,
): Promise<Response | undefined> {
  try {
    return await fetch(url, {
      method,
      redirect: 'manual',
      signal: AbortSignal.any([signal, AbortSignal.timeout(requestTimeoutMs)]),
    });
  } catch {
    return undefined;
  }
}
