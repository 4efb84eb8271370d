/**
 * How a Kubernetes API server applies the selectors of a request: which objects it returns, in which order, and
 * which changes a watch receives. Shared by the demo's server and the one for tests.
 */
import { parseSelector, selects } from '../../src/sources/kubernetes/objects/selector.ts';

interface SelectableObject {
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
  };
}

/** The `kind` of a list, by the resource's plural. */
export const listKinds: ReadonlyMap<string, string> = new Map([
  ['pods', 'PodList'],
  ['statefulsets', 'StatefulSetList'],
  ['poddisruptionbudgets', 'PodDisruptionBudgetList'],
  ['nodes', 'NodeList'],
  ['events', 'EventList'],
]);

/** Lists are in this order. */
export const objectKey = ({ metadata }: SelectableObject): string =>
  `${metadata.namespace ?? ''}/${metadata.name}`;

/**
 * Whether an object is in the namespace and matches `labelSelector` and `fieldSelector`; undefined for an invalid
 * selector.
 */
export function objectMatcher(
  namespace: string | undefined,
  query: URLSearchParams,
): ((object: SelectableObject) => boolean) | undefined {
  const labels = parseSelector(query.get('labelSelector') ?? '');
  if (labels === undefined) return undefined;
  const fields = (query.get('fieldSelector') ?? '').split(',').filter((each) => each !== '');
  return (object) =>
    (namespace === undefined || object.metadata.namespace === namespace) &&
    selects(labels, object.metadata.labels ?? {}) &&
    fields.every((field) => {
      const [path = '', value] = field.split('=');
      return String(valueAt(object, path) ?? '') === value;
    });
}

const valueAt = (object: unknown, path: string): unknown =>
  path
    .split('.')
    .reduce<unknown>(
      (value, key) =>
        typeof value === 'object' && value !== null
          ? (value as Readonly<Record<string, unknown>>)[key]
          : undefined,
      object,
    );

/**
 * The type of the event that a watch receives of a change: an object that stops matching is deleted, and one that
 * starts matching is added. Undefined: none.
 */
export function watchEventType<T>(
  matches: (object: T) => boolean,
  { type, object, before }: { readonly type: string; readonly object: T; readonly before: T | undefined },
): 'ADDED' | 'MODIFIED' | 'DELETED' | undefined {
  const matched = before !== undefined && matches(before);
  if (type !== 'DELETED' && matches(object)) return matched ? 'MODIFIED' : 'ADDED';
  return matched ? 'DELETED' : undefined;
}
