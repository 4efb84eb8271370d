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
  /** Candidates by a cheap hash of length and the last two bytes: storages tend to differ at their end. */
  const byHash = new Map<number, number[]>();

  const of = (name: string): number => {
    const known = byText.get(name);
    if (known !== undefined) return known;
    const id = texts.length;
    const bytes = Buffer.from(name, 'utf8');
    texts.push(name);
    encoded.push(bytes);
    byText.set(name, id);
    const hash = cheapHash(bytes, 0, bytes.length);
    byHash.set(hash, [...(byHash.get(hash) ?? []), id]);
    return id;
  };

  return {
    of,
    text: (id) => texts[id] ?? '',
    ofBytes(bytes, start, end) {
      for (const id of byHash.get(cheapHash(bytes, start, end)) ?? []) {
        if (equalBytes(encoded[id] as Buffer, bytes, start, end)) return id;
      }
      return of(bytes.toString('utf8', start, end));
    },
  };
}

const cheapHash = (bytes: Buffer, start: number, end: number): number =>
  (end - start) * 65536 + (bytes[end - 1] ?? 0) * 256 + (bytes[end - 2] ?? 0);

function equalBytes(name: Buffer, bytes: Buffer, start: number, end: number): boolean {
  if (name.length !== end - start) return false;
  for (let at = 0; at < name.length; at++) if (name[at] !== bytes[start + at]) return false;
  return true;
}
