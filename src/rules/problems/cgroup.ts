/**
 * What is wrong with memory and CPU of this host's Gitalys right now, in words: kills, what is near its limit, what is
 * held back, and what is not bounded at all. Pure.
 */
import { bytesText } from '../../lib/format.ts';
import type { Level } from '../../sources/cgroup/level-metrics.ts';
import { oomLevelText } from '../../sources/cgroup/messages.ts';
import { type OomKill, type OomLevel, oomLevels } from '../../sources/cgroup/oom/record.ts';
import type { CgroupGitalyView, CgroupView, LevelView } from '../../sources/cgroup/view.ts';
import { identityKey, identityText } from '../../sources/identity.ts';
import type { Problem } from './praefect.ts';

export interface CgroupSituation {
  readonly view: CgroupView;
}

/** Of anonymous memory by the limit. Gitaly's own memory watcher backs off at 0.6 (from GitLab 18.9 on). */
const nearLimitRatio = 0.8;

/** Of periods: the threshold of the common alert CPUThrottlingHigh (kubernetes-mixin). */
const throttledRatio = 0.25;

export function cgroupProblems({ view }: CgroupSituation): readonly Problem[] {
  return [
    ...unreadProblems(view),
    ...killProblems(view),
    ...view.gitalys.flatMap((gitaly) => [
      ...nearLimitProblems(gitaly),
      ...bucketProblems(gitaly),
      ...throttlingProblems(gitaly),
      ...unlimitedProblems(gitaly),
      ...partProblems(gitaly),
    ]),
  ];
}

function unreadProblems({ failure, failures }: CgroupView): Problem[] {
  const first = failure ?? failures[0];
  if (first === undefined) return [];
  return [
    {
      key: 'cgroup unread',
      severity: 'warning',
      title:
        failure === undefined
          ? "Not all of this host's cgroups can be read"
          : "This host's cgroups cannot be read",
      detail: `${first.message}. An OOM kill there may not be seen.`,
    },
  ];
}

function partProblems({ buckets, identity, levels }: CgroupGitalyView): Problem[] {
  const files = levels.flatMap(({ level, readErrors }) =>
    readErrors.map((file) => `${file} of the level ${level}`),
  );
  const unread = buckets?.readErrors ?? 0;
  if (unread > 0) files.push(unread === 1 ? '1 bucket' : `${unread} buckets`);
  if (files.length === 0) return [];
  return [
    {
      key: `cgroup part ${identityKey(identity)}`,
      severity: 'warning',
      title: `Not all of ${identityText(identity)} can be read`,
      detail: `${listed(files)}. What they would have said is absent, and no rule that rests on it can warn.`,
      action: "See the collectors' reasons below, and gitaly_exporter_cgroup_read_failures_total.",
    },
  ];
}

/** Kills that take Gitaly with them, or strike whoever the kernel picks on the node, are worse than those of one Git process. */
const severities: Readonly<Record<OomLevel, Problem['severity']>> = {
  bucket: 'warning',
  git: 'warning',
  container: 'critical',
  pod: 'critical',
  node: 'critical',
};

/** What to do, by whose limit ran out. The levels are those of the cgroups that Gitaly makes (cgroups in config.toml). */
const mends: Readonly<Record<OomLevel, string>> = {
  bucket:
    'The Git process was too large for what one bucket of repositories may use, and Gitaly itself lived on. Find the repositories that share the bucket (gitaly-exporter bucket), see what was asked of them; raise cgroups.repositories.memory_bytes if that is ordinary work.',
  git: 'All Git processes together need more than their parent may use: lower concurrency limits, or raise cgroups.memory_bytes and with it the memory of the pod or machine.',
  container:
    "Gitaly's container ran out of its own memory limit, and Kubernetes restarts it if the Gitaly process was hit. If Git runs in it (cgroup_layout none or nested), put Git cgroups next to it or raise the limit.",
  pod: "Gitaly and Git together need more than the pod may use: make cgroups.memory_bytes and the containers' limits fit into it, with room.",
  node: "No limit of Gitaly's ran out: the node itself has too little memory, and the kernel chose a victim. Give Gitaly memory requests as large as its limits, and look at what else runs there.",
};

/** One for each Gitaly and level, of the last hour. */
function killProblems({ gitalys, kills }: CgroupView): Problem[] {
  const names = new Set(gitalys.map(({ identity }) => identityKey(identity)));
  const byGitaly = Map.groupBy(kills, ({ identity }) => identityKey(identity));
  return [...byGitaly].flatMap(([key, own]) =>
    oomLevels.flatMap((level): Problem[] => {
      const ofLevel = own.filter((kill) => kill.level === level);
      const [newest] = ofLevel;
      if (newest === undefined) return [];
      const processes = ofLevel.reduce((sum, kill) => sum + kill.processes, 0);
      const oldest = ofLevel.at(-1) ?? newest;
      return [
        {
          key: `oom ${level} ${key}`,
          severity: severities[level],
          title: `${processes === 1 ? '1 process' : `${processes} processes`} of ${identityText(newest.identity)} killed within the last hour: ${oomLevelText[level]} ran out`,
          detail: `${placesText(ofLevel)}The newest at ${new Date(newest.at).toISOString().replace(/\.\d+Z$/, 'Z')}${memoryText(newest)}.${names.has(key) ? '' : ' Its cgroups are gone meanwhile.'}`,
          action: mends[level],
          since: oldest.at / 1000,
        },
      ];
    }),
  );
}

function placesText(kills: readonly OomKill[]): string {
  const buckets = new Set(kills.flatMap(({ bucket }) => bucket ?? []));
  const containers = new Set(kills.flatMap(({ container }) => container ?? []));
  const parts = [
    ...(buckets.size === 0 ? [] : [`${buckets.size === 1 ? 'bucket' : 'buckets'} ${listed([...buckets])}`]),
    ...(containers.size === 0
      ? []
      : [`${containers.size === 1 ? 'container' : 'containers'} ${listed([...containers])}`]),
  ];
  return parts.length === 0 ? '' : `In ${parts.join(' and ')}. `;
}

const memoryText = ({ memory: { anon, limit } }: OomKill): string =>
  limit === undefined
    ? ''
    : `, with a limit of ${bytesText(limit)}${anon === undefined ? '' : ` and ${bytesText(anon)} of anonymous memory left after it`}`;

const levelText: Readonly<Record<Level, string>> = {
  pod: 'The pod',
  container: "Gitaly's container",
  git: 'Git, all processes together,',
};

/** By anonymous memory: page cache fills every limit, and is given back. */
function nearLimitProblems({ identity, levels }: CgroupGitalyView): Problem[] {
  return levels.flatMap(({ anon, container, level, limit }): Problem[] => {
    if (anon === undefined || limit?.kind !== 'limit' || anon <= nearLimitRatio * limit.value) return [];
    return [
      {
        key: `memory ${level} ${container ?? ''} ${identityKey(identity)}`,
        severity: 'warning',
        title: `${levelText[level]} of ${identityText(identity)} holds ${percent(anon / limit.value)} of the memory that it may use`,
        detail: `${bytesText(anon)} of anonymous memory, which cannot be taken back, of ${bytesText(limit.value)}: the next large request may be killed.`,
        action:
          level === 'git'
            ? 'See which buckets are busiest and what runs in them. Raise cgroups.memory_bytes only where the pod or machine has room.'
            : "Look whether it is Git or Gitaly itself that grows; raise the limit, or lower Gitaly's concurrency limits.",
      },
    ];
  });
}

function bucketProblems({ buckets, identity }: CgroupGitalyView): Problem[] {
  const [fullest] = buckets?.nearLimit ?? [];
  if (buckets === undefined || fullest === undefined) return [];
  const { nearLimit: near, readErrors: unread } = buckets;
  return [
    {
      key: `buckets ${identityKey(identity)}`,
      severity: 'warning',
      title: `${near.length === 1 ? '1 bucket' : `${near.length} buckets`} of ${identityText(identity)} near ${near.length === 1 ? 'its' : 'their'} memory limit`,
      detail: `Bucket ${listed(near.map(({ bucket }) => bucket))}; the fullest holds ${bytesText(fullest.anon)} of ${bytesText(fullest.limit)} as anonymous memory.${unread === 0 ? '' : ` ${unread} more could not be read.`}`,
      action:
        'Find the repositories that share the bucket (gitaly-exporter bucket) and see what is asked of them, before a Git process is killed.',
    },
  ];
}

function throttlingProblems({ identity, levels }: CgroupGitalyView): Problem[] {
  return levels.flatMap(({ container, cpuLimit, level, throttling }): Problem[] => {
    if (throttling === undefined || throttling.ratio <= throttledRatio) return [];
    return [
      {
        key: `throttled ${level} ${container ?? ''} ${identityKey(identity)}`,
        severity: 'warning',
        title: `${levelText[level]} of ${identityText(identity)} is held back by its CPU limit`,
        detail: `In ${percent(throttling.ratio)} of the periods of the last 5 minutes${cpuLimit?.kind === 'limit' ? `, at ${cpuLimit.value} cores` : ''}. Everything that it serves waits meanwhile.`,
        action:
          "See what uses the CPU (the busiest buckets). Gitaly's own watcher of CPU does not back off for this; raise the limit, or lower concurrency limits.",
      },
    ];
  });
}

/** The kubelet limits a slice only when every container of the pod declares a limit, init containers included. */
function unlimitedProblems({ identity, layout, levels }: CgroupGitalyView): Problem[] {
  const limitOf = (level: Level): LevelView['limit'] => levels.find((each) => each.level === level)?.limit;
  if (layout !== 'sibling' || limitOf('pod')?.kind !== 'unlimited') return [];
  const git = limitOf('git');
  if (git === undefined) return [];
  return [
    {
      key: `unlimited ${identityKey(identity)}`,
      severity: 'warning',
      title: `Nothing bounds the memory of ${identityText(identity)} as a whole`,
      detail: `Its Git processes run beside the container, outside of its limit, and the pod has none of its own (memory.max of its slice is max). ${git.kind === 'limit' ? `Git alone may take ${bytesText(git.value)} on top of what the container may.` : "Git's cgroup has no limit either: only the node bounds it."}`,
      action:
        'Give every container of the pod a memory limit, init containers included: only then does Kubernetes limit the pod.',
    },
  ];
}

const percent = (ratio: number): string => `${Math.round(ratio * 100)} %`;

/** At most five. */
function listed(names: readonly (string | number)[]): string {
  const more = names.length - 5;
  return `${names.slice(0, 5).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}
