/** The parts of a rotation, in seconds, out of the marks of the pods that took part. */
import type { Pod } from '../objects/types.ts';
import type { Mark, Marks } from './marks.ts';
import type { Rotation, RotationSpan } from './rotation.ts';
import { comparableFor, type Span, spanOf } from './span.ts';

export interface Replacement {
  /** The pod that is Ready now, and its marks. */
  readonly pod: Pod;
  readonly marks: Marks;
  /** When the pod before it began to go, and when it was gone. */
  readonly begin: Mark | undefined;
  readonly gone: Mark | undefined;
  /** When the first of several in a row began to go: the total counts from there. */
  readonly first: Mark | undefined;
}

export function replacementSpans({ pod, marks, begin, gone, first }: Replacement): Rotation['seconds'] {
  const comparable = comparableFor(pod);
  const span = (from: Mark | undefined, to: Mark | undefined) => spanOf(from, to, comparable);
  // A StatefulSet makes the new pod as soon as the old one is gone, within a tenth of a second where it was seen.
  const end: Mark = { seen: gone?.seen, told: gone?.told ?? marks.created?.told };
  const known = begin === undefined && gone === undefined ? undefined : end;
  return secondsOf({
    terminating: span(begin, end),
    scheduling: span(known ?? marks.created, marks.scheduled),
    volume: span(marks.scheduled, marks.sandbox),
    init: span(marks.sandbox, marks.initialized),
    ...startSpans(marks.initialized, marks, span),
    total: span(first, marks.ready),
  });
}

/** Waiting to be restarted (back-off) is in the total alone. */
export function restartSpans(pod: Pod, marks: Marks, begin: Mark | undefined): Rotation['seconds'] {
  const comparable = comparableFor(pod);
  const span = (from: Mark | undefined, to: Mark | undefined) => spanOf(from, to, comparable);
  return secondsOf({ ...startSpans(marks.running, marks, span), total: span(begin, marks.ready) });
}

/**
 * No time is told of the end of a startup probe, so arrival times alone part these two: only where they can be
 * trusted from the beginning of the one to the end of the other.
 */
function startSpans(
  from: Mark | undefined,
  { started, ready }: Marks,
  span: (from: Mark | undefined, to: Mark | undefined) => Span | undefined,
): { readonly startup: Span | undefined; readonly readiness: Span | undefined } {
  if (started?.told === undefined && span(from, ready)?.basis !== 'seen')
    return { startup: undefined, readiness: undefined };
  return { startup: span(from, started), readiness: span(started, ready) };
}

function secondsOf(spans: Readonly<Partial<Record<RotationSpan, Span | undefined>>>): Rotation['seconds'] {
  const known = Object.entries(spans).flatMap(([name, span]) =>
    span === undefined ? [] : [[name, span.seconds] as const],
  );
  return Object.freeze(Object.fromEntries(known));
}
