/** Conditions of pods and nodes. */
import { fields, Malformed, members, name, text } from './reading.ts';
import { timeOf } from './time.ts';
import type { Condition } from './types.ts';

const statuses = ['True', 'False', 'Unknown'] as const;

/** By type. A status of another form refuses the object: leaving Ready out would hide what it says. */
export function conditionsOf(raw: unknown): Readonly<Record<string, Condition>> {
  return Object.fromEntries(
    members(raw, 64).map((each) => {
      const { type, status, reason, lastTransitionTime } = fields(each);
      const named = name(type, 'the type of a condition', 320);
      const known = statuses.find((one) => one === status);
      if (known === undefined) throw new Malformed(`condition ${named} is neither True, False nor Unknown`);
      return [
        named,
        { status: known, reason: text(reason, 256), since: timeOf(lastTransitionTime) },
      ] as const;
    }),
  );
}
