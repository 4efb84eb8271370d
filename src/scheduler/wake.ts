/** A way for one part to make a collector run early: `wake.call()` here, `schedule: { wake }` there. */
export interface Wake {
  /** Returns at once; listeners only note it. */
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
