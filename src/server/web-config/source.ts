/**
 * The web configuration as it is at this moment. It is asked at every connection and every request, and reads
 * the files each time: bytes are compared, not times, since two changes within one tick of a file system's
 * clock would look like one. Four small files cost about a tenth of a millisecond.
 *
 * It fails closed: while the file is wrong, nothing but /-/healthy is served, because the last good one may let
 * in whom the new one was written to keep out. Two things are gentler, and neither is about who is let in: a
 * pair of certificate and key that does not fit (one of the two is being replaced) leaves the old pair in use;
 * and what would make access looser than it is needs a restart, so that a file cut short while it is
 * being written never opens a door.
 */
import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { SecureContextOptions } from 'node:tls';
import { parseWebConfig, type TlsConfig, type WebConfig } from './parse.ts';
import { clientAuthTypes } from './schema.ts';
import {
  checkSecureContext,
  type Read,
  readClientCa,
  readPair,
  secureContextOptions,
  type TlsMaterial,
} from './tls-material.ts';

export interface LoadedTls {
  readonly config: TlsConfig;
  readonly material: TlsMaterial;
  readonly options: SecureContextOptions;
}

/** A value that is replaced, never changed: compare it by identity to see whether anything is new. */
export interface LoadedWebConfig {
  readonly config: WebConfig;
  readonly tls: LoadedTls | undefined;
}

export type WebConfigState =
  /** `warning`: served all the same, as the text says. */
  | { readonly ok: true; readonly loaded: LoadedWebConfig; readonly warning?: string }
  /** Refuse everything. */
  | { readonly ok: false; readonly problem: string };

export interface WebConfigSource {
  /** Reads the files again; never throws. */
  current(): WebConfigState;
  /** What `current` found last, without reading. */
  last(): WebConfigState;
  /** Told of each change that `current` finds, before it returns; once, however many requests meet it. */
  subscribe(listener: (state: WebConfigState) => void): () => void;
}

const nothing: LoadedWebConfig = {
  config: { tls: undefined, http2: true, headers: new Map(), users: new Map(), rateLimit: undefined },
  tls: undefined,
};

/** Where no file is given: plain HTTP, everybody let in. */
export const noWebConfig: WebConfigSource = {
  current: () => ({ ok: true, loaded: nothing }),
  last: () => ({ ok: true, loaded: nothing }),
  subscribe: () => () => undefined,
};

/** Reads the file for the first time; `problem` lists everything that is wrong with it, one a line. */
export function openWebConfig(file: string): Read<WebConfigSource> {
  let cached: { readonly text: string; readonly result: Read<WebConfig> } | undefined;
  const readFile = (): Read<WebConfig> => {
    let text: string;
    try {
      text = readFileSync(file, 'utf8');
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? 'unknown';
      return { ok: false, problem: `${file} cannot be read (${code})` };
    }
    if (cached?.text !== text) cached = { text, result: parse(text, file) };
    return cached.result;
  };

  const parsed = readFile();
  if (!parsed.ok) return parsed;
  const initial = load(parsed.value, undefined);
  if (!initial.ok) return { ok: false, problem: `${file}: ${initial.problem}` };
  const { http2 } = parsed.value;
  let good = initial.loaded;
  let state: WebConfigState = initial;
  const listeners = new Set<(state: WebConfigState) => void>();

  const next = (): WebConfigState => {
    const now = readFile();
    if (!now.ok) return now;
    const looser = loosened(good, now.value);
    if (looser !== undefined) return { ok: false, problem: `${file}: ${looser}` };
    const found = load(now.value, good);
    if (!found.ok) return { ok: false, problem: `${file}: ${found.problem}` };
    return found.loaded.tls !== undefined && now.value.http2 !== http2
      ? { warning: 'http2 was changed: that holds from the next start on', ...found }
      : found;
  };

  return {
    ok: true,
    value: {
      last: () => state,
      subscribe(listener) {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
      current() {
        const before = state;
        state = next();
        if (state.ok) good = state.loaded;
        if (!same(before, state)) for (const listener of listeners) listener(state);
        return state;
      },
    },
  };
}

function parse(text: string, file: string): Read<WebConfig> {
  const result = parseWebConfig(text, dirname(file));
  return result.ok
    ? { ok: true, value: result.config }
    : { ok: false, problem: result.problems.map((line) => `${file}: ${line}`).join('\n') };
}

/** `before`: what is in use; its values are handed on where nothing changed, so that identity tells of change. */
function load(config: WebConfig, before: LoadedWebConfig | undefined): WebConfigState {
  // Over a socket that was opened in plain, TLS cannot begin: the section waits for a restart.
  if (before !== undefined && before.tls === undefined && config.tls !== undefined) {
    return {
      ok: true,
      loaded: keep(before, { config, tls: undefined }),
      warning: 'TLS was added to the web configuration file: it begins with the next start',
    };
  }
  if (config.tls === undefined) return { ok: true, loaded: keep(before, { config, tls: undefined }) };

  const clientCa = readClientCa(config.tls, before?.tls?.material);
  if (!clientCa.ok) return { ok: false, problem: clientCa.problem };
  const pair = readPair(config.tls, before?.tls?.material);
  const oldPair = before?.tls?.material;
  if (!pair.ok && oldPair === undefined) return { ok: false, problem: pair.problem };
  const { cert, key } = pair.ok ? pair.value : (oldPair as TlsMaterial);
  const material = { cert, key, clientCa: clientCa.value };
  const tls = keepTls(before?.tls, config.tls, material);
  if (!tls.ok) return { ok: false, problem: tls.problem };
  const loaded = keep(before, { config, tls: tls.value });
  return pair.ok
    ? { ok: true, loaded }
    : { ok: true, loaded, warning: `${pair.problem}; the certificate read before stays in use` };
}

function keep(before: LoadedWebConfig | undefined, now: LoadedWebConfig): LoadedWebConfig {
  return before !== undefined && before.config === now.config && before.tls === now.tls ? before : now;
}

function keepTls(before: LoadedTls | undefined, config: TlsConfig, material: TlsMaterial): Read<LoadedTls> {
  if (
    before?.config === config &&
    before.material.cert === material.cert &&
    before.material.key === material.key &&
    before.material.clientCa === material.clientCa
  ) {
    return { ok: true, value: before };
  }
  const options = checkSecureContext(secureContextOptions(config, material));
  return options.ok ? { ok: true, value: { config, material, options: options.value } } : options;
}

/** In which way the new file would let in more than what is in force, if it does. */
function loosened(inForce: LoadedWebConfig, now: WebConfig): string | undefined {
  const before = inForce.tls?.config;
  const restart = 'if that is meant, restart the exporter';
  if (inForce.config.users.size > 0 && now.users.size === 0)
    return `basic_auth_users is gone, which would let everybody in; ${restart}`;
  if (before === undefined) return undefined;
  if (now.tls === undefined) return `tls_server_config is gone, which would turn encryption off; ${restart}`;
  const rank = (config: TlsConfig) => clientAuthTypes.indexOf(config.clientAuthType);
  if (rank(now.tls) < rank(before)) {
    return `client_auth_type is now ${now.tls.clientAuthType}, which asks less of clients than ${before.clientAuthType}; ${restart}`;
  }
  if (before.clientAllowedSans.length > 0 && now.tls.clientAllowedSans.length === 0) {
    return `client_allowed_sans is gone, which would let in clients of every name; ${restart}`;
  }
  return undefined;
}

function same(a: WebConfigState, b: WebConfigState): boolean {
  if (a.ok && b.ok) return a.loaded === b.loaded && a.warning === b.warning;
  return !a.ok && !b.ok && a.problem === b.problem;
}
