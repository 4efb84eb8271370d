/**
 * The response to a scrape: blocks in, headers and bytes out. A block that did not change since the last scrape keeps
 * its text and its compressed text.
 */
import { deflatePart, gzipParts } from './gzip.ts';
import { type Encoding, negotiateEncoding, negotiateFormat } from './negotiate.ts';
import type { RenderedBlock } from './render.ts';
import { rendered, renderedNow } from './rendered.ts';
import type { Block } from './samples.ts';
import type { Format } from './syntax.ts';

/** The two request headers, as Node gives them (lower-case names, duplicates joined). */
export interface ExpositionRequest {
  readonly accept?: string | undefined;
  readonly acceptEncoding?: string | undefined;
}

/** Always for status 200. */
export interface Exposition {
  readonly headers: Readonly<Record<string, string>>;
  /** To be written in order; shared with other responses, so they must not be changed. */
  readonly body: readonly Buffer[];
  /**
   * Errors of blocks that could not be rendered, each an internal error to be logged. Those blocks are left out, so
   * that they do not fail the scrape. A block on which `prepare` succeeded never fails here.
   */
  readonly failures: readonly unknown[];
}

const tails: Readonly<Record<Format, Buffer>> = {
  text: Buffer.alloc(0),
  openmetrics: Buffer.from('# EOF\n'),
};

/** The format of the newest scrape, expected of the next one. Before the first: Prometheus' default. */
let expected: { readonly format: Format; readonly encoding: Encoding } = {
  format: 'openmetrics',
  encoding: 'gzip',
};

/**
 * Renders all blocks as one exposition, in the negotiated format and compression. Blocks the event loop for
 * a few milliseconds at a time, whatever the number of series. Rejects only when memory runs out.
 */
export async function exposition(
  blocks: readonly Block[],
  request: ExpositionRequest = {},
): Promise<Exposition> {
  const { format, contentType } = negotiateFormat(request.accept);
  const encoding = negotiateEncoding(request.acceptEncoding);
  expected = { format, encoding };

  const texts: RenderedBlock[] = [];
  const failures: unknown[] = [];
  for (const block of blocks) {
    try {
      const text = await rendered(block, format);
      texts.push(text);
      // Another thread compresses this block while the next one is rendered here.
      if (encoding === 'gzip') void deflatePart(text.bytes);
    } catch (error) {
      failures.push(error);
    }
  }
  const parts = inOrder(texts);
  const body = encoding === 'gzip' ? await gzipParts(parts, tails[format]) : [...parts, tails[format]];
  return {
    headers: {
      'Content-Type': contentType,
      'Content-Length': String(body.reduce((sum, { length }) => sum + length, 0)),
      ...(encoding === 'gzip' ? { 'Content-Encoding': 'gzip' } : {}),
      Vary: 'Accept, Accept-Encoding',
      'Cache-Control': 'no-store',
    },
    body: body.filter(({ length }) => length > 0),
    failures,
  };
}

/**
 * Renders and compresses a block in the format of the newest scrape, so that its bytes are ready for the next one.
 * Call it before publishing a block. Rejects for an invalid block.
 */
export async function prepare(block: Block): Promise<void> {
  const { format, encoding } = expected;
  const { bytes } = await rendered(block, format);
  if (encoding === 'gzip') await deflatePart(bytes);
}

/** The exposition as a string, synchronously: for golden texts and tools. */
export function expositionText(blocks: readonly Block[], format: Format = 'text'): string {
  const parts = inOrder(blocks.map((block) => renderedNow(block, format)));
  return Buffer.concat([...parts, tails[format]]).toString();
}

/** The blocks' own bytes, whose compressed form is kept; one new text when two blocks share a family. */
function inOrder(texts: readonly RenderedBlock[]): Buffer[] {
  const names = new Set<string>();
  let families = 0;
  for (const text of texts) {
    for (const { name } of text.families) names.add(name);
    families += text.families.length;
  }
  return names.size === families ? texts.map(({ bytes }) => bytes) : [joinFamilies(texts)];
}

/** Each family's header from its first block, then the samples of all: the formats forbid repeating a name. */
function joinFamilies(texts: readonly RenderedBlock[]): Buffer {
  const byName = new Map<string, Buffer[]>();
  for (const { bytes, families } of texts) {
    for (const { name, start, samplesStart, end } of families) {
      const earlier = byName.get(name);
      if (earlier === undefined) byName.set(name, [bytes.subarray(start, end)]);
      else earlier.push(bytes.subarray(samplesStart, end));
    }
  }
  return Buffer.concat([...byName.values()].flat());
}
