/** Metadata and conditions, which objects of several kinds have. */
import { countOf, elementsOf, type Fields, fieldsOf, Malformed, nameIn, textOf, timeOf } from './fields.ts';
import type { Condition, Meta } from './types.ts';

type KeyFilter = (key: string) => boolean;

/** Selectors of pods and budgets may use any label. */
export const anyLabel: KeyFilter = () => true;

/** Nodes in clouds carry hundreds of labels, Gitaly's own objects about a dozen. */
export const isNodeLabel: KeyFilter = (key) =>
  key.startsWith(ownPrefix) ||
  /^(kubernetes\.io\/(hostname|arch|os)|(topology|node)\.kubernetes\.io\/.*)$/.test(key) ||
  key === 'karpenter.sh/nodepool' ||
  key === 'karpenter.sh/provisioner-name';

const ownPrefix = 'gitaly-exporter/';
export const maxLabels = 64;
const maxAnnotations = 32;

const isUsedAnnotation: KeyFilter = (key) =>
  key.startsWith(ownPrefix) ||
  key.startsWith('prometheus.io/') ||
  key.startsWith('gitlab.com/prometheus_') ||
  key === 'cluster-autoscaler.kubernetes.io/safe-to-evict' ||
  key === 'karpenter.sh/do-not-disrupt' ||
  key === 'kubectl.kubernetes.io/restartedAt' ||
  key === 'checksum/config';

export function metaOf(object: Fields, isUsedLabel: KeyFilter = anyLabel): Meta {
  const metadata = fieldsOf(object['metadata']);
  const createdAt = timeOf(metadata['creationTimestamp']);
  const meta = {
    namespace: textOf(metadata['namespace'], 253),
    name: nameIn(metadata['name'], 'metadata.name'),
    uid: nameIn(metadata['uid'], 'metadata.uid', 128),
  };
  if (createdAt === undefined) throw new Malformed('metadata.creationTimestamp is not a time');
  return {
    ...meta,
    createdAt,
    deletion: deletionOf(metadata),
    labels: stringsOf(metadata['labels'], isUsedLabel, maxLabels),
    annotations: stringsOf(metadata['annotations'], isUsedAnnotation, maxAnnotations),
    finalizers: elementsOf(metadata['finalizers'], 16).flatMap((each) =>
      typeof each === 'string' ? [textOf(each)] : [],
    ),
    owner: controllerOf(metadata['ownerReferences']),
  };
}

/** deletionTimestamp is the end of the grace period. An invalid one must not look like a pod that is not deleted. */
function deletionOf(metadata: Fields): Meta['deletion'] {
  const end = metadata['deletionTimestamp'];
  if (end === undefined || end === null) return undefined;
  const endsAt = timeOf(end);
  if (endsAt === undefined) throw new Malformed('metadata.deletionTimestamp is not a time');
  const graceSeconds = countOf(
    metadata['deletionGracePeriodSeconds'],
    'metadata.deletionGracePeriodSeconds',
    Number.MAX_SAFE_INTEGER,
  );
  return { requestedAt: endsAt - graceSeconds * 1000, graceSeconds };
}

function controllerOf(references: unknown): Meta['owner'] {
  for (const reference of elementsOf(references)) {
    const { controller, kind, name, uid } = fieldsOf(reference);
    if (controller === true)
      return { kind: textOf(kind, 253), name: textOf(name, 253), uid: textOf(uid, 128) };
  }
  return undefined;
}

/**
 * String values by key. Above `max`, well-known keys take precedence. Long keys and values are dropped, never cut.
 */
export function stringsOf(value: unknown, isUsed: KeyFilter, max: number): Readonly<Record<string, string>> {
  const fields = fieldsOf(value);
  const used: [string, string][] = [];
  for (const key of Object.keys(fields)) {
    const text = fields[key];
    if (typeof text !== 'string' || !isUsed(key) || key.length > 320 || text.length > 256) continue;
    // Problems and messages quote values; one with control characters is not valid, and matches no selector.
    used.push([textOf(key, 320), textOf(text, 256)]);
  }
  if (used.length > max) used.sort(([a], [b]) => Number(isWellKnown(b)) - Number(isWellKnown(a)));
  return Object.fromEntries(used.slice(0, max));
}

const isWellKnown = (key: string): boolean =>
  key.startsWith(ownPrefix) || !key.includes('/') || key.includes('kubernetes.io/');

const conditionStatuses = ['True', 'False', 'Unknown'] as const;

/**
 * By type. An invalid status rejects the object, and so does a type that occurs twice, of which one may contradict the
 * other: dropping a condition Ready would hide its state.
 */
export function conditionsOf(raw: unknown): Readonly<Record<string, Condition>> {
  const names = new Set<string>();
  return Object.fromEntries(
    elementsOf(raw, 64).map((each) => {
      const { type, status, reason, lastTransitionTime } = fieldsOf(each);
      const name = nameIn(type, 'the type of a condition', 320);
      if (names.has(name)) throw new Malformed(`condition ${name} occurs twice`);
      names.add(name);
      const known = conditionStatuses.find((one) => one === status);
      if (known === undefined) throw new Malformed(`condition ${name} is neither True, False nor Unknown`);
      return [
        name,
        { status: known, reason: textOf(reason, 256), since: timeOf(lastTransitionTime) },
      ] as const;
    }),
  );
}
