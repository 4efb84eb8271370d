/**
 * The answer to a scrape: blocks in, headers and bytes out. Text and compressed text of a block that did not
 * change since the last scrape are those of the last scrape.
 */
import { deflatePart, gzipParts } from './gzip.ts';
import { type Encoding, negotiateEncoding, negotiateFormat } from './negotiate.ts';
import type { RenderedBlock } from './render.ts';
import { rendered, renderedNow } from './rendered.ts';
import type { Block } from './samples.ts';
import type { Format } from './syntax.ts';

/** The two headers of the request, as Node gives them (lower-case names, doubles joined). */
export interface ExpositionRequest {
  readonly accept?: string | undefined;
  readonly acceptEncoding?: string | undefined;
}

/** Always for status 200. */
export interface Exposition {
  readonly headers: Readonly<Record<string, string>>;
  /** To be written one after the other; shared with other answers, so nobody may change them. */
  readonly body: readonly Buffer[];
  /**
   * What was thrown by blocks that could not be rendered, each a bug to be logged: those blocks are left out, so
   * that one of them costs no scrape. Whoever calls `prepare` before publishing a block never meets this.
   */
  readonly failures: readonly unknown[];
}

const tails: Readonly<Record<Format, Buffer>> = {
  text: Buffer.alloc(0),
  openmetrics: Buffer.from('# EOF\n'),
};

/** What the newest scrape asked for: what the next one is expected to. Until then, as Prometheus asks by default. */
let expected: { readonly format: Format; readonly encoding: Encoding } = {
  format: 'openmetrics',
  encoding: 'gzip',
};

/**
 * Renders all blocks as one exposition, in the format and compression that the request's headers ask for. Holds
 * the event loop for a few milliseconds at a time, whatever the number of series. Rejects only when there is no
 * memory left.
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
      // Compressing one block in another thread goes on while the next is rendered here.
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
 * Renders and compresses a block as the newest scrape asked for it, so that the next one finds its bytes ready.
 * For whoever publishes a block, before publishing it. Rejects for a bug in the block.
 */
export async function prepare(block: Block): Promise<void> {
  const { format, encoding } = expected;
  const { bytes } = await rendered(block, format);
  if (encoding === 'gzip') await deflatePart(bytes);
}

/** The exposition as a string, at once: for golden texts and tools. */
export function expositionText(blocks: readonly Block[], format: Format = 'text'): string {
  const parts = inOrder(blocks.map((block) => renderedNow(block, format)));
  return Buffer.concat([...parts, tails[format]]).toString();
}

/** Whole blocks, which keep what was made of them; or, when two blocks share a family, one text made anew. */
function inOrder(texts: readonly RenderedBlock[]): Buffer[] {
  const names = new Set<string>();
  let families = 0;
  for (const text of texts) {
    for (const { name } of text.families) names.add(name);
    families += text.families.length;
  }
  return names.size === families ? texts.map(({ bytes }) => bytes) : [joinFamilies(texts)];
}

/** A family's header from the first block that has it, then the samples of all: no name may come back later. */
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
