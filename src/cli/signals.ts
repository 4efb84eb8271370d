/** How the program ends from outside: a first signal asks for a clean stop, a second one does not wait. */
import type { Log } from '../lib/log.ts';

/** What of `process` is used here. */
export interface SignalSource {
  on(event: string, listener: (value: unknown) => void): unknown;
  off(event: string, listener: (value: unknown) => void): unknown;
}

const stopSignals = ['SIGINT', 'SIGTERM'];
/** 128 + SIGINT: what a shell expects of a program that was interrupted. */
const interruptedExitCode = 130;
/**
 * A second signal so soon is the first one again: at a Ctrl-C the terminal signals the whole process group, and npm
 * passes its own copy on.
 */
const sameSignalMs = 500;

export interface SignalOptions {
  readonly source: SignalSource;
  readonly log: Log;
  /** Ends the process at once. */
  readonly exit: (code: number) => void;
  /** Monotonic milliseconds. */
  readonly now: () => number;
}

/** A signal that aborts at the first SIGINT or SIGTERM; `release` takes the listeners off again. */
export function stopOnSignals({ source, log, exit, now }: SignalOptions): {
  readonly signal: AbortSignal;
  readonly release: () => void;
} {
  const controller = new AbortController();
  let firstAt: number | undefined;
  const listeners = stopSignals.map((name) => {
    const listener = () => {
      if (firstAt === undefined) {
        firstAt = now();
        log.info({ signal: name }, 'shutting down; send the signal again to exit immediately');
        controller.abort();
      } else if (now() - firstAt >= sameSignalMs) exit(interruptedExitCode);
    };
    source.on(name, listener);
    return [name, listener] as const;
  });
  return {
    signal: controller.signal,
    release() {
      for (const [name, listener] of listeners) source.off(name, listener);
    },
  };
}

/** What nobody caught is a bug: say it, and end rather than go on half broken. Returns how to take the listeners off. */
export function exitOnCrash(source: SignalSource, log: Log, exit: (code: number) => void): () => void {
  const crashed = (error: unknown) => {
    log.error({ err: error }, 'a bug: an error that nothing caught; the exporter ends');
    exit(2);
  };
  source.on('uncaughtException', crashed);
  source.on('unhandledRejection', crashed);
  return () => {
    source.off('uncaughtException', crashed);
    source.off('unhandledRejection', crashed);
  };
}
