/** From what the cgroup room found to what the page shows of memory and OOM kills. */

import { bytesText } from '../lib/format.ts';
import type {
  BucketNoteView,
  LevelMemoryView,
  LinkView,
  MemoryView,
  ServerMemoryView,
} from '../server/status-view.ts';
import { type OomLevel, oomLevels } from '../sources/cgroup/oom/record.ts';
import type { Layout } from '../sources/cgroup/tree.ts';
import type { BucketsView, CgroupGitalyView, CgroupView, LevelView } from '../sources/cgroup/view.ts';
import { identityText } from '../sources/identity.ts';

export const memoryView = (view: CgroupView): MemoryView => ({
  servers: view.gitalys.map(serverView),
  notes: [
    ...(view.failure === undefined ? [] : [view.failure.message]),
    ...view.failures.map(({ message }) => message),
    ...view.missing,
    ...view.disappeared.map(({ identity }) => `${identityText(identity)} was here and is gone.`),
  ],
});

const layoutText: Readonly<Record<Layout, string>> = {
  sibling: "Git's cgroups are siblings of Gitaly's container",
  nested: "Git's cgroups are nested in Gitaly's container",
  none: 'Git has no cgroups of its own: one OOM kill can end Gitaly itself',
};

const levelText: Readonly<Record<OomLevel, string>> = {
  bucket: 'a repository bucket',
  git: 'all Git processes',
  container: 'the container',
  pod: 'the pod',
  node: 'the node (no limit of this Gitaly ran out)',
};

function serverView(view: CgroupGitalyView): ServerMemoryView {
  const { buckets, identity, layout, levels, oom } = view;
  const container = levels.filter(({ level }) => level === 'container');
  return {
    name: identityText(identity),
    title: `${layoutText[layout]}${bucketsText(buckets)}`,
    pod: levelView(levels.find(({ level }) => level === 'pod')),
    // While nobody has told which container is Gitaly's, none of them is shown for it.
    gitaly: levelView(container.length === 1 ? container[0] : undefined),
    git: levelView(levels.find(({ level }) => level === 'git')),
    kills:
      oom &&
      oomLevels
        .filter((level) => oom.kills[level] > 0)
        .map((level) => ({ level: levelText[level], processes: oom.kills[level], last: oom.last[level] })),
    killedBuckets: killedBuckets(view),
    nearLimit: (buckets?.nearLimit ?? []).slice(0, 5).map(({ anon, bucket, limit }) => ({
      text: `Bucket ${bucket} holds ${bytesText(anon)} of ${bytesText(limit)}.`,
      link: bucketLink(view, bucket),
    })),
  };
}

const killedBuckets = (view: CgroupGitalyView): readonly BucketNoteView[] =>
  [...(view.oom?.bucketKills ?? [])]
    .toSorted(([, a], [, b]) => b - a)
    .slice(0, 5)
    .map(([bucket, kills]) => ({
      text: `Bucket ${bucket}: ${kills} of its processes killed.`,
      link: bucketLink(view, bucket),
    }));

const bucketsText = (buckets: BucketsView | undefined): string => {
  if (buckets === undefined) return '';
  const active = buckets.active === undefined ? '' : `, ${buckets.active} in use`;
  return `; ${buckets.found} repository buckets${active}`;
};

function levelView(level: LevelView | undefined): LevelMemoryView | undefined {
  if (level === undefined) return undefined;
  const { anon, limit, throttling, readErrors, usage } = level;
  return {
    anon,
    usage,
    limit: limit === undefined || limit.kind === 'limit' ? limit?.value : 'none',
    throttledRatio: throttling?.ratio,
    readErrors,
  };
}

function bucketLink({ identity }: CgroupGitalyView, bucket: number): LinkView {
  const which =
    identity.pod === ''
      ? `node=${encodeURIComponent(identity.node)}`
      : `pod=${encodeURIComponent(identity.pod)}`;
  return { text: 'Its repositories', href: `api/v1/buckets/${bucket}?${which}` };
}
