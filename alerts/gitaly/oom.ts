/** Processes that the kernel killed for want of memory, by whose limit ran out. */

import { durationInWords, promDuration } from '../../src/monitoring/durations.ts';
import { panelLink, serversDashboard } from '../../src/monitoring/links.ts';
import {
  above,
  atLeast,
  below,
  increase,
  labelled,
  maxBy,
  maxOverTime,
  oneOf,
  or,
  select,
  subtract,
  sumBy,
  time,
  unless,
} from '../../src/monitoring/promql/index.ts';
import type { Thresholds } from '../../src/rules/thresholds.ts';
import { bucketOomKills, lastOom, oomEvents, oomKills } from '../../src/sources/cgroup/metrics.ts';
import type { OomLevel } from '../../src/sources/cgroup/oom/record.ts';
import { podLastRestart, podRestarts } from '../../src/sources/kubernetes/metrics.ts';
import { serverInfo } from '../../src/sources/server-info.ts';
import { type Alert, alert } from '../alert.ts';
import { byOwnName, matched, own, serverLabels, serverName } from './servers.ts';

/** Levels at which Gitaly itself may be the victim; at the others it is a Git process. */
const ofGitaly = oneOf('container', 'pod', 'node');
const ofGit = oneOf('bucket', 'git');

const whatRanOut = {
  container:
    "The limit of Gitaly's container ran out. That was Gitaly itself, unless Git runs in its container too: its repositories were out of reach until it had started again.",
  pod: 'Gitaly and Git together ran into the limit of the pod. The kernel takes the largest process or the whole container, so this may have been Gitaly itself.',
  node: 'No limit of this Gitaly ran out: its node did, and the kernel chose a victim in this Gitaly. It may choose again.',
};

/** In GitLab's chart and operator. A sidecar that is killed is not Gitaly. */
const gitalyContainer = 'gitaly';

const pod = ['cluster', 'namespace', 'pod'] as const;

/** Pods of which an agent tells kills itself, with their level: what Kubernetes says of those it would say twice. */
const watchedWithin = (seconds: number) =>
  maxBy(pod, byOwnName(maxOverTime(select(serverInfo), promDuration(seconds))));

/** By its timestamp, not by the counter: it needs no second sample, and an exporter's restart changes nothing. */
export function oomKilled(thresholds: Thresholds): Alert {
  const shown = thresholds.oomWindow.value;
  const at = maxBy(
    [...serverLabels, 'level'],
    own(maxOverTime(select(lastOom, { level: ofGitaly }), promDuration(shown))),
  );
  const restarted = select(podLastRestart, { container: gitalyContainer, reason: 'OOMKilled' });
  const restartedAt = maxBy([...pod, 'node'], byOwnName(maxOverTime(restarted, promDuration(shown))));
  const toldByKubernetes = unless(below(subtract(time(), restartedAt), shown), watchedWithin(shown), {
    on: pod,
  });
  return alert({
    name: 'GitalyOOMKilled',
    severity: 'warning',
    expression: or(below(subtract(time(), at), shown), labelled(own(toldByKubernetes), 'level', 'container')),
    forSeconds: 0,
    panel: panelLink(serversDashboard, 'oomKills'),
    firesWhen: `within the last ${durationInWords(shown)} the kernel killed processes of a Gitaly because its container, its pod or its node was out of memory (without an agent: Kubernetes restarted its container as OOMKilled)`,
    summary: ({ by }) =>
      `${serverName}: processes killed, ${by('level', { container: "Gitaly's container", pod: 'the pod', node: 'the node' })} was out of memory`,
    description: ({ ask, by, same }) => {
      // Stands for whichever level the alert has.
      const level = same('level').level as OomLevel;
      const matchers = { ...same(...matched), level };
      const last = maxBy([], maxOverTime(select(lastOom, matchers), promDuration(shown)));
      const processes = maxBy([], increase(select(oomKills, matchers), promDuration(shown)));
      return `Last seen ${ask(last, 'moment', 'at a time that is not known')}; processes killed within ${durationInWords(shown)}: ${ask(processes, 'count', 'not known')}. ${by('level', whatRanOut)}`;
    },
  });
}

export function oomKilledRepeatedly(thresholds: Thresholds): Alert {
  const { keepFiring, oomRepeatedEvents, oomWindow } = thresholds;
  const window = promDuration(oomWindow.value);
  const byLevel = maxBy(
    [...serverLabels, 'level'],
    own(increase(select(oomEvents, { level: ofGitaly }), window)),
  );
  const restarts = select(podRestarts, { container: gitalyContainer, reason: 'OOMKilled' });
  const toldByKubernetes = unless(
    maxBy([...pod, 'node'], byOwnName(increase(restarts, window))),
    watchedWithin(oomWindow.value),
    { on: pod },
  );
  return alert({
    name: 'GitalyOOMKilled',
    severity: 'critical',
    expression: atLeast(or(sumBy(serverLabels, byLevel), own(toldByKubernetes)), oomRepeatedEvents.value),
    forSeconds: 0,
    keepFiringForSeconds: keepFiring.value,
    panel: panelLink(serversDashboard, 'oomKills'),
    firesWhen: `that happened ${oomRepeatedEvents.value} times or more within ${durationInWords(oomWindow.value)}`,
    summary: () => `${serverName}: killed again and again for want of memory`,
    description: ({ counted, list, same, since, when }) => {
      const matchers = same(...matched);
      const found = above(
        maxBy(['level'], increase(select(oomEvents, { ...matchers, level: ofGitaly }), window)),
        0,
      );
      return `${counted('time', 'times')} within ${durationInWords(oomWindow.value)}; it has been so since ${since}. ${when(found, `What ran out of memory: ${list(found, 'level')}. `)}Each time Gitaly itself or requests in flight may have been lost, and it does not end by itself.`;
    },
  });
}

export function gitOomKilled(thresholds: Thresholds): Alert {
  const { gitOomKills, gitOomWindow } = thresholds;
  const window = promDuration(gitOomWindow.value);
  const kills = maxBy([...serverLabels, 'level'], own(increase(select(oomKills, { level: ofGit }), window)));
  return alert({
    name: 'GitalyGitOOMKilled',
    severity: 'warning',
    expression: atLeast(kills, gitOomKills.value),
    forSeconds: 0,
    panel: panelLink(serversDashboard, 'oomByBucket'),
    firesWhen: `within ${durationInWords(gitOomWindow.value)} ${gitOomKills.value} Git processes or more of a Gitaly were killed because their bucket, or the parent of all Git processes, was out of memory`,
    summary: ({ by, counted }) =>
      `${serverName}: ${counted('Git process', 'Git processes')} killed, ${by('level', { bucket: 'buckets of repositories were', git: 'all Git processes together were' })} out of memory`,
    description: ({ by, list, same, since, when }) => {
      const killed = above(maxBy(['bucket'], increase(select(bucketOomKills, same(...matched)), window)), 0);
      return [
        `Since ${since}, counted over ${durationInWords(gitOomWindow.value)}.`,
        when(killed, `Buckets: ${list(killed, 'bucket')}.`, 'In which buckets is not told.'),
        by('level', {
          bucket:
            'Clones, fetches or pushes of repositories in these buckets fail, and their users see an error that does not mention memory. Gitaly itself runs.',
          git: 'The limit of all Git processes together ran out, so requests of any repository may be the victim, not only of those that use the most. Gitaly itself runs.',
        }),
      ].join(' ');
    },
  });
}
