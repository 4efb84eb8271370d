/** Opens the way to the API server: its address now, and credentials for each request. */
import { readFile } from 'node:fs/promises';
import type { Agent } from 'node:http';
import type { RequestOptions } from 'node:https';
import type { Clock } from '../../../lib/clock.ts';
import { codeOf } from '../../../lib/errors.ts';
import { Secret } from '../../../lib/secret.ts';
import type { Failure } from '../../../scheduler/outcome.ts';
import type { KubeApi } from './api.ts';
import {
  ConfigProblem,
  type Configuration,
  type KubeApiSettings,
  loadConfiguration,
  type Surroundings,
  serverOf,
} from './configuration.ts';
import { type AccessResult, type ApiAccess, createHttpApi, type GetAccess } from './http.ts';

export interface KubeApiWorld extends Surroundings {
  readonly clock: Clock;
  /** For one answer. Default 60 s. */
  readonly timeoutMs?: number;
}

/** How long what was read of files, or given by a plugin that does not say how long it is good, is used. */
const keptMs = 60_000;
/** All watches are refused at once when a token expires: one renewal serves them all. */
const renewalMs = 5_000;

/** Reads the configuration now, so that what is wrong with it is known at once; asks the API server nothing. */
export async function openKubeApi(
  settings: KubeApiSettings,
  world: KubeApiWorld,
): Promise<{ readonly ok: true; readonly api: KubeApi } | { readonly ok: false; readonly failure: Failure }> {
  const { clock, timeoutMs } = world;
  const load = (): Promise<Configuration> => loadConfiguration(settings, world);
  try {
    const configuration = await load();
    const server = serverOf(configuration);
    const access = accessFrom(configuration, load, clock);
    return {
      ok: true,
      api: createHttpApi({ server, access, clock, ...(timeoutMs === undefined ? {} : { timeoutMs }) }),
    };
  } catch (error) {
    return { ok: false, failure: configurationFailure(error) };
  }
}

/** One reading of credentials at a time, kept for a minute, made anew when they were refused. */
function accessFrom(first: Configuration, load: () => Promise<Configuration>, clock: Clock): GetAccess {
  let configuration = first;
  let latest:
    | { readonly access: Promise<AccessResult>; readonly at: number; readonly renewed: boolean }
    | undefined;

  async function read(renew: boolean): Promise<AccessResult> {
    try {
      // A new configuration forgets cached tokens and asks plugins again.
      if (renew) configuration = await load();
      return { ok: true, access: await accessOf(configuration) };
    } catch (error) {
      latest = undefined;
      return { ok: false, failure: configurationFailure(error) };
    }
  }

  return (renew) => {
    const age = latest === undefined ? Number.POSITIVE_INFINITY : clock.monotonic() - latest.at;
    if (latest === undefined || (renew ? !latest.renewed || age > renewalMs : age > keptMs))
      latest = { access: read(renew), at: clock.monotonic(), renewed: renew };
    return latest.access;
  };
}

async function accessOf({ config, tokenFiles }: Configuration): Promise<ApiAccess> {
  const cluster = config.getCurrentCluster();
  const user = config.getCurrentUser();
  const tokenFile = user === null ? undefined : tokenFiles.get(user.name);
  if (user !== null && tokenFile !== undefined)
    Object.assign(user, { token: (await readFile(tokenFile, 'utf8')).trim() });
  // What client-node asks for before it takes http; serverOf has let no other through.
  if (cluster?.server.startsWith('http:') === true) Object.assign(cluster, { skipTLSVerify: true });
  const options: RequestOptions = {};
  await config.applyToHTTPSOptions(options);
  const { ca, cert, key, servername, rejectUnauthorized, auth, agent } = options;
  const { Authorization: bearer, ...headers } = Object.fromEntries(
    Object.entries(options.headers ?? {}).map(([name, value]) => [name, String(value).trim()]),
  );
  const authorization = auth ? `Basic ${Buffer.from(auth).toString('base64')}` : bearer;
  return {
    tls: {
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
      ...(servername === undefined ? {} : { servername }),
      ...(rejectUnauthorized === undefined ? {} : { rejectUnauthorized }),
    },
    authorization: authorization === undefined ? undefined : new Secret(authorization),
    headers,
    ...(cluster?.proxyUrl === undefined ? {} : { agent: agent as Agent }),
  };
}

/** No words of plugins and parsers: they may quote what nobody should see. */
function configurationFailure(error: unknown): Failure {
  if (error instanceof ConfigProblem) return { reason: error.reason, message: error.message };
  const code = codeOf(error);
  if (code === 'ENOENT' || code === 'EACCES' || code === 'EISDIR') {
    const { path } = error as { readonly path?: unknown };
    return {
      reason: 'authentication',
      message: `a file or program for the credentials of the Kubernetes API cannot be used${typeof path === 'string' ? `: ${path}` : ''} (${code})`,
    };
  }
  return {
    reason: 'authentication',
    message: `the credentials of the kubeconfig cannot be made${code === undefined ? '' : ` (${code})`}: its certificates or its credential plugin fail; kubectl with the same kubeconfig says more`,
  };
}
