/** The page's content for programs: `/api/v1/status`. Times as RFC 3339 in UTC, durations in seconds. */
import type { Assessment } from './assessment.ts';
import type { StatusView } from './status-view.ts';

/** What JSON.stringify writes; absent where unknown, as in the status itself. */
export function statusJson(status: StatusView, assessment: Assessment, now: number): unknown {
  return {
    time: time(now),
    program: status.program,
    target: status.target,
    startedAt: time(status.startedAt),
    verdict: assessment.verdict,
    headline: assessment.headline,
    knowledge: assessment.knowledge,
    problems: assessment.problems.map((problem) => ({ ...problem, since: time(problem.since) })),
    collectors: assessment.collectors.map((collector) => ({
      name: collector.name,
      title: collector.title,
      state: collector.state,
      reason: collector.reason,
      message: collector.message,
      since: time(collector.since),
      readAt: time(collector.readAt),
      ageSeconds: collector.readAt === undefined ? undefined : seconds(Math.max(0, now - collector.readAt)),
      durationSeconds: seconds(collector.durationMs),
      intervalSeconds: seconds(collector.everyMs),
      stretchedBy: collector.stretchedBy,
      maxAgeSeconds: seconds(collector.maxAgeMs),
      series: collector.series,
    })),
    maintenanceWindows: status.maintenanceWindows?.map(({ endsAt, ...window }) => ({
      ...window,
      endsAt: time(endsAt),
    })),
    memory: status.memory && {
      notes: status.memory.notes,
      servers: status.memory.servers.map(({ kills, ...server }) => ({
        ...server,
        kills: kills?.map(({ last, ...kill }) => ({ ...kill, last: time(last) })),
      })),
    },
    events: status.events.map(({ at, kind, message, labels }) => ({ time: time(at), kind, message, labels })),
    links: status.links,
    incidents: status.demo?.incidents.map(({ runningSince, ...incident }) => ({
      ...incident,
      running: runningSince !== undefined,
      since: time(runningSince),
    })),
  };
}

const time = (ms: number | undefined): string | undefined =>
  ms === undefined || !Number.isFinite(ms) ? undefined : new Date(ms).toISOString();

const seconds = (ms: number | undefined): number | undefined =>
  ms === undefined ? undefined : Math.round(ms) / 1000;
