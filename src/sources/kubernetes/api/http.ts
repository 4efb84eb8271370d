/** The API server over HTTP: credentials for each request, deadlines, bounded answers, and streams. */
import type { IncomingMessage } from 'node:http';
import type { Clock } from '../../../lib/clock.ts';
import type { Failure } from '../../../scheduler/outcome.ts';
import {
  type Answer,
  type Asked,
  BrokenStream,
  type KubeApi,
  pathWithQuery,
  type Query,
  type Stream,
} from './api.ts';
import { connectionFailure } from './failures.ts';
import { type Access, createSender } from './send.ts';

export type AccessResult =
  | { readonly ok: true; readonly access: Access }
  | { readonly ok: false; readonly failure: Failure };

/** `renew`: what was shown before was refused, so nothing that was kept of it will do. */
export type GetAccess = (renew: boolean) => Promise<AccessResult>;

export interface HttpApiOptions {
  readonly server: URL;
  readonly access: GetAccess;
  readonly clock: Clock;
  /** For an answer's head, and for the whole of an answer that `get` reads. Default 60 s, as the API server's. */
  readonly timeoutMs?: number;
  /** Of one answer that `get` reads. Default 32 MiB. */
  readonly maxBytes?: number;
}

export function createHttpApi(options: HttpApiOptions): KubeApi {
  const { server, clock, timeoutMs = 60_000, maxBytes = 32 * 1024 * 1024 } = options;
  const who = `the API server ${server.origin}`;
  const { send, close } = createSender(server);

  /** The head of an answer; asked once more with fresh credentials when those that were shown are refused. */
  async function ask(path: string, query: Query, signal: AbortSignal): Promise<IncomingMessage | Failure> {
    for (const renew of [false, true]) {
      const shown = await unlessAborted(options.access(renew), signal);
      if (shown === undefined) return noCredentials(who);
      if (!shown.ok) return shown.failure;
      try {
        const response = await send(pathWithQuery(path, query), shown.access, signal);
        if (response.statusCode !== 401 || renew) return response;
        response.destroy();
      } catch (error) {
        return signal.aborted ? ended : connectionFailure(error, who);
      }
    }
    return ended;
  }

  async function whole(response: IncomingMessage): Promise<string> {
    const parts: Uint8Array[] = [];
    let bytes = 0;
    for await (const part of response as AsyncIterable<Uint8Array>) {
      bytes += part.length;
      if (bytes > maxBytes)
        throw new BrokenStream({
          reason: 'too_large',
          message: `${who} sent more than ${maxBytes} bytes at once`,
        });
      parts.push(part);
    }
    return Buffer.concat(parts).toString('utf8');
  }

  async function answerOf(response: IncomingMessage): Promise<Answer> {
    const head = headOf(response);
    return { ...head, body: await whole(response) };
  }

  /** Runs it under the deadline; what it throws becomes a failure. */
  async function bounded<T>(
    signal: AbortSignal,
    run: (signal: AbortSignal) => Promise<Asked<T>>,
    release: () => void,
  ): Promise<Asked<T>> {
    const late = new AbortController();
    const done = new AbortController();
    void clock.sleep(timeoutMs, done.signal).then(() => {
      if (!done.signal.aborted) late.abort();
    });
    try {
      const outcome = await run(AbortSignal.any([signal, late.signal]));
      return !outcome.ok && outcome.failure === ended && late.signal.aborted
        ? bad(tooLate(who, timeoutMs))
        : outcome;
    } catch (error) {
      release();
      if (late.signal.aborted) return bad(tooLate(who, timeoutMs));
      return bad(failureIn(error, who, signal));
    } finally {
      done.abort();
    }
  }

  return {
    server: server.origin,
    get: (path, query, signal) => {
      let response: IncomingMessage | undefined;
      return bounded<Answer>(
        signal,
        async (deadline) => {
          const head = await ask(path, query, deadline);
          if (isFailure(head)) return bad(head);
          response = head;
          return { ok: true, answer: await answerOf(head) };
        },
        () => response?.destroy(),
      );
    },
    stream: (path, query, signal) => {
      // The deadline is for the head alone: the body lives as long as the caller's signal lets it.
      const end = new AbortController();
      const forward = (): void => end.abort();
      signal.addEventListener('abort', forward, { once: true });
      if (signal.aborted) forward();
      return bounded<Stream>(
        signal,
        async (deadline) => {
          deadline.addEventListener('abort', forward, { once: true });
          try {
            const head = await ask(path, query, end.signal);
            if (isFailure(head)) return bad(head);
            if (head.statusCode !== 200)
              return { ok: true, answer: { ...(await answerOf(head)), bytes: nothing() } };
            return { ok: true, answer: { ...headOf(head), body: '', bytes: bytesOf(head, who, signal) } };
          } finally {
            deadline.removeEventListener('abort', forward);
          }
        },
        forward,
      );
    },
    close,
  };
}

async function* bytesOf(
  response: IncomingMessage,
  who: string,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  try {
    for await (const part of response as AsyncIterable<Uint8Array>) yield part;
    // One that was ended when all had come already looks as if it had ended by itself.
    if (signal.aborted) throw new BrokenStream(ended);
  } catch (error) {
    throw new BrokenStream(failureIn(error, who, signal));
  } finally {
    response.destroy();
  }
}

async function* nothing(): AsyncGenerator<Uint8Array> {}

function headOf({ statusCode = 0, headers }: IncomingMessage): Omit<Answer, 'body'> {
  const retryAfter = headers['retry-after'];
  return {
    status: statusCode,
    retryAfterSeconds:
      retryAfter !== undefined && /^\d{1,6}$/.test(retryAfter) ? Number(retryAfter) : undefined,
  };
}

const bad = (failure: Failure): { readonly ok: false; readonly failure: Failure } => ({ ok: false, failure });

const isFailure = (value: IncomingMessage | Failure): value is Failure => 'reason' in value;

const ended: Failure = { reason: 'timeout', message: 'ended by the exporter itself' };

const noCredentials = (who: string): Failure => ({
  reason: 'authentication',
  message: `no credentials for ${who} in time: the credential plugin of the kubeconfig hangs; run it by hand`,
});

const tooLate = (who: string, timeoutMs: number): Failure => ({
  reason: 'timeout',
  message: `${who} did not answer within ${timeoutMs / 1000} s`,
});

const failureIn = (error: unknown, who: string, signal: AbortSignal): Failure =>
  error instanceof BrokenStream ? error.failure : signal.aborted ? ended : connectionFailure(error, who);

/** The value, or undefined once the signal aborts: a credential plugin may hang. */
async function unlessAborted<T>(value: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  if (signal.aborted) return undefined;
  const { promise, resolve } = Promise.withResolvers<undefined>();
  const give = (): void => resolve(undefined);
  signal.addEventListener('abort', give, { once: true });
  try {
    return await Promise.race([value, promise]);
  } finally {
    signal.removeEventListener('abort', give);
  }
}
