/** Objects of the API server that a parser rejected: what is known of them, and those of one watch. */
import type { Failure } from '../../../scheduler/outcome.ts';
import { fieldsOf, textOf } from '../objects/fields.ts';

export interface RejectedObject {
  /** '' without a valid one. */
  readonly uid: string;
  /** `gitlab/gl-gitaly-0`; '' without a name. */
  readonly name: string;
  readonly why: string;
}

export function rejectedObject(raw: unknown, why: string): RejectedObject {
  const { namespace, name, uid } = fieldsOf(fieldsOf(raw)['metadata']);
  const named = textOf(name, 253);
  const inNamespace = textOf(namespace, 253);
  return {
    uid: typeof uid === 'string' && uid.length <= 128 ? uid : '',
    name: named === '' || inNamespace === '' ? named : `${inNamespace}/${named}`,
    why,
  };
}

/** Of one list or watch; more say nothing new. */
export const maxRejected = 64;

interface RejectedObjects {
  /** Everything was listed again. */
  replace(listed: readonly RejectedObject[]): void;
  /** The present state of an object with a uid was rejected. */
  add(object: RejectedObject): void;
  /** The object is valid again, or was deleted. */
  delete(uid: string): void;
  isEmpty(): boolean;
  names(): readonly string[];
  /** @param what they are among: `pods in namespace gitlab` */
  failure(what: string): Failure | undefined;
}

export function createRejectedObjects(): RejectedObjects {
  /** By uid, or by position in the list. */
  const rejected = new Map<string, RejectedObject>();
  return {
    replace(listed) {
      rejected.clear();
      for (const [index, object] of listed.entries()) rejected.set(object.uid || `listed ${index}`, object);
    },
    add(object) {
      if (rejected.size < maxRejected) rejected.set(object.uid, object);
    },
    delete: (uid) => void rejected.delete(uid),
    isEmpty: () => rejected.size === 0,
    names: () => [...rejected.values()].map(({ name }) => name),
    failure(what) {
      const [first] = rejected.values();
      if (first === undefined) return undefined;
      const named = `${first.name === '' ? 'an object without a name' : first.name}: ${first.why}`;
      const more = rejected.size > 1 ? `, and ${rejected.size - 1} more` : '';
      return { reason: 'parse', message: `malformed objects among ${what}: ${named}${more}` };
    },
  };
}
