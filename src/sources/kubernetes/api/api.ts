/** The API server as this room sees it: GET a path whole, or as a stream. Nothing here ever writes. */
import type { Failure } from '../../../scheduler/outcome.ts';

export interface KubeApi {
  /** `https://10.0.0.1:6443`: for people; no secrets. */
  readonly server: string;
  /** One answer, read whole, whatever its status. Never rejects. */
  get(path: string, query: Query, signal: AbortSignal): Promise<Asked<Answer>>;
  /** The head of an answer, and its body as it comes. Never rejects; `bytes` rejects with `BrokenStream`. */
  stream(path: string, query: Query, signal: AbortSignal): Promise<Asked<Stream>>;
  /** Closes idle connections; answers under way are ended by their own signals. */
  close(): void;
}

export type Query = Readonly<Record<string, string | number | boolean | undefined>>;

export type Asked<T> =
  | { readonly ok: true; readonly answer: T }
  /** No answer in HTTP, or not all of it. */
  | { readonly ok: false; readonly failure: Failure };

export interface Answer {
  readonly status: number;
  /** Retry-After, when it is in seconds. */
  readonly retryAfterSeconds: number | undefined;
  readonly body: string;
}

export interface Stream extends Answer {
  /** The body of a 200; nothing otherwise, where `body` has it. */
  readonly bytes: AsyncIterable<Uint8Array>;
}

/** Why a stream ended before its end. */
export class BrokenStream extends Error {
  readonly failure: Failure;
  constructor(failure: Failure) {
    super(failure.message);
    this.failure = failure;
  }
}

/** `/api/v1/namespaces/gitlab/pods?limit=50`. */
export function pathWithQuery(path: string, query: Query): string {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) if (value !== undefined) search.set(key, String(value));
  const text = search.toString();
  return text === '' ? path : `${path}?${text}`;
}
