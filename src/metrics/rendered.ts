/**
 * The text of each block, made once per format and kept for as long as the block lives.
 *
 * Large blocks are rendered in slices between which the event loop serves everything else, one block at a time:
 * slices of several blocks would all run in the same turn of the loop and add up to what they should avoid.
 */
import { setImmediate } from 'node:timers/promises';
import { type RenderedBlock, renderSteps } from './render.ts';
import type { Block } from './samples.ts';
import type { Format } from './syntax.ts';

/** How long a slice may hold the event loop. Garbage collection comes on top. */
const sliceMs = 5;

interface Renderings {
  readonly done: WeakMap<Block, RenderedBlock>;
  readonly underWay: WeakMap<Block, Promise<RenderedBlock>>;
}

const renderings: Readonly<Record<Format, Renderings>> = {
  text: { done: new WeakMap(), underWay: new WeakMap() },
  openmetrics: { done: new WeakMap(), underWay: new WeakMap() },
};

/** The block's text, rendered in slices if it was not yet. Rejects only for a bug in the block (a getter that throws). */
export function rendered(block: Block, format: Format): RenderedBlock | Promise<RenderedBlock> {
  const { done, underWay } = renderings[format];
  const known = done.get(block) ?? underWay.get(block);
  if (known !== undefined) return known;
  const rendering = inTurn(() => renderInSlices(block, format))
    .then((result) => keep(block, format, result))
    .finally(() => underWay.delete(block));
  underWay.set(block, rendering);
  return rendering;
}

/** The same without waiting: holds the event loop for about 1 ms per 1,000 series that are new. */
export function renderedNow(block: Block, format: Format): RenderedBlock {
  const known = renderings[format].done.get(block);
  if (known !== undefined) return known;
  const steps = renderSteps(block, format);
  for (;;) {
    const step = steps.next();
    if (step.done) return keep(block, format, step.value);
  }
}

/** The first rendering stays, so that what was made of its bytes (gzip) stays with it. */
function keep(block: Block, format: Format, result: RenderedBlock): RenderedBlock {
  const { done } = renderings[format];
  const earlier = done.get(block);
  if (earlier !== undefined) return earlier;
  done.set(block, result);
  return result;
}

async function renderInSlices(block: Block, format: Format): Promise<RenderedBlock> {
  const steps = renderSteps(block, format);
  let sliceEnd = performance.now() + sliceMs;
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
    if (performance.now() >= sliceEnd) {
      await setImmediate();
      sliceEnd = performance.now() + sliceMs;
    }
  }
}

let last: Promise<unknown> = Promise.resolve();

function inTurn<T>(work: () => Promise<T>): Promise<T> {
  const mine = last.then(work);
  last = mine.catch(() => undefined);
  return mine;
}
