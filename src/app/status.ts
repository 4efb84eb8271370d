/** From what the runner, the rules and the event log know to what the page and the API show. */

import { checksView } from '../rules/checks/api.ts';
import type { Evaluation } from '../rules/checks/evaluate.ts';
import type { DatedProblem } from '../rules/problems/record.ts';
import type { Event } from '../scheduler/event-log.ts';
import type { CollectorStatus } from '../scheduler/status.ts';
import type { CollectorView, DemoView, MaintenanceWindowView, StatusView } from '../server/status-view.ts';
import type { CgroupView } from '../sources/cgroup/view.ts';
import { memoryView } from './status-memory.ts';

export interface StatusParts {
  readonly version: string;
  readonly target: string;
  /** Clock.now() of the start. */
  readonly startedAt: number;
  readonly collectors: readonly CollectorStatus[];
  readonly problems: readonly DatedProblem[];
  readonly events: readonly Event[];
  /** The share of the database's time that all questions may take, for the words about stretched intervals. */
  readonly maxTimeRatio: number;
  /** Undefined where no cgroups are watched. */
  readonly cgroups: CgroupView | undefined;
  /** Planned work that is under way. */
  readonly planned: readonly MaintenanceWindowView[];
  /** Undefined where no recommendations are checked. */
  readonly checks: { latest(): Evaluation | undefined } | undefined;
  /** Clock.now() */
  readonly now: number;
  readonly demo: DemoView | undefined;
}

export function statusView(parts: StatusParts): StatusView {
  return {
    program: { name: 'gitaly-exporter', version: parts.version },
    target: parts.target,
    startedAt: parts.startedAt,
    problems: parts.problems.map(({ severity, title, detail, action, since }) => ({
      severity,
      title,
      detail,
      action,
      since: since * 1000,
    })),
    collectors: parts.collectors.map((status) => collectorView(status, parts.maxTimeRatio)),
    memory: parts.cgroups && memoryView(parts.cgroups),
    maintenanceWindows: parts.planned,
    checks: parts.checks && checksView(parts.checks.latest(), parts.now),
    events: parts.events,
    links: [],
    demo: parts.demo,
  };
}

function collectorView(status: CollectorStatus, maxTimeRatio: number): CollectorView {
  const { schedule } = status;
  const interval = schedule.kind === 'interval' ? schedule : undefined;
  return {
    name: status.name,
    title: status.title,
    state: status.state,
    reason: status.reason,
    message: status.message,
    since: status.since,
    readAt: status.readAt,
    durationMs: status.lastDurationMs,
    everyMs: interval?.effectiveEveryMs,
    slowedBy:
      interval?.budgetLimited === true ? `the database's budget of ${maxTimeRatio * 100} %` : undefined,
    maxAgeMs: interval?.effectiveMaxAgeMs,
    series: status.series,
  };
}
