/** Metadata: names, times, and of labels and annotations what is used. */
import { count, type Fields, fields, Malformed, members, name, text } from './reading.ts';
import { timeOf } from './time.ts';
import type { Meta } from './types.ts';

/** Nodes of clouds carry hundreds of labels, Gitaly's own objects about a dozen. */
export type Keep = (key: string) => boolean;

/** What selectors of pods and budgets may ask for: any label, at most `mostLabels` of them. */
export const anyLabel: Keep = () => true;

/** Labels of nodes. */
export const nodeLabel: Keep = (key) =>
  key.startsWith(own) ||
  /^(kubernetes\.io\/(hostname|arch|os)|(topology|node)\.kubernetes\.io\/.*)$/.test(key);

const own = 'gitaly-exporter/';
const mostLabels = 64;
const mostAnnotations = 32;

const keptAnnotation: Keep = (key) =>
  key.startsWith(own) ||
  key.startsWith('prometheus.io/') ||
  key.startsWith('gitlab.com/prometheus_') ||
  key === 'cluster-autoscaler.kubernetes.io/safe-to-evict' ||
  key === 'karpenter.sh/do-not-disrupt' ||
  key === 'kubectl.kubernetes.io/restartedAt' ||
  key === 'checksum/config';

export function metaOf(object: Fields, keptLabel: Keep = anyLabel): Meta {
  const metadata = fields(object['metadata']);
  const createdAt = timeOf(metadata['creationTimestamp']);
  const meta = {
    namespace: text(metadata['namespace'], 253),
    name: name(metadata['name'], 'metadata.name'),
    uid: name(metadata['uid'], 'metadata.uid', 128),
  };
  if (createdAt === undefined) throw new Malformed('metadata.creationTimestamp is not a time');
  return {
    ...meta,
    createdAt,
    deletion: deletionOf(metadata),
    labels: textsOf(metadata['labels'], keptLabel, mostLabels),
    annotations: textsOf(metadata['annotations'], keptAnnotation, mostAnnotations),
    owner: ownerOf(metadata['ownerReferences']),
  };
}

/** deletionTimestamp is the end of the grace period; an unreadable one must not look like a pod that stays. */
function deletionOf(metadata: Fields): Meta['deletion'] {
  const end = metadata['deletionTimestamp'];
  if (end === undefined || end === null) return undefined;
  const endsAt = timeOf(end);
  if (endsAt === undefined) throw new Malformed('metadata.deletionTimestamp is not a time');
  const graceSeconds = count(metadata['deletionGracePeriodSeconds'], 'metadata.deletionGracePeriodSeconds');
  return { requestedAt: endsAt - graceSeconds * 1000, graceSeconds };
}

function ownerOf(references: unknown): Meta['owner'] {
  for (const reference of members(references)) {
    const { controller, kind, name: named, uid } = fields(reference);
    if (controller === true) return { kind: text(kind, 253), name: text(named, 253), uid: text(uid, 128) };
  }
  return undefined;
}

/** Pairs of texts. Our own come first when there are too many; what is too long is left out, never cut. */
export function textsOf(value: unknown, keep: Keep, most: number): Readonly<Record<string, string>> {
  const kept = Object.entries(fields(value)).filter(
    (pair): pair is [string, string] =>
      typeof pair[1] === 'string' && keep(pair[0]) && pair[0].length <= 320 && pair[1].length <= 256,
  );
  if (kept.length > most) kept.sort(([a], [b]) => Number(wellKnown(b)) - Number(wellKnown(a)));
  return Object.fromEntries(kept.slice(0, most));
}

const wellKnown = (key: string): boolean =>
  key.startsWith(own) || !key.includes('/') || key.includes('kubernetes.io/');
