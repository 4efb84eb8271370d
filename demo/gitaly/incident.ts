/** The incident of the demo's Gitalys: a crawler runs into a limit, and others with it. */
import {
  concurrencyInProgress,
  concurrencyLimit,
  concurrencyQueued,
  concurrencyWait,
  requestsDropped,
} from '../../src/sources/gitaly/metrics.ts';
import type { Incident } from '../incidents/incident.ts';
import type { Flood } from './server.ts';

/** Far over what two at a time can serve, each for 1.5 s; a queue of four holds the rest for a moment. */
const crawler: Flood = { method: 'GetArchive', perSecond: 6, seconds: 1.5 };

/** @param set what comes in at each Gitaly of `default` from now on */
export function limitSaturated(set: (flood: Flood | undefined) => void): Incident {
  return {
    name: 'limit-saturated',
    title: 'A crawler runs into a concurrency limit',
    description:
      'Something downloads archives of one repository, 6 times a second from each Gitaly of `default`. GetArchive has a limit of 2 for each repository and a queue of 4: the rest is turned away with RESOURCE_EXHAUSTED, which error ratios leave out. Archives of other repositories go on as ever, for the limit is for each repository.',
    watch: [
      {
        metric: requestsDropped,
        shows: 'queue_full of GetArchive rises by about 5 per second and Gitaly, queue_wait now and then',
      },
      { metric: concurrencyQueued, shows: 'stays at about 4 for GetArchive' },
      { metric: concurrencyWait, shows: 'those that get through have waited for seconds' },
      { metric: concurrencyInProgress, shows: 'little over 2, which by itself would look harmless' },
      { metric: concurrencyLimit, shows: 'what is configured: 2' },
    ],
    alerts: [],
    ends: 'The crawler stops; the queue is empty within seconds, and two minutes later the limit counts as relieved.',
    needs: ['GetArchive'],
    async run({ say, untilEnded }) {
      set(crawler);
      say('a crawler asks for archives of one repository');
      await untilEnded();
      set(undefined);
      say('the crawler has stopped');
    },
  };
}
