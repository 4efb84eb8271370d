/** Instant queries of a Prometheus (or what has its API, such as Thanos and Mimir), each bounded in time, bytes and series. */
import type { Clock } from '../../lib/clock.ts';
import { createHttpClient, type HttpCredentials, type HttpResponse } from '../../lib/http/client.ts';
import { HttpError, type HttpHints, statusFailure } from '../../lib/http/failure.ts';
import { outsideText } from '../../lib/outside-text.ts';

/** One series of an instant vector. */
export interface VectorSample {
  readonly labels: ReadonlyMap<string, string>;
  /** Never NaN. */
  readonly value: number;
}

export type QueryResponse =
  | {
      readonly ok: true;
      readonly samples: readonly VectorSample[];
      /** The server's own: of a partial response, for example. */
      readonly warnings: readonly string[];
    }
  | {
      readonly ok: false;
      /** Follows the server's name. No secrets. */
      readonly message: string;
      /** False: it concerns this query alone, and others may succeed. */
      readonly isFinal: boolean;
    };

export interface Prometheus {
  /**
   * Evaluates at one time. Never rejects.
   * @param time in milliseconds
   */
  query(text: string, time: number, signal: AbortSignal): Promise<QueryResponse>;
  close(): void;
}

export interface PrometheusOptions {
  /** Its base URL, without `/api/v1` and a trailing slash. */
  readonly url: string;
  readonly credentials: HttpCredentials;
  readonly clock: Clock;
}

/** The server gets less, so that it gives up first and says why. */
const queryTimeoutMs = 20_000;
const serverTimeout = '15s';
const maxBytes = 16 * 2 ** 20;
const maxSeries = 20_000;
const maxWarnings = 10;

const hints: HttpHints = {
  plain_text: 'write http:// if that is intended',
  redirect: 'set the address that it redirects to',
  unauthenticated: 'set --prometheus-credentials-file',
  forbidden: 'set --prometheus-credentials-file',
  tls: 'set --prometheus-ca-file to the authority of its certificate',
  too_large: 'it has more series than doctor reads',
};

export function createPrometheus({ url, credentials, clock }: PrometheusOptions): Prometheus {
  const client = createHttpClient({ clock, keepAlive: true, hints });
  return {
    async query(text, time, signal) {
      const address = new URL(`${url}/api/v1/query`);
      address.searchParams.set('query', text);
      address.searchParams.set('time', String(Math.round(time) / 1000));
      address.searchParams.set('timeout', serverTimeout);
      const result = await client.get(
        { url: address, headers: { Accept: 'application/json', 'Accept-Encoding': 'gzip' }, credentials },
        { connectMs: 5000, totalMs: queryTimeoutMs },
        signal,
      );
      // A timeout may be that of one expensive query; without a connection no other query succeeds either.
      if (!result.ok)
        return { ok: false, message: result.failure.message, isFinal: result.failure.kind !== 'timeout' };
      try {
        return await read(result.response, credentials);
      } catch (error) {
        if (!(error instanceof HttpError)) throw error;
        return { ok: false, message: error.failure.message, isFinal: false };
      } finally {
        result.response.close();
      }
    },
    close: () => client.close(),
  };
}

async function read(response: HttpResponse, { authorization }: HttpCredentials): Promise<QueryResponse> {
  const { status, headers } = response;
  if (status >= 300 && status < 400)
    return { ok: false, message: statusFailure(status, headers.location, hints).message, isFinal: true };
  const body = parsed(await textOf(response));
  if (status === 200) return vectorOfBody(body);
  const { message } = statusFailure(status, undefined, hints);
  // Prometheus explains a failed query in a body of its API; a proxy has a page of its own, which is not shown.
  const reason = isRecord(body) && body['status'] === 'error' ? body['error'] : undefined;
  return {
    ok: false,
    message: reason === undefined ? message : `${message}: ${outsideText(reason, [authorization])}`,
    isFinal: reason === undefined,
  };
}

async function textOf(response: HttpResponse): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of response.body({ maxBytes })) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

const notPrometheus: QueryResponse = {
  ok: false,
  message:
    "sent something else than a response of Prometheus' API: set the base URL, without /api/v1 or /graph",
  isFinal: true,
};

function vectorOfBody(body: unknown): QueryResponse {
  if (!isRecord(body) || body['status'] !== 'success' || !isRecord(body['data'])) return notPrometheus;
  const { resultType, result } = body['data'];
  if (resultType !== 'vector' || !Array.isArray(result)) return notPrometheus;
  if (result.length > maxSeries)
    return { ok: false, message: `has ${result.length} series, more than ${maxSeries}`, isFinal: false };
  const samples: VectorSample[] = [];
  for (const entry of result as readonly unknown[]) {
    const sample = sampleOf(entry);
    if (sample === undefined) return notPrometheus;
    if (!Number.isNaN(sample.value)) samples.push(sample);
  }
  const warnings = Array.isArray(body['warnings']) ? (body['warnings'] as readonly unknown[]) : [];
  return { ok: true, samples, warnings: warnings.slice(0, maxWarnings).map((text) => outsideText(text)) };
}

function sampleOf(entry: unknown): VectorSample | undefined {
  if (!isRecord(entry) || !isRecord(entry['metric']) || !Array.isArray(entry['value'])) return undefined;
  const [, text] = entry['value'] as readonly unknown[];
  if (typeof text !== 'string') return undefined;
  const labels = new Map<string, string>();
  for (const [name, value] of Object.entries(entry['metric']))
    if (typeof value === 'string') labels.set(name, outsideText(value));
  return { labels, value: numberOf(text) };
}

/** As Prometheus writes numbers: JSON has none for infinity. */
const numberOf = (text: string): number =>
  text === '+Inf' ? Infinity : text === '-Inf' ? -Infinity : text === '' ? Number.NaN : Number(text);

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
