/** What the checks of recommendations cannot find out by themselves. */
import { duration } from '../kinds/quantities.ts';
import { optional, type Section } from '../setting.ts';

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
