/**
 * Parts that outlive a reload which does not concern them: what they count (OOM kills, rotations, restarts) is of
 * the exporter's life, and what happens in the middle of a reload must not be missed.
 */
import type { Collector } from '../../scheduler/collector.ts';
import type { Part } from './part.ts';

export interface KeptParts {
  /** The part of that name from before, if it was made from equal settings; else a new one. */
  keep<P extends Part>(name: string, settings: unknown, make: () => P): P;
  /** Whether that very part is still wanted. */
  has(part: Part): boolean;
  readonly parts: ReadonlyMap<string, KeptPart>;
}

interface KeptPart {
  readonly settings: string;
  readonly part: Part;
}

/** @param before of the core that this one takes over from */
export function keepParts(before: KeptParts | undefined): KeptParts {
  const parts = new Map<string, KeptPart>();
  return {
    keep<P extends Part>(name: string, settings: unknown, make: () => P): P {
      const text = JSON.stringify(settings);
      const earlier = before?.parts.get(name);
      // Under one name there is only ever what one and the same place in core.ts makes.
      const part = earlier?.settings === text ? (earlier.part as P) : inTurn(make());
      parts.set(name, { settings: text, part });
      return part;
    },
    has: (part) => [...parts.values()].some((kept) => kept.part === part),
    parts,
  };
}

/** While one core takes over from another both ask: a collector is asked by one after the other. */
function inTurn<P extends Part>(part: P): P {
  return { ...part, collectors: part.collectors.map(oneAtATime) };
}

function oneAtATime(collector: Collector): Collector {
  let line: Promise<unknown> = Promise.resolve();
  return {
    ...collector,
    collect(run) {
      const mine = line.then(() => collector.collect(run));
      line = mine.catch(() => undefined); // Told to whoever asked for it.
      return mine;
    },
  };
}
