/** One request and its response over time: the phase it is in, its limits, and what a failure means. */
import { isIP } from 'node:net';
import { createDeadline } from '../abort.ts';
import type { Clock } from '../clock.ts';
import { durationText } from '../format.ts';
import { connectionFailure, type HttpFailure, type HttpHints, httpFailure } from './failure.ts';

/** Milliseconds count from the start of the request. Undefined is no limit. */
export interface HttpDeadlines {
  /** Until the connection is there, with its TLS handshake. */
  readonly connectMs?: number | undefined;
  /** Until the head of the response has arrived. */
  readonly headMs?: number | undefined;
  /** Until the body has been read. */
  readonly totalMs?: number | undefined;
}

/** What a request waits for, which says most about a timeout. */
export type HttpPhase = 'lookup' | 'connect' | 'head' | 'body';

const timeoutText: Readonly<Record<HttpPhase, string>> = {
  lookup: 'has a name that did not resolve',
  connect: 'did not accept the connection',
  head: 'sent no response',
  body: 'sent no complete response',
};

export interface Exchange {
  readonly hints: HttpHints;
  /** Aborts at the nearest limit that still holds, and with the caller's signal. */
  signal(): AbortSignal;
  /** Ends the limits of earlier phases. */
  enter(phase: HttpPhase): void;
  /** There is a TCP connection to the server. */
  connected(): void;
  /** Adds a limit that counts from now. */
  limit(ms: number): void;
  /** Why the exchange failed, with this error or at a limit. */
  explain(error: unknown): HttpFailure;
  end(): void;
}

export function createExchange(
  url: URL,
  { connectMs, headMs, totalMs }: HttpDeadlines,
  {
    clock,
    hints,
    signal,
  }: { readonly clock: Clock; readonly hints: HttpHints; readonly signal: AbortSignal },
): Exchange {
  const total = createDeadline(clock, totalMs, signal);
  const head = createDeadline(clock, headMs, total.signal);
  const connect = createDeadline(clock, connectMs, head.signal);
  let phase: HttpPhase = isIP(hostOf(url)) === 0 ? 'lookup' : 'connect';
  let nearest = connect;
  let isConnected = false;
  const limits = [
    { deadline: total, ms: totalMs },
    { deadline: head, ms: headMs },
    { deadline: connect, ms: connectMs },
  ];
  return {
    hints,
    signal: () => nearest.signal,
    enter(next) {
      phase = next;
      if (next === 'lookup' || next === 'connect') return;
      connect.release();
      if (next === 'body') head.release();
      nearest = next === 'body' ? total : head;
    },
    connected() {
      isConnected = true;
    },
    limit(ms) {
      nearest = createDeadline(clock, ms, nearest.signal);
      limits.push({ deadline: nearest, ms });
    },
    explain(error) {
      const timedOut = limits.find(({ deadline }) => deadline.isTimedOut());
      if (timedOut !== undefined) {
        const within = durationText(timedOut.ms ?? 0);
        const failure = httpFailure('timeout', `${timeoutText[phase]} within ${within}`, hints);
        return phase === 'lookup' ? { ...failure, isInconclusive: true } : failure;
      }
      if (signal.aborted) {
        const failure = httpFailure('canceled', 'was not read completely: the read was canceled');
        return { ...failure, isInconclusive: true };
      }
      const failure = connectionFailure(error, hints);
      return isConnected || !causedHere.includes(failure.kind)
        ? failure
        : { ...failure, isInconclusive: true };
    },
    end() {
      for (const { deadline } of limits) deadline.release();
    },
  };
}

/** Without a connection: a certificate or credentials that OpenSSL or Node rejects come from files of this side. */
const causedHere: readonly HttpFailure['kind'][] = [
  ...(['local', 'tls', 'plain_text', 'certificate_name', 'unauthenticated'] as const),
];

/** Without the brackets of an IPv6 address. */
export const hostOf = ({ hostname }: URL): string => hostname.replace(/^\[(.*)\]$/, '$1');
