/**
 * Where the API server is and what to show it: the one module that loads @kubernetes/client-node (over a second and
 * 90 MB, so only when Kubernetes is asked for). It reads the configuration and makes credentials; requests are ours.
 */
import { access as canAccess, readFile } from 'node:fs/promises';
import type { Agent } from 'node:http';
import type { RequestOptions } from 'node:https';
import { delimiter, dirname, isAbsolute, join } from 'node:path';
import type { KubeConfig, User } from '@kubernetes/client-node';
import { parse as parseYaml } from 'yaml';
import { Secret } from '../../config/secret.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Failure } from '../../runtime/outcome.ts';
import type { KubeApi } from './api.ts';
import { codeOf } from './failures.ts';
import { type Access, type AccessResult, createHttpApi, type GetAccess } from './http.ts';

export interface KubeApiSettings {
  /** Unset: the pod's own service account, else KUBECONFIG, else ~/.kube/config. */
  readonly kubeconfig: string | undefined;
  /** Of the kubeconfig; unset: its current one. */
  readonly context: string | undefined;
}

export interface KubeApiWorld {
  readonly clock: Clock;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Where a pod finds its service account. */
  readonly serviceAccountFolder?: string;
  readonly timeoutMs?: number;
}

const podFolder = '/var/run/secrets/kubernetes.io/serviceaccount';

/** How long what was read of a token's file, and what a plugin gave without saying how long it is good, is used. */
const keptMs = 60_000;
/** All watches are refused at once when a token expires: one renewal serves them all. */
const renewalMs = 5_000;

/** Reads the configuration now, so that what is wrong with it is known at once; asks the API server nothing. */
export async function openKubeApi(
  settings: KubeApiSettings,
  world: KubeApiWorld,
): Promise<{ readonly ok: true; readonly api: KubeApi } | { readonly ok: false; readonly failure: Failure }> {
  const load = (): Promise<KubeConfig> => loadConfig(settings, world);
  try {
    const config = await load();
    const server = serverOf(config);
    return {
      ok: true,
      api: createHttpApi({
        server,
        access: accessFrom(config, load, world.clock),
        clock: world.clock,
        ...(world.timeoutMs === undefined ? {} : { timeoutMs: world.timeoutMs }),
      }),
    };
  } catch (error) {
    return { ok: false, failure: configurationFailure(error) };
  }
}

async function loadConfig(
  { kubeconfig, context }: KubeApiSettings,
  world: KubeApiWorld,
): Promise<KubeConfig> {
  const { KubeConfig } = await import('@kubernetes/client-node');
  const config = new KubeConfig();
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port = '443' } = world.env;
  const folder = world.serviceAccountFolder ?? podFolder;
  if (kubeconfig === undefined && host !== undefined && (await isThere(join(folder, 'token')))) {
    config.loadFromClusterAndUser(
      {
        name: 'cluster',
        server: `https://${host.includes(':') ? `[${host}]` : host}:${port}`,
        caFile: join(folder, 'ca.crt'),
        skipTLSVerify: false,
      },
      tokenUser('service account', join(folder, 'token')),
    );
    return config;
  }
  for (const file of filesOf(kubeconfig, world.env)) {
    const one = new KubeConfig();
    await loadFile(one, file);
    merge(config, one);
  }
  if (context !== undefined) {
    if (!config.getContexts().some(({ name }) => name === context))
      throw new ConfigProblem(
        `kubernetes.context is ${context}, which the kubeconfig does not have; it has ${
          config
            .getContexts()
            .map(({ name }) => name)
            .join(', ') || 'none'
        }`,
      );
    config.setCurrentContext(context);
  }
  return config;
}

/** As kubectl merges: of two with the same name, and of current contexts, the first file's. */
function merge(into: KubeConfig, from: KubeConfig): void {
  const added = <T extends { readonly name: string }>(known: readonly T[], more: readonly T[]): T[] => [
    ...known,
    ...more.filter(({ name }) => !known.some((each) => each.name === name)),
  ];
  into.clusters = added(into.clusters, from.clusters);
  into.users = added(into.users, from.users);
  into.contexts = added(into.contexts, from.contexts);
  into.currentContext ??= from.currentContext;
}

function filesOf(kubeconfig: string | undefined, env: KubeApiWorld['env']): readonly string[] {
  if (kubeconfig !== undefined) return [kubeconfig];
  const listed = (env['KUBECONFIG'] ?? '').split(delimiter).filter((file) => file !== '');
  if (listed.length > 0) return listed;
  if (env['HOME'] === undefined)
    throw new ConfigProblem(
      'no way to the Kubernetes API: this is no pod with a service account, and neither kubernetes.kubeconfig, KUBECONFIG nor HOME is set',
    );
  return [join(env['HOME'], '.kube', 'config')];
}

/** client-node leaves out `tokenFile` of a user, which kubectl reads again as the token is renewed. */
async function loadFile(config: KubeConfig, file: string): Promise<void> {
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    throw new ConfigProblem(
      codeOf(error) === 'ENOENT'
        ? `the kubeconfig ${file} is not there; set kubernetes.kubeconfig, or run as a pod with a service account`
        : `the kubeconfig ${file} cannot be read (${codeOf(error) ?? 'unknown error'})`,
      'permission',
    );
  });
  const folder = dirname(file);
  try {
    config.loadFromString(text);
    config.makePathsAbsolute(folder);
    const users: unknown = (parseYaml(text) as { users?: unknown } | null)?.users;
    config.users = config.users.map((user) => {
      const tokenFile = tokenFileOf(users, user.name);
      return tokenFile === undefined
        ? user
        : tokenUser(user.name, isAbsolute(tokenFile) ? tokenFile : join(folder, tokenFile));
    });
  } catch {
    // The parser's words may quote what is in the file.
    throw new ConfigProblem(
      `${file} is not a kubeconfig: kubectl --kubeconfig ${file} config view says more`,
    );
  }
}

function tokenFileOf(users: unknown, name: string): string | undefined {
  const found: unknown = Array.isArray(users)
    ? users.find((each: { name?: unknown } | null) => each?.name === name)
    : undefined;
  const tokenFile = (found as { user?: { tokenFile?: unknown } | null } | undefined)?.user?.tokenFile;
  return typeof tokenFile === 'string' && tokenFile !== '' ? tokenFile : undefined;
}

const tokenUser = (name: string, tokenFile: string): User => ({
  name,
  authProvider: { name: 'tokenFile', config: { tokenFile } },
});

function serverOf(config: KubeConfig): URL {
  const cluster = config.getCurrentCluster();
  if (cluster === null)
    throw new ConfigProblem(
      `the kubeconfig has no cluster for its context ${config.getCurrentContext() ?? '(none is current)'}; kubernetes.context names another`,
    );
  if (!URL.canParse(cluster.server) || !/^https?:/.test(cluster.server))
    throw new ConfigProblem('the server of the kubeconfig is not an http:// or https:// address');
  const server = new URL(cluster.server);
  if (server.protocol === 'http:' && !/^(localhost|127\..*|\[::1\])$/.test(server.hostname))
    throw new ConfigProblem(
      `the server of the kubeconfig is ${server.origin}: without TLS only an address of this host is taken (kubectl proxy)`,
    );
  return server;
}

/** Credentials for each request; one reading at a time, kept for a minute, made anew when they were refused. */
function accessFrom(first: KubeConfig, load: () => Promise<KubeConfig>, clock: Clock): GetAccess {
  let config = first;
  let latest:
    | { readonly access: Promise<AccessResult>; readonly at: number; readonly renewed: boolean }
    | undefined;

  async function read(renew: boolean): Promise<AccessResult> {
    try {
      // A new configuration forgets cached tokens and asks plugins again.
      if (renew) config = await load();
      return { ok: true, access: await accessOf(config) };
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

async function accessOf(config: KubeConfig): Promise<Access> {
  const cluster = config.getCurrentCluster();
  const options: RequestOptions = {};
  // What client-node asks for before it takes http; serverOf has let no other through.
  if (cluster?.server.startsWith('http:') === true) Object.assign(cluster, { skipTLSVerify: true });
  await config.applyToHTTPSOptions(options);
  const { ca, cert, key, servername, rejectUnauthorized, auth, agent } = options;
  const { Authorization: authorization, ...headers } = Object.fromEntries(
    Object.entries(options.headers ?? {}).map(([name, value]) => [name, String(value).trim()]),
  );
  const shown =
    auth === undefined || auth === null ? authorization : `Basic ${Buffer.from(auth).toString('base64')}`;
  return {
    tls: {
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
      ...(servername === undefined ? {} : { servername }),
      ...(rejectUnauthorized === undefined ? {} : { rejectUnauthorized }),
    },
    authorization: shown === undefined ? undefined : new Secret(shown),
    headers,
    ...(cluster?.proxyUrl === undefined ? {} : { agent: agent as Agent }),
  };
}

class ConfigProblem extends Error {
  readonly reason: Failure['reason'];
  constructor(message: string, reason: Failure['reason'] = 'refused') {
    super(message);
    this.reason = reason;
  }
}

/** No words of plugins and parsers: they may quote what nobody should see. */
function configurationFailure(error: unknown): Failure {
  if (error instanceof ConfigProblem) return { reason: error.reason, message: error.message };
  const code = codeOf(error);
  const path =
    typeof error === 'object' && error !== null && 'path' in error && typeof error.path === 'string'
      ? ` ${error.path}`
      : '';
  if (code === 'ENOENT' || code === 'EACCES' || code === 'EISDIR')
    return {
      reason: 'authentication',
      message: `a file or program for the credentials of the Kubernetes API cannot be used:${path} (${code})`,
    };
  return {
    reason: 'authentication',
    message: `the credentials of the kubeconfig cannot be made${code === undefined ? '' : ` (${code})`}: its certificates, or its credential plugin, fail; kubectl with the same kubeconfig says more`,
  };
}

const isThere = (file: string): Promise<boolean> =>
  canAccess(file).then(
    () => true,
    () => false,
  );
