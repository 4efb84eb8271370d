/** Starts and ends incidents while the demo runs, several at once as long as they do not need the same thing. */
import type { Cluster } from '../cluster.ts';
import type { Sql } from '../sql.ts';
import type { DatabaseControl, Incident, IncidentText, Scene } from './incident.ts';

/** What the page and the status for programs show of an incident; a superset of what the server asks for. */
export interface IncidentView extends IncidentText {
  readonly watch: readonly { readonly metric: string; readonly shows: string }[];
  readonly state: 'idle' | 'running' | 'ending';
  /** Clock.now() when it began; absent while idle. */
  readonly runningSince?: number;
  /** The newest thing that it said, also after its end. */
  readonly progress?: string;
  /** The incident beside which it can't be started right now. */
  readonly blockedBy?: string;
}

export interface IncidentResult {
  readonly ok: boolean;
  /** One sentence for whoever asked. */
  readonly message: string;
}

export interface Incidents {
  list(): readonly IncidentView[];
  /** Resolves as soon as it has begun. Starting one that runs is no error. */
  start(name: string): Promise<IncidentResult>;
  /** Resolves when all is undone. Stopping one that does not run is no error. */
  stop(name: string): Promise<IncidentResult>;
}

export interface Director extends Incidents {
  /** Ends all of them. */
  stopAll(): Promise<void>;
}

export interface DirectorOptions {
  readonly incidents: readonly Incident[];
  readonly cluster: Cluster;
  readonly sql: Sql;
  readonly database: DatabaseControl;
  say(line: string): void;
}

interface Run {
  readonly end: AbortController;
  readonly startedAt: number;
  readonly over: Promise<void>;
}

export function createDirector({ incidents, cluster, sql, database, say }: DirectorOptions): Director {
  const runs = new Map<string, Run>();
  const progress = new Map<string, string>();
  const { clock } = cluster;

  function conflictOf(incident: Incident): string | undefined {
    const other = incidents.find(
      ({ name, needs }) =>
        name !== incident.name && runs.has(name) && needs.some((need) => incident.needs.includes(need)),
    );
    return other?.name;
  }

  function view(incident: Incident): IncidentView {
    const { name, title, description, alerts, ends } = incident;
    const run = runs.get(incident.name);
    const said = progress.get(incident.name);
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
      ...(said === undefined ? {} : { progress: said }),
      ...(conflict === undefined ? {} : { blockedBy: conflict }),
    };
  }

  const unknown = (name: string): IncidentResult => ({
    ok: false,
    message: `no incident ${name}; there are ${incidents.map((incident) => incident.name).join(', ')}`,
  });

  function begin(incident: Incident): void {
    const end = new AbortController();
    const tell = (line: string): void => {
      progress.set(incident.name, line);
      say(`${incident.name}: ${line}`);
    };
    tell('begins');
    const over = incident
      .run(sceneOf(end.signal, tell))
      .then(() => tell('is over'))
      .catch((error: unknown) =>
        tell(`ended with an error: ${error instanceof Error ? error.message : error}`),
      )
      .finally(() => runs.delete(incident.name));
    runs.set(incident.name, { end, startedAt: clock.now(), over });
  }

  function sceneOf(signal: AbortSignal, tell: (line: string) => void): Scene {
    const sleep = (ms: number) => clock.sleep(ms, signal);
    return {
      cluster,
      signal,
      sql,
      database,
      say: tell,
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
    if (run === undefined) return { ok: true, message: `${name} is not going on` };
    run.end.abort(new Error(`${name} is ended`));
    await run.over;
    return { ok: true, message: `${name} is over` };
  }

  return {
    list: () => incidents.map(view),
    async start(name) {
      const incident = incidents.find((candidate) => candidate.name === name);
      if (incident === undefined) return unknown(name);
      const conflict = conflictOf(incident);
      if (conflict !== undefined) {
        return { ok: false, message: `${name} can't run beside ${conflict}: end that one first` };
      }
      if (runs.has(name)) return { ok: true, message: `${name} is going on already` };
      begin(incident);
      return { ok: true, message: `${name} begins` };
    },
    stop,
    async stopAll() {
      await Promise.all([...runs.keys()].map(stop));
    },
  };
}
