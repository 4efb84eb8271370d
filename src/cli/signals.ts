/** Signals: the first SIGINT or SIGTERM shuts down cleanly, a second one exits immediately; SIGHUP reloads. */
import type { Log } from '../lib/log.ts';

/** The part of `process` that is used here. */
export interface SignalSource {
  on(event: string, listener: (value: unknown) => void): unknown;
  off(event: string, listener: (value: unknown) => void): unknown;
}

const stopSignals = ['SIGINT', 'SIGTERM'];
/** 128 + SIGINT: the convention of shells for an interrupted program. */
const interruptedExitCode = 130;
/**
 * A second signal within this time is a copy of the first: at Ctrl-C the terminal signals the whole process group,
 * and npm forwards its own copy.
 */
const sameSignalMs = 500;

export interface SignalOptions {
  readonly source: SignalSource;
  readonly log: Log;
  /** Ends the process immediately. */
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

/** Logs an uncaught error and exits, rather than continuing in an unknown state. Returns how to unsubscribe. */
export function exitOnCrash(source: SignalSource, log: Log, exit: (code: number) => void): () => void {
  const crashed = (error: unknown) => {
    log.error({ err: error }, 'internal error: uncaught exception, exiting');
    exit(2);
  };
  source.on('uncaughtException', crashed);
  source.on('unhandledRejection', crashed);
  return () => {
    source.off('uncaughtException', crashed);
    source.off('unhandledRejection', crashed);
  };
}

export interface HangUps {
  /** Calls the listener for each SIGHUP from now on, and once for those that came before. Returns how to unsubscribe. */
  subscribe(listener: () => void): () => void;
  /** Restores the default, which ends the process: for commands that cannot reload. */
  release(): void;
}

/** Catches SIGHUP from the first moment on: its default action would end an exporter that is still starting. */
export function catchHangUps(source: SignalSource): HangUps {
  let missed = 0;
  const listeners = new Set<() => void>();
  const onHangUp = (): void => {
    if (listeners.size === 0) missed += 1;
    for (const listener of listeners) listener();
  };
  source.on('SIGHUP', onHangUp);
  return {
    subscribe(listener) {
      listeners.add(listener);
      if (missed > 0) listener();
      missed = 0;
      return () => listeners.delete(listener);
    },
    release: () => void source.off('SIGHUP', onHangUp),
  };
}
