/** `gitaly-exporter/maintenance-until`: until when somebody works on a node or a StatefulSet. */
import { timeOf } from '../objects/fields.ts';
import type { Meta } from '../objects/types.ts';

export const maintenanceUntil = 'gitaly-exporter/maintenance-until';

/** One that is farther off is a slip, or would be forgotten. */
export const farthestMs = 7 * 86_400_000;

export type Until =
  | { readonly kind: 'until'; readonly at: number }
  | { readonly kind: 'mistake'; readonly found: string; readonly why: string };

/**
 * Of the annotation, else of the label of the same name, in which no colon may stand: RFC 3339, or 20261124T060000Z.
 * Undefined where there is neither.
 */
export function untilOf({ annotations, labels }: Meta, now: number): Until | undefined {
  const found = annotations[maintenanceUntil] ?? labels[maintenanceUntil];
  if (found === undefined) return undefined;
  const at = timeOf(found.trim()) ?? timeOf(extended(found.trim()));
  if (at === undefined)
    return {
      kind: 'mistake',
      found,
      why: 'it is no time with its zone, as 2026-11-24T06:00:00Z (or 20261124T060000Z, which a label can hold)',
    };
  if (at > now + farthestMs) return { kind: 'mistake', found, why: 'it is more than 7 days off' };
  return { kind: 'until', at };
}

/** `20261124T060000Z` as `2026-11-24T06:00:00Z`. */
const extended = (text: string): string =>
  text.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/i, '$1-$2-$3T$4:$5:$6Z');
