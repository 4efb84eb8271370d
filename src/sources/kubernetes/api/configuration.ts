/**
 * Where the API server is and who asks: the pod's own service account, or a kubeconfig. The one module that loads
 * @kubernetes/client-node (most of a second and 90 MB, so only when Kubernetes is asked for).
 */
import { access as canAccess, readFile } from 'node:fs/promises';
import { delimiter, dirname, isAbsolute, join } from 'node:path';
import type { KubeConfig } from '@kubernetes/client-node';
import { parse as parseYaml } from 'yaml';
import { codeOf } from '../../../lib/errors.ts';
import type { Failure } from '../../../scheduler/outcome.ts';

export interface KubeApiSettings {
  /** Unset: the pod's own service account, else KUBECONFIG, else ~/.kube/config. */
  readonly kubeconfig: string | undefined;
  /** Of the kubeconfig; unset: its current one. */
  readonly context: string | undefined;
}

export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Where a pod finds its service account. Default: where Kubernetes puts it. */
  readonly serviceAccountFolder?: string;
}

export interface Configuration {
  readonly config: KubeConfig;
  /** Of users, by name: client-node reads none of a kubeconfig, and blocks on a service account's. */
  readonly tokenFiles: ReadonlyMap<string, string>;
}

/** What is wrong, for people; without what the file says. */
export class ConfigProblem extends Error {
  readonly reason: Failure['reason'];
  constructor(message: string, reason: Failure['reason'] = 'refused') {
    super(message);
    this.reason = reason;
  }
}

const podFolder = '/var/run/secrets/kubernetes.io/serviceaccount';

/** Rejects with ConfigProblem, or with what client-node throws. */
export async function loadConfiguration(
  { kubeconfig, context }: KubeApiSettings,
  { env, serviceAccountFolder: folder = podFolder }: Surroundings,
): Promise<Configuration> {
  const { KubeConfig } = await import('@kubernetes/client-node');
  const config = new KubeConfig();
  const tokenFiles = new Map<string, string>();
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port = '443' } = env;
  if (kubeconfig === undefined && host !== undefined && (await isThere(join(folder, 'token')))) {
    const user = { name: 'service account' };
    const server = `https://${host.includes(':') ? `[${host}]` : host}:${port}`;
    const caFile = join(folder, 'ca.crt');
    config.loadFromClusterAndUser({ name: 'cluster', server, caFile, skipTLSVerify: false }, user);
    tokenFiles.set(user.name, join(folder, 'token'));
    return { config, tokenFiles };
  }
  for (const file of filesOf(kubeconfig, env)) {
    const text = await textOf(file);
    try {
      const one = new KubeConfig();
      one.loadFromString(text);
      one.makePathsAbsolute(dirname(file));
      merge(config, one);
      for (const [user, tokenFile] of tokenFilesIn(parseYaml(text)))
        if (!tokenFiles.has(user))
          tokenFiles.set(user, isAbsolute(tokenFile) ? tokenFile : join(dirname(file), tokenFile));
    } catch {
      // The parser's words may quote what is in the file.
      const more = `kubectl --kubeconfig ${file} config view says more`;
      throw new ConfigProblem(`${file} is not a kubeconfig: ${more}`, 'parse');
    }
  }
  if (context !== undefined) choose(config, context);
  return { config, tokenFiles };
}

function filesOf(kubeconfig: string | undefined, env: Surroundings['env']): readonly string[] {
  if (kubeconfig !== undefined) return [kubeconfig];
  const listed = (env['KUBECONFIG'] ?? '').split(delimiter).filter((file) => file !== '');
  if (listed.length > 0) return listed;
  if (env['HOME'] !== undefined) return [join(env['HOME'], '.kube', 'config')];
  throw new ConfigProblem(
    'no way to the Kubernetes API: this is no pod with a service account, and neither kubernetes.kubeconfig, KUBECONFIG nor HOME is set',
  );
}

async function textOf(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new ConfigProblem(
      codeOf(error) === 'ENOENT'
        ? `the kubeconfig ${file} is not there; set kubernetes.kubeconfig, or run as a pod with a service account`
        : `the kubeconfig ${file} cannot be read (${codeOf(error) ?? 'unknown error'})`,
      'permission',
    );
  }
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

function* tokenFilesIn(kubeconfig: unknown): Generator<[string, string]> {
  const { users } = (kubeconfig ?? {}) as { users?: unknown };
  for (const each of Array.isArray(users) ? (users as unknown[]) : []) {
    const { name, user } = (each ?? {}) as { name?: unknown; user?: { tokenFile?: unknown } | null };
    if (typeof name === 'string' && typeof user?.tokenFile === 'string' && user.tokenFile !== '')
      yield [name, user.tokenFile];
  }
}

function choose(config: KubeConfig, context: string): void {
  const names = config.getContexts().map(({ name }) => name);
  if (!names.includes(context))
    throw new ConfigProblem(
      `kubernetes.context is ${context}, which the kubeconfig does not have; it has ${names.join(', ') || 'none'}`,
    );
  config.setCurrentContext(context);
}

/** The API server's address. */
export function serverOf({ config }: Configuration): URL {
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

const isThere = (file: string): Promise<boolean> =>
  canAccess(file).then(
    () => true,
    () => false,
  );
