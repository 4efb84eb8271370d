/**
 * The text of each block, rendered once per format and kept as long as the block.
 *
 * Large blocks are rendered in slices between which the event loop serves everything else, and one block at a time:
 * slices of several blocks would run in the same turn of the loop and add up.
 */
import { createSerialQueue } from '../lib/serial-queue.ts';
import { createYielder } from '../lib/yielder.ts';
import { type RenderedBlock, renderSteps } from './render.ts';
import type { Block } from './samples.ts';
import type { Format } from './syntax.ts';

/** How long a slice may block the event loop. Garbage collection comes on top. */
const sliceMs = 5;

const queue = createSerialQueue();

interface Renderings {
  readonly done: WeakMap<Block, RenderedBlock>;
  readonly inProgress: WeakMap<Block, Promise<RenderedBlock>>;
}

const renderings: Readonly<Record<Format, Renderings>> = {
  text: { done: new WeakMap(), inProgress: new WeakMap() },
  openmetrics: { done: new WeakMap(), inProgress: new WeakMap() },
};

/** The block's text, rendered in slices if it is new. Rejects only for an invalid block (a getter that throws). */
export function rendered(block: Block, format: Format): RenderedBlock | Promise<RenderedBlock> {
  const { done, inProgress } = renderings[format];
  const known = done.get(block) ?? inProgress.get(block);
  if (known !== undefined) return known;
  const rendering = queue
    .run(() => renderInSlices(block, format))
    .then((result) => keep(block, format, result))
    .finally(() => inProgress.delete(block));
  inProgress.set(block, rendering);
  return rendering;
}

/** The same synchronously: blocks the event loop for about 1 ms per 1,000 new series. */
export function renderedNow(block: Block, format: Format): RenderedBlock {
  const known = renderings[format].done.get(block);
  if (known !== undefined) return known;
  const steps = renderSteps(block, format);
  for (;;) {
    const step = steps.next();
    if (step.done) return keep(block, format, step.value);
  }
}

/** The first rendering is kept, and with it the compressed form of its bytes. */
function keep(block: Block, format: Format, result: RenderedBlock): RenderedBlock {
  const { done } = renderings[format];
  const earlier = done.get(block);
  if (earlier !== undefined) return earlier;
  done.set(block, result);
  return result;
}

async function renderInSlices(block: Block, format: Format): Promise<RenderedBlock> {
  const steps = renderSteps(block, format);
  const yielder = createYielder(sliceMs);
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
    if (yielder.isDue()) await yielder.yield();
  }
}
