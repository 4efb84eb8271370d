/** Lets another module run a collector early: it calls `wake.call()`, the collector has `schedule: { wake }`. */
export interface Wake {
  /** Returns immediately; listeners only record it. */
  call(): void;
  /** Returns how to unsubscribe. */
  subscribe(listener: () => void): () => void;
}

export function createWake(): Wake {
  const listeners = new Set<() => void>();
  return {
    call() {
      for (const listener of listeners) listener();
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
