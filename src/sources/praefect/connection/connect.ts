/** One attempt to connect as sslmode says, bounded in time. */
import type { DatabaseConnection } from '../../../config/database-connection.ts';
import type { Clock } from '../../../lib/clock.ts';
import { type Finding, found, inWords, type Result, succeeded } from './finding.ts';
import { limit } from './limit.ts';
import { type Login, logIn } from './login.ts';
import { createSession, type Session } from './session.ts';
import { type Attempt, attemptsFor, mayFallBack } from './tls.ts';
import { openTransport } from './transport.ts';

/** Connects within connection.connectTimeoutMs and the signal, whichever ends first. */
export async function connect(
  connection: DatabaseConnection,
  applicationName: string,
  clock: Clock,
  signal: AbortSignal,
): Promise<Result<Session>> {
  const started = clock.monotonic();
  const bounds = limit(clock, connection.connectTimeoutMs, signal);
  try {
    let before: Finding | undefined;
    for (const attempt of attemptsFor(connection)) {
      const login = await logInBy(attempt);
      if (login.ok) return succeeded(createSession(login.value, connection, clock));
      if (bounds.signal.aborted || !mayFallBack(login.finding)) return found(joined(before, login.finding));
      before = joined(before, login.finding);
    }
    return found(before ?? { reason: 'internal', found: 'no way of connecting was tried' });
  } finally {
    bounds.release();
  }

  async function logInBy(attempt: Attempt): Promise<Result<Login>> {
    let step = 'connecting';
    const onStep = (next: string): void => {
      step = next;
    };
    const transport = await openTransport(connection, attempt, bounds.signal, onStep);
    if (!transport.ok) return bounds.signal.aborted ? found(silence(step)) : transport;
    const destroy = (): void => void transport.value.socket.destroy();
    bounds.signal.addEventListener('abort', destroy, { once: true });
    const login = await logIn(connection, transport.value, applicationName, onStep);
    bounds.signal.removeEventListener('abort', destroy);
    if (!bounds.signal.aborted) return login;
    destroy();
    return found(silence(step));
  }

  function silence(step: string): Finding {
    return {
      reason: 'timeout',
      found: `no answer within ${inWords(clock.monotonic() - started)} while ${step}`,
      mend: 'a firewall that drops packets, a server or pooler that hangs or is full, or a deadline that is too short',
    };
  }
}

/** With sslmode allow and prefer both ways count: the last word, and what came before it. */
const joined = (before: Finding | undefined, last: Finding): Finding =>
  before === undefined ? last : { ...last, found: `${last.found} (before that, ${before.found})` };
