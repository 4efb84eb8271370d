/** Problems of memory and CPU of this host's Gitalys: OOM kills, limits that are nearly reached, throttled, or missing. Pure. */
import { bytesText, counted, durationText, listText, percentText, timeText } from '../../lib/format.ts';
import type { Level } from '../../sources/cgroup/level-metrics.ts';
import { oomLevelText } from '../../sources/cgroup/messages.ts';
import type { OomKill, OomLevel } from '../../sources/cgroup/oom/record.ts';
import type { CgroupGitalyView, CgroupView, LevelView } from '../../sources/cgroup/view.ts';
import { identityKey, identityText } from '../../sources/identity.ts';
import type { Thresholds } from '../thresholds.ts';
import type { ProblemHistory } from './history.ts';
import { aboutServer, type Problem, problem } from './problem.ts';

export interface CgroupSituation {
  readonly view: CgroupView;
  readonly history: Pick<ProblemHistory, 'disappeared'>;
  readonly thresholds: Thresholds;
  /** Seconds since 1970. */
  readonly now: number;
}

export function cgroupProblems(situation: CgroupSituation): readonly Problem[] {
  const { view, thresholds } = situation;
  return [
    ...unreadableProblems(view),
    ...disappearedProblems(situation),
    ...killProblems(situation),
    ...view.gitalys.flatMap((gitaly) => [
      ...nearLimitProblems(gitaly, thresholds),
      ...bucketProblems(gitaly),
      ...throttlingProblems(gitaly, thresholds),
      ...unlimitedProblems(gitaly),
      ...readErrorProblems(gitaly),
    ]),
  ];
}

function unreadableProblems({ failure, failures }: CgroupView): Problem[] {
  const messages = [...new Set((failure === undefined ? failures : [failure]).map(({ message }) => message))];
  if (messages.length === 0) return [];
  return [
    problem('cgroups_unreadable', {
      title: `${failure === undefined ? 'Some' : 'All'} cgroups of this host cannot be read`,
      detail: `${listText(messages, 3, '; ')}. OOM kills in them may be missed.`,
    }),
  ];
}

function readErrorProblems({ buckets, identity, levels }: CgroupGitalyView): Problem[] {
  const files = levels.flatMap(({ level, readErrors }) =>
    readErrors.map((file) => `${file} of the level ${level}`),
  );
  const unread = buckets?.readErrors ?? 0;
  if (unread > 0) files.push(counted(unread, 'bucket', 'buckets'));
  if (files.length === 0) return [];
  return [
    problem('cgroups_unreadable', {
      of: identityKey(identity),
      title: `Some cgroup files of ${identityText(identity)} cannot be read`,
      ...aboutServer(identity),
      detail: `${listText(files)}. Their metrics are absent, and alerts on them cannot fire.`,
      action: 'See the failures of the cgroup collectors, and gitaly_exporter_cgroup_read_failures_total.',
    }),
  ];
}

/** On a virtual machine; pods come and go, and Kubernetes reports them. */
const disappearedProblems = ({ history }: CgroupSituation): Problem[] =>
  history.disappeared().map(({ identity, lastSeen }) =>
    problem('gitaly_disappeared', {
      of: identityKey(identity),
      title: `Gitaly ${identityText(identity)} is down`,
      ...aboutServer(identity),
      detail: `Its cgroups were removed after ${timeText(lastSeen * 1000)}: Gitaly does not run. Repositories that are only on it are unavailable.`,
      action: 'Start Gitaly, and read its log for why it stopped.',
      heldSince: lastSeen,
    }),
  );

/** What to do, by the level whose limit was exceeded. */
const oomActions: Readonly<Record<OomLevel, string>> = {
  bucket:
    'Find the repositories that share the bucket (gitaly-exporter bucket) and what clients requested of them. Raise cgroups.repositories.memory_bytes if that is regular work.',
  git: 'Lower the concurrency limits, or raise cgroups.memory_bytes together with the memory of the pod or machine.',
  container:
    'If Git runs in the container (cgroup_layout none or nested), enable Git cgroups next to it; otherwise raise its memory limit.',
  pod: "Make cgroups.memory_bytes and the containers' limits fit into the pod's limit.",
  node: 'Give Gitaly memory requests equal to its limits, and find what else uses the memory of the node.',
};

/** Levels at which Gitaly itself may be the victim; at the others it is a Git process. */
const gitalyLevels = ['container', 'pod', 'node'] as const;
const gitLevels = ['bucket', 'git'] as const;

function killProblems({ view, thresholds, now }: CgroupSituation): Problem[] {
  const { gitOomKills, gitOomWindow, oomRepeatedEvents, oomWindow } = thresholds;
  const present = new Set(view.gitalys.map(({ identity }) => identityKey(identity)));
  const within = (seconds: number) => view.kills.filter(({ at }) => now - at / 1000 < seconds);
  const byGitaly = (kills: readonly OomKill[]) => Map.groupBy(kills, ({ identity }) => identityKey(identity));

  const ofGitaly = [...byGitaly(within(oomWindow.value))].flatMap(([key, own]): Problem[] => {
    const isPresent = present.has(key);
    const kills = own.filter(({ level }) => gitalyLevels.some((each) => each === level));
    const events = kills.reduce((sum, kill) => sum + kill.events, 0);
    const [newest] = kills;
    if (newest !== undefined && events >= oomRepeatedEvents.value)
      return [
        problem('gitaly_oom_killed_repeatedly', {
          of: key,
          title: `${identityText(newest.identity)}: OOM-killed ${events} times in ${durationText(oomWindow.value * 1000)}`,
          ...killText(kills, isPresent),
        }),
      ];
    return gitalyLevels.flatMap((level): Problem[] => {
      const ofLevel = kills.filter((kill) => kill.level === level);
      if (ofLevel.length === 0) return [];
      return [
        problem('gitaly_oom_killed', {
          of: `${level} ${key}`,
          title: killTitle(ofLevel, oomWindow.value),
          ...killText(ofLevel, isPresent),
        }),
      ];
    });
  });
  const ofGit = [...byGitaly(within(gitOomWindow.value))].flatMap(([key, own]) =>
    gitLevels.flatMap((level): Problem[] => {
      const kills = own.filter((kill) => kill.level === level);
      if (processesOf(kills) < gitOomKills.value) return [];
      return [
        problem('git_oom_killed', {
          of: `${level} ${key}`,
          title: killTitle(kills, gitOomWindow.value),
          ...killText(kills, present.has(key)),
        }),
      ];
    }),
  );
  return [...ofGitaly, ...ofGit];
}

const processesOf = (kills: readonly OomKill[]): number =>
  kills.reduce((sum, { processes }) => sum + processes, 0);

/** @param kills at one level, the newest first; at least one */
function killTitle(kills: readonly OomKill[], windowSeconds: number): string {
  const [newest] = kills as [OomKill, ...OomKill[]];
  return `${identityText(newest.identity)}: ${counted(processesOf(kills), 'process', 'processes')} OOM-killed in ${durationText(windowSeconds * 1000)}, ${oomLevelText[newest.level]} was exceeded`;
}

/** @param kills the newest first; at least one */
function killText(kills: readonly OomKill[], isPresent: boolean) {
  const [newest] = kills as [OomKill, ...OomKill[]];
  const levels = new Set(kills.map(({ level }) => level));
  return {
    subject: identityText(newest.identity),
    labels: { ...newest.identity, ...(levels.size === 1 ? { level: newest.level } : {}) },
    detail: `${placesText(kills)}Newest at ${timeText(newest.at)}${memoryText(newest)}.${isPresent ? '' : ' Its cgroups no longer exist.'}`,
    action: [...levels].map((level) => oomActions[level]).join(' '),
    since: (kills.at(-1) ?? newest).at / 1000,
  };
}

function placesText(kills: readonly OomKill[]): string {
  const buckets = [...new Set(kills.flatMap(({ bucket }) => bucket ?? []))].map(String);
  const containers = [...new Set(kills.flatMap(({ container }) => container ?? []))];
  const parts = [
    ...(buckets.length === 0 ? [] : [`${buckets.length === 1 ? 'bucket' : 'buckets'} ${listText(buckets)}`]),
    ...(containers.length === 0
      ? []
      : [`${containers.length === 1 ? 'container' : 'containers'} ${listText(containers)}`]),
  ];
  return parts.length === 0 ? '' : `In ${parts.join(' and ')}. `;
}

const memoryText = ({ memory: { anon, limit } }: OomKill): string =>
  limit === undefined
    ? ''
    : `, with a limit of ${bytesText(limit)}${anon === undefined ? '' : `; ${bytesText(anon)} of anonymous memory after the kill`}`;

const levelText: Readonly<Record<Level, string>> = {
  pod: 'the pod',
  container: "Gitaly's container",
  git: 'all Git processes',
};

/** By anonymous memory: page cache fills every limit, and is reclaimed. */
function nearLimitProblems(
  { identity, levels }: CgroupGitalyView,
  { memoryNearLimit }: Thresholds,
): Problem[] {
  return levels.flatMap(({ anon, container, level, limit }): Problem[] => {
    if (anon === undefined || limit?.kind !== 'limit' || anon <= memoryNearLimit.value * limit.value)
      return [];
    return [
      problem('memory_near_limit', {
        of: `${level} ${container ?? ''} ${identityKey(identity)}`,
        title: `${identityText(identity)}: memory of ${levelText[level]} at ${percentText(anon / limit.value)} of its limit`,
        subject: identityText(identity),
        labels: { ...identity, level },
        detail: `${bytesText(anon)} of ${bytesText(limit.value)} is anonymous memory, which cannot be reclaimed: the next large request may be OOM-killed.`,
        action:
          level === 'git'
            ? 'Find the busiest buckets and their processes. Raise cgroups.memory_bytes only if the pod or machine has the memory.'
            : "Find out whether Git or Gitaly itself grows; raise the limit, or lower Gitaly's concurrency limits.",
      }),
    ];
  });
}

function bucketProblems({ buckets, identity }: CgroupGitalyView): Problem[] {
  const [fullest] = buckets?.nearLimit ?? [];
  if (buckets === undefined || fullest === undefined) return [];
  const { nearLimit, readErrors } = buckets;
  const numbers = listText(nearLimit.map(({ bucket }) => String(bucket)));
  return [
    problem('bucket_near_limit', {
      of: identityKey(identity),
      title: `${identityText(identity)}: ${counted(nearLimit.length, 'bucket', 'buckets')} near the memory limit`,
      ...aboutServer(identity),
      detail: `Bucket ${numbers}; the fullest has ${bytesText(fullest.anon)} of anonymous memory, limit ${bytesText(fullest.limit)}.${readErrors === 0 ? '' : ` ${readErrors} more could not be read.`}`,
      action:
        'Find the repositories that share the bucket (gitaly-exporter bucket) and what clients request of them, before a Git process is OOM-killed.',
    }),
  ];
}

function throttlingProblems({ identity, levels }: CgroupGitalyView, thresholds: Thresholds): Problem[] {
  const { cpuThrottled, cpuThrottledGit, rateWindow } = thresholds;
  return levels.flatMap(({ container, cpuLimit, level, throttling }): Problem[] => {
    if (throttling === undefined) return [];
    const { ratio, periods } = throttling;
    // There are ten periods per second while something runs: less than one is an idle Gitaly.
    const isIdle = periods <= rateWindow.value;
    if (isIdle || ratio <= (level === 'git' ? cpuThrottledGit : cpuThrottled).value) return [];
    return [
      problem('cpu_throttled', {
        of: `${level} ${container ?? ''} ${identityKey(identity)}`,
        title: `${identityText(identity)}: ${levelText[level]} CPU-throttled in ${percentText(ratio)} of periods`,
        subject: identityText(identity),
        labels: { ...identity, level },
        detail: `In the last ${durationText(rateWindow.value * 1000)}${cpuLimit?.kind === 'limit' ? `, with a limit of ${cpuLimit.value} cores` : ''}. All requests that it serves are slow.`,
        action:
          "Find what uses the CPU (the busiest buckets). Gitaly's adaptive limits do not react to this; raise the CPU limit, or lower concurrency limits.",
      }),
    ];
  });
}

/** The kubelet limits a slice only when every container of the pod declares a limit, init containers included. */
function unlimitedProblems({ identity, layout, levels }: CgroupGitalyView): Problem[] {
  const limitOf = (level: Level): LevelView['limit'] => levels.find((each) => each.level === level)?.limit;
  const git = limitOf('git');
  if (layout !== 'sibling' || limitOf('pod')?.kind !== 'unlimited' || git === undefined) return [];
  return [
    problem('pod_memory_unlimited', {
      of: identityKey(identity),
      title: `${identityText(identity)}: the pod has no memory limit`,
      ...aboutServer(identity),
      detail: `Its Git processes run next to the container, outside of its limit, and memory.max of the pod's slice is max. ${git.kind === 'limit' ? `Git alone may use ${bytesText(git.value)} in addition to the container.` : "Git's cgroup has no limit either: only the node's memory limits it."}`,
      action:
        'Set a memory limit on every container of the pod, init containers included: only then does Kubernetes limit the pod.',
    }),
  ];
}
