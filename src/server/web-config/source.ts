/**
 * The web configuration as it is on disk at this moment. It is read at every connection and every request, and
 * bytes are compared, not times: two changes within one tick of a file system's clock have the same time. Four
 * small, unchanged files cost 38 us.
 *
 * It fails closed: while the file is invalid, nothing but /-/healthy is served, because the last valid one may
 * grant access to users whom the new one was written to exclude. There are two exceptions, neither of which
 * grants access. If certificate and key do not match (one of them is being replaced), the old pair stays in use.
 * And a change that would loosen access needs a restart, so that a file that is half written never does.
 */
import { dirname } from 'node:path';
import type { SecureContextOptions } from 'node:tls';
import { readErrorText, readTextFileSync } from '../../lib/files.ts';
import { parseWebConfig, type TlsConfig, type WebConfig } from './parse.ts';
import { clientAuthTypes } from './schema.ts';
import {
  checkSecureContext,
  type ReadResult,
  readClientCa,
  readPair,
  secureContextOptions,
  type TlsMaterial,
} from './tls.ts';

export interface LoadedTls {
  readonly config: TlsConfig;
  readonly material: TlsMaterial;
  readonly options: SecureContextOptions;
}

/** Immutable: a reload with changes makes a new object, so identity shows whether anything changed. */
export interface LoadedWebConfig {
  readonly config: WebConfig;
  readonly tls: LoadedTls | undefined;
}

export type WebConfigState =
  /** `warning`: in use, but not all of it is as on disk. */
  | { readonly ok: true; readonly loaded: LoadedWebConfig; readonly warning?: string }
  /** Every request is rejected. */
  | { readonly ok: false; readonly problem: string };

export interface WebConfigSource {
  /** Reads the files again; never throws. */
  current(): WebConfigState;
  /** The last result of `current`, without reading. */
  last(): WebConfigState;
  /** Calls the listener once for each change that `current` finds, before it returns. */
  subscribe(listener: (state: WebConfigState) => void): () => void;
}

const maxConfigBytes = 1024 ** 2;

/** Reads the file for the first time. `problem` has one problem per line. */
export function openWebConfig(file: string): ReadResult<WebConfigSource> {
  let cached: { readonly text: string; readonly result: ReadResult<WebConfig> } | undefined;
  const readFile = (): ReadResult<WebConfig> => {
    let text: string;
    try {
      text = readTextFileSync(file, { maxBytes: maxConfigBytes });
    } catch (error) {
      return { ok: false, problem: `${file} cannot be read (${readErrorText(error)})` };
    }
    if (cached?.text !== text) cached = { text, result: parse(text, file) };
    return cached.result;
  };

  const parsed = readFile();
  if (!parsed.ok) return parsed;
  const initial = load(parsed.value, undefined);
  if (!initial.ok) return { ok: false, problem: `${file}: ${initial.problem}` };
  let lastValid = initial.loaded;
  let state: WebConfigState = initial;
  const listeners = new Set<(state: WebConfigState) => void>();

  const next = (): WebConfigState => {
    const read = readFile();
    if (!read.ok) return read;
    const problem = looseningOf(lastValid, read.value);
    if (problem !== undefined) return { ok: false, problem: `${file}: ${problem}` };
    const result = load(read.value, lastValid);
    return result.ok ? result : { ok: false, problem: `${file}: ${result.problem}` };
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
        const previous = state;
        state = next();
        if (state.ok) lastValid = state.loaded;
        if (!isSameState(previous, state)) for (const listener of listeners) listener(state);
        return state;
      },
    },
  };
}

function parse(text: string, file: string): ReadResult<WebConfig> {
  const result = parseWebConfig(text, dirname(file));
  return result.ok
    ? { ok: true, value: result.config }
    : { ok: false, problem: result.problems.map((line) => `${file}: ${line}`).join('\n') };
}

/** @param previous in use until now; its objects are reused where nothing changed */
function load(config: WebConfig, previous: LoadedWebConfig | undefined): WebConfigState {
  // A socket that listens for plain HTTP cannot switch to TLS.
  if (previous !== undefined && previous.tls === undefined && config.tls !== undefined) {
    return {
      ok: true,
      loaded: reuse(previous, { config, tls: undefined }),
      warning: 'TLS was added to the web configuration file: restart the exporter to enable it',
    };
  }
  if (config.tls === undefined) return { ok: true, loaded: reuse(previous, { config, tls: undefined }) };

  const clientCa = readClientCa(config.tls, previous?.tls?.material);
  if (!clientCa.ok) return { ok: false, problem: clientCa.problem };
  const pair = readPair(config.tls, previous?.tls?.material);
  const oldPair = previous?.tls?.material;
  if (!pair.ok && oldPair === undefined) return { ok: false, problem: pair.problem };
  const { cert, key } = pair.ok ? pair.value : (oldPair as TlsMaterial);
  const material = { cert, key, clientCa: clientCa.value };
  const tls = reuseTls(previous?.tls, config.tls, material);
  if (!tls.ok) return { ok: false, problem: tls.problem };
  const loaded = reuse(previous, { config, tls: tls.value });
  return pair.ok
    ? { ok: true, loaded }
    : { ok: true, loaded, warning: `${pair.problem}; the previous certificate stays in use` };
}

function reuse(previous: LoadedWebConfig | undefined, next: LoadedWebConfig): LoadedWebConfig {
  return previous !== undefined && previous.config === next.config && previous.tls === next.tls
    ? previous
    : next;
}

function reuseTls(
  previous: LoadedTls | undefined,
  config: TlsConfig,
  material: TlsMaterial,
): ReadResult<LoadedTls> {
  if (
    previous?.config === config &&
    previous.material.cert === material.cert &&
    previous.material.key === material.key &&
    previous.material.clientCa === material.clientCa
  ) {
    return { ok: true, value: previous };
  }
  const options = checkSecureContext(secureContextOptions(config, material));
  return options.ok ? { ok: true, value: { config, material, options: options.value } } : options;
}

/** How the new file would loosen access compared to the one in use, if it does. */
function looseningOf(inUse: LoadedWebConfig, next: WebConfig): string | undefined {
  const before = inUse.tls?.config;
  const restart = 'if this is intended, restart the exporter';
  if (inUse.config.users.size > 0 && next.users.size === 0)
    return `basic_auth_users was removed, which would disable authentication; ${restart}`;
  if (before === undefined) return undefined;
  if (next.tls === undefined)
    return `tls_server_config was removed, which would disable encryption; ${restart}`;
  const rank = (config: TlsConfig) => clientAuthTypes.indexOf(config.clientAuthType);
  if (rank(next.tls) < rank(before)) {
    return `client_auth_type is now ${next.tls.clientAuthType}, which is looser than ${before.clientAuthType}; ${restart}`;
  }
  if (before.clientAllowedSans.length > 0 && next.tls.clientAllowedSans.length === 0) {
    return `client_allowed_sans was removed, which would accept clients with any name; ${restart}`;
  }
  return undefined;
}

function isSameState(a: WebConfigState, b: WebConfigState): boolean {
  if (a.ok && b.ok) return a.loaded === b.loaded && a.warning === b.warning;
  return !a.ok && !b.ok && a.problem === b.problem;
}
