/** A stream that is there and says nothing: a peer that died without a word, or a proxy that forgot us. */
import type { Clock } from '../../../lib/clock.ts';
import { BrokenStream } from '../api/api.ts';

export interface Patience {
  readonly clock: Clock;
  /** Ends the connection, and with it the wait for its next byte. */
  readonly connection: AbortController;
  /** How long without a byte is too long, asked anew each time. */
  readonly silenceMs: () => number;
}

const lookAgainMs = 15_000;

/** The bytes, until `silenceMs` pass without any: then it throws BrokenStream with reason timeout. */
export async function* readWhileHeard(
  bytes: AsyncIterable<Uint8Array>,
  { clock, connection, silenceMs }: Patience,
): AsyncGenerator<Uint8Array> {
  let heardAt = clock.monotonic();
  let silentForMs: number | undefined;
  const done = new AbortController();

  async function listen(): Promise<void> {
    while (!done.signal.aborted) {
      const quietMs = clock.monotonic() - heardAt;
      if (quietMs >= silenceMs()) {
        silentForMs = quietMs;
        return connection.abort();
      }
      // What is too long may become less meanwhile.
      await clock.sleep(Math.min(lookAgainMs, silenceMs() - quietMs), done.signal);
    }
  }

  void listen();
  try {
    for await (const part of bytes) {
      heardAt = clock.monotonic();
      yield part;
      // Our own work on it is no silence of the server's.
      heardAt = clock.monotonic();
    }
  } catch (error) {
    if (silentForMs === undefined) throw error;
    const seconds = Math.round(silentForMs / 1000);
    throw new BrokenStream({
      reason: 'timeout',
      message: `the API server was silent for ${seconds} s on an open connection`,
    });
  } finally {
    done.abort();
  }
}
