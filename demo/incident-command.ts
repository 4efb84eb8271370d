/** `demo incident`: lists the incidents, or sets one off or ends it in a demo that runs in another terminal. */
import type { CommandIo } from '../src/cli/command.ts';
import { widthOf } from '../src/cli/help.ts';
import type { Settings } from '../src/config/sections/index.ts';
import { closest } from '../src/config/suggest.ts';
import type { IncidentOptionValues } from './commands.ts';
import { incidents } from './incidents/catalogue.ts';
import { incidentList } from './terminal.ts';

const answerWithinMs = 30_000;

/** @returns 0 done, 1 the demo refused, 2 no such incident or no demo there */
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
    const running = await whatGoesOn(base, io.signal);
    const listed = incidents.map(({ watch, ...incident }) => ({
      ...incident,
      watch: watch.map(({ metric, shows }) => ({ metric: metric.name, shows })),
      running: running.includes(incident.name),
    }));
    io.stdout.write(incidentList(listed, widthOf(io.stdout)));
    return 0;
  }
  const names = incidents.map((incident) => incident.name);
  if (!names.includes(name)) {
    const near = closest(name, names);
    return fail(
      `there is no incident ${JSON.stringify(name)}; ${near === undefined ? `there are ${names.join(', ')}` : `did you mean ${near}?`}`,
    );
  }
  const path = `/demo/incidents/${name}${stop ? '/end' : ''}`;
  const answer = await ask(base + path, 'POST', io.signal);
  if (answer === undefined) {
    return fail(`no demo answers at ${base}: start one, or say with --url where it listens`);
  }
  if (answer.status === 404) return fail(`what answers at ${base} is no demo`);
  const message = (await answer.text()).trim();
  const done = answer.status < 400;
  (done ? io.stdout : io.stderr).write(`${message}\n`);
  return done ? 0 : 1;
}

/** Names of the incidents that go on; none when no demo answers. */
async function whatGoesOn(base: string, signal: AbortSignal): Promise<readonly string[]> {
  const answer = await ask(`${base}/api/v1/status`, 'GET', signal);
  const status: unknown = answer?.ok === true ? await answer.json().catch(() => undefined) : undefined;
  if (typeof status !== 'object' || status === null || !('incidents' in status)) return [];
  return Array.isArray(status.incidents)
    ? status.incidents.filter(({ running }) => running === true).map(({ name }) => String(name))
    : [];
}

/** A form's answer is a redirect to the page, which is of no use here. */
async function ask(url: string, method: 'GET' | 'POST', signal: AbortSignal): Promise<Response | undefined> {
  try {
    return await fetch(url, {
      method,
      redirect: 'manual',
      signal: AbortSignal.any([signal, AbortSignal.timeout(answerWithinMs)]),
    });
  } catch {
    return undefined;
  }
}
