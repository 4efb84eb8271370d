/** Starts and ends incidents at run time, several at the same time unless they need the same resource. */
import { describeThrown } from '../../src/lib/errors.ts';
import type { Incident, IncidentText, Scene } from './incident.ts';

/** An incident as the page and the status API show it. */
interface IncidentView extends IncidentText {
  readonly watch: readonly { readonly metric: string; readonly shows: string }[];
  readonly state: 'idle' | 'running' | 'ending';
  /** Clock.now() of its start; absent while idle. */
  readonly runningSince?: number;
  /** Its newest progress line, also after its end. */
  readonly progress?: string;
  /** The running incident that prevents its start. */
  readonly blockedBy?: string;
}

export interface IncidentResult {
  readonly ok: boolean;
  /** One line for the user. */
  readonly message: string;
}

export interface Incidents {
  list(): readonly IncidentView[];
  /** Resolves when it has started. Starting a running incident is not an error. */
  start(name: string): Promise<IncidentResult>;
  /** Resolves when its changes are undone. Stopping an idle incident is not an error. */
  stop(name: string): Promise<IncidentResult>;
}

export interface IncidentRunner extends Incidents {
  stopAll(): Promise<void>;
}

interface IncidentRunnerOptions
  extends Pick<Scene, 'cluster' | 'sql' | 'database' | 'gitalys' | 'node' | 'kubernetes'> {
  readonly incidents: readonly Incident[];
  log(line: string): void;
}

interface IncidentRun {
  readonly end: AbortController;
  readonly startedAt: number;
  readonly finished: Promise<void>;
}

export function createIncidentRunner(options: IncidentRunnerOptions): IncidentRunner {
  const { incidents, log, ...world } = options;
  const { clock } = world.cluster;
  const runs = new Map<string, IncidentRun>();
  const progress = new Map<string, string>();

  function conflictOf(incident: Incident): string | undefined {
    const other = incidents.find(
      ({ name, needs }) =>
        name !== incident.name && runs.has(name) && needs.some((need) => incident.needs.includes(need)),
    );
    return other?.name;
  }

  function view(incident: Incident): IncidentView {
    const { name, title, description, alerts, ends } = incident;
    const run = runs.get(name);
    const newest = progress.get(name);
    const conflict = conflictOf(incident);
    return {
      name,
      title,
      description,
      alerts,
      ends,
      watch: incident.watch.map(({ metric, shows }) => ({ metric: metric.name, shows })),
      state: run === undefined ? 'idle' : run.end.signal.aborted ? 'ending' : 'running',
      ...(run === undefined ? {} : { runningSince: run.startedAt }),
      ...(newest === undefined ? {} : { progress: newest }),
      ...(conflict === undefined ? {} : { blockedBy: conflict }),
    };
  }

  const unknown = (name: string): IncidentResult => ({
    ok: false,
    message: `unknown incident ${JSON.stringify(name)}, expected one of ${incidents.map((incident) => incident.name).join(', ')}`,
  });

  function begin(incident: Incident): void {
    const end = new AbortController();
    const report = (line: string): void => {
      progress.set(incident.name, line);
      log(`${incident.name}: ${line}`);
    };
    report('started');
    const finished = incident
      .run(createScene(end.signal, report))
      .then(() => report('ended'))
      .catch((error: unknown) => report(`failed: ${describeThrown(error)}`))
      .finally(() => runs.delete(incident.name));
    runs.set(incident.name, { end, startedAt: clock.now(), finished });
  }

  function createScene(signal: AbortSignal, report: Scene['report']): Scene {
    const sleep = (ms: number) => clock.sleep(ms, signal);
    return {
      ...world,
      signal,
      report,
      sleep,
      async untilEnded() {
        while (!signal.aborted) await sleep(60_000);
      },
      async until(condition) {
        const holds = async () => condition();
        while (!signal.aborted && !(await holds().catch(() => false))) await sleep(100);
      },
    };
  }

  async function stop(name: string): Promise<IncidentResult> {
    const incident = incidents.find((candidate) => candidate.name === name);
    if (incident === undefined) return unknown(name);
    const run = runs.get(name);
    if (run === undefined) return { ok: true, message: `${name} is not running` };
    run.end.abort(new Error(`${name} was ended`));
    await run.finished;
    return { ok: true, message: `${name} ended` };
  }

  return {
    list: () => incidents.map(view),
    async start(name) {
      const incident = incidents.find((candidate) => candidate.name === name);
      if (incident === undefined) return unknown(name);
      const conflict = conflictOf(incident);
      if (conflict !== undefined)
        return { ok: false, message: `${name} cannot start while ${conflict} runs: end ${conflict} first` };
      if (runs.has(name)) return { ok: true, message: `${name} is already running` };
      begin(incident);
      return { ok: true, message: `${name} started` };
    },
    stop,
    async stopAll() {
      await Promise.all([...runs.keys()].map(stop));
    },
  };
}
