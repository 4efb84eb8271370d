/** How long and how much a client may ask of the server: what keeps a slow or hostile one from holding it up. */
export interface Limits {
  /** From a connection's start, or a request's, to the end of its header. */
  readonly headersTimeoutMs: number;
  /** To the end of the request's body. */
  readonly requestTimeoutMs: number;
  /** How long an idle connection stays open. Above Prometheus' default interval, so that scrapes reuse one. */
  readonly keepAliveTimeoutMs: number;
  /** How often the three above are looked at. */
  readonly checkingIntervalMs: number;
  readonly handshakeTimeoutMs: number;
  /** Without a byte in either direction a connection is closed: a reader that has stopped reading. */
  readonly inactivityTimeoutMs: number;
  readonly maxHeaderBytes: number;
  /** No request of ours has a body to speak of: a form without fields. */
  readonly maxBodyBytes: number;
  readonly maxConnections: number;
  /** How long a scrape may take that names no timeout of its own (Prometheus' default scrape_timeout). */
  readonly defaultScrapeTimeoutMs: number;
  /** However long a timeout a scrape names. Its connection is closed then, whatever it is doing. */
  readonly maxScrapeTimeoutMs: number;
  /** How long stop() waits for requests in flight. */
  readonly stopMs: number;
}

export const defaultLimits: Limits = Object.freeze({
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 20_000,
  keepAliveTimeoutMs: 75_000,
  checkingIntervalMs: 2_000,
  handshakeTimeoutMs: 10_000,
  inactivityTimeoutMs: 150_000,
  maxHeaderBytes: 16 * 1024,
  maxBodyBytes: 16 * 1024,
  maxConnections: 1024,
  defaultScrapeTimeoutMs: 10_000,
  maxScrapeTimeoutMs: 120_000,
  stopMs: 10_000,
});
