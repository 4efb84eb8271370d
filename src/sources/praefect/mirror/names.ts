/**
 * Names of virtual storages and storages as small numbers. Millions of rows carry the same handful of names:
 * comparing their bytes with the names that were seen is several times faster than decoding them into strings.
 */

export interface Names {
  /** The number of the name in `bytes[start, end)`; numbers count up from 0. */
  ofBytes(bytes: Buffer, start: number, end: number): number;
  of(name: string): number;
  text(id: number): string;
}

export function createNames(): Names {
  const texts: string[] = [];
  const encoded: Buffer[] = [];
  const byText = new Map<string, number>();
  /** The name last seen under a cheap hash: a handful of names hardly ever collide, and then the slow way serves. */
  const recent = new Int32Array(1024).fill(-1);

  const of = (name: string): number => {
    const known = byText.get(name);
    if (known !== undefined) return known;
    const id = texts.length;
    const bytes = Buffer.from(name, 'utf8');
    texts.push(name);
    encoded.push(bytes);
    byText.set(name, id);
    return id;
  };

  return {
    of,
    text: (id) => texts[id] ?? '',
    ofBytes(bytes, start, end) {
      const hash = cheapHash(bytes, start, end);
      const candidate = recent[hash] ?? -1;
      if (candidate >= 0 && equalBytes(encoded[candidate] as Buffer, bytes, start, end)) return candidate;
      const id = of(bytes.toString('utf8', start, end));
      recent[hash] = id;
      return id;
    },
  };
}

/** Length and the last two bytes: storages tend to differ at their end. */
const cheapHash = (bytes: Buffer, start: number, end: number): number =>
  ((end - start) * 31 + (bytes[end - 1] ?? 0) * 7 + (bytes[end - 2] ?? 0)) & 1023;

function equalBytes(name: Buffer, bytes: Buffer, start: number, end: number): boolean {
  if (name.length !== end - start) return false;
  for (let at = 0; at < name.length; at++) if (name[at] !== bytes[start + at]) return false;
  return true;
}
