/** What no source shows: maintenance windows, and how long clients retry. */
import { maintenanceWindows } from '../kinds/maintenance-window.ts';
import { duration } from '../kinds/quantities.ts';
import { optional, type Section } from '../setting.ts';

export const maintenanceSection = {
  title: 'Maintenance',
  settings: {
    maintenance: {
      window: optional(maintenanceWindows(), {
        unset: 'none, except those from Kubernetes',
        help: 'Maintenance windows, each with a name: once (START/END), or recurring (five cron fields, "for" a duration, "in" a time zone). Separate several with semicolons. While one is open, alerts for the effects of planned work are suppressed.',
        example: 'weekly=0 2 * * 6 for 4h in Europe/Berlin',
      }),
    },
  },
} as const satisfies Section;

const second = 1000;

export const checksSection = {
  title: 'Recommendations',
  settings: {
    checks: {
      clientRetryWindow: optional(duration({ min: 0, max: 3600 * second }), {
        unset: 'not known, and then not checked',
        help: "How long GitLab's Rails and Sidekiq try a call to Gitaly again before they give up: with the chart's global.gitaly.client.maxAttempts and maxBackoff the sum of all waits. Held against how long a pod takes to come back.",
        example: '30s',
      }),
    },
  },
} as const satisfies Section;
