/**
 * Address and credentials of the API server: from the pod's own service account, or from a kubeconfig. The only
 * module that loads @kubernetes/client-node, which takes most of a second and 90 MB, and so only with
 * kubernetes.enabled.
 */
import { access as canAccess } from 'node:fs/promises';
import { delimiter, dirname, isAbsolute, join } from 'node:path';
import type { KubeConfig } from '@kubernetes/client-node';
import { parse as parseYaml } from 'yaml';
import { codeOf } from '../../../lib/errors.ts';
import { readErrorText, readTextFile } from '../../../lib/files.ts';
import type { Failure } from '../../../scheduler/outcome.ts';

export interface KubeApiSettings {
  /** Undefined: the pod's own service account, else KUBECONFIG, else ~/.kube/config. */
  readonly kubeconfig: string | undefined;
  /** Of the kubeconfig; undefined: its current context. */
  readonly context: string | undefined;
}

export interface KubeEnvironment {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Folder of the pod's service account. Default: where Kubernetes mounts it. */
  readonly serviceAccountFolder?: string;
}

export interface KubeConfiguration {
  readonly config: KubeConfig;
  /** By user. client-node ignores those of a kubeconfig, and reads that of a service account synchronously. */
  readonly tokenFiles: ReadonlyMap<string, string>;
}

/** For people; does not quote the file, which has credentials. */
export class KubeconfigError extends Error {
  readonly reason: Failure['reason'];
  constructor(message: string, reason: Failure['reason'] = 'refused') {
    super(message);
    this.reason = reason;
  }
}

const defaultServiceAccountFolder = '/var/run/secrets/kubernetes.io/serviceaccount';

/** Rejects with KubeconfigError, or with an error of client-node. */
export async function loadConfiguration(
  { kubeconfig, context }: KubeApiSettings,
  { env, serviceAccountFolder: folder = defaultServiceAccountFolder }: KubeEnvironment,
): Promise<KubeConfiguration> {
  const { KubeConfig } = await import('@kubernetes/client-node');
  const config = new KubeConfig();
  const tokenFiles = new Map<string, string>();
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port = '443' } = env;
  if (kubeconfig === undefined && host !== undefined && (await isReadable(join(folder, 'token')))) {
    const user = { name: 'service account' };
    const server = `https://${host.includes(':') ? `[${host}]` : host}:${port}`;
    const caFile = join(folder, 'ca.crt');
    config.loadFromClusterAndUser({ name: 'cluster', server, caFile, skipTLSVerify: false }, user);
    tokenFiles.set(user.name, join(folder, 'token'));
    return { config, tokenFiles };
  }
  for (const file of kubeconfigFiles(kubeconfig, env)) {
    const text = await readKubeconfig(file);
    try {
      const one = new KubeConfig();
      one.loadFromString(text);
      one.makePathsAbsolute(dirname(file));
      merge(config, one);
      for (const [user, tokenFile] of tokenFilesIn(parseYaml(text)))
        if (!tokenFiles.has(user))
          tokenFiles.set(user, isAbsolute(tokenFile) ? tokenFile : join(dirname(file), tokenFile));
    } catch {
      // Not the parser's message, which may quote the file.
      const next = `run kubectl --kubeconfig ${file} config view for details`;
      throw new KubeconfigError(`${file} is not a valid kubeconfig: ${next}`, 'parse');
    }
  }
  if (context !== undefined) selectContext(config, context);
  return { config, tokenFiles };
}

/** With the certificates of many clusters. */
const maxKubeconfigBytes = 4 * 1024 ** 2;

function kubeconfigFiles(kubeconfig: string | undefined, env: KubeEnvironment['env']): readonly string[] {
  if (kubeconfig !== undefined) return [kubeconfig];
  const listed = (env['KUBECONFIG'] ?? '').split(delimiter).filter((file) => file !== '');
  if (listed.length > 0) return listed;
  if (env['HOME'] !== undefined) return [join(env['HOME'], '.kube', 'config')];
  throw new KubeconfigError(
    'no address of the Kubernetes API: there is no service account of a pod, and neither kubernetes.kubeconfig, KUBECONFIG nor HOME is set',
  );
}

async function readKubeconfig(file: string): Promise<string> {
  try {
    return await readTextFile(file, { maxBytes: maxKubeconfigBytes });
  } catch (error) {
    throw new KubeconfigError(
      codeOf(error) === 'ENOENT'
        ? `the kubeconfig ${file} does not exist: set kubernetes.kubeconfig, or run in a pod with a service account`
        : `the kubeconfig ${file} cannot be read (${readErrorText(error)})`,
      'permission',
    );
  }
}

/** As kubectl merges: for a duplicate name, and for the current context, the first file counts. */
function merge(into: KubeConfig, from: KubeConfig): void {
  const combined = <T extends { readonly name: string }>(known: readonly T[], more: readonly T[]): T[] => [
    ...known,
    ...more.filter(({ name }) => !known.some((each) => each.name === name)),
  ];
  into.clusters = combined(into.clusters, from.clusters);
  into.users = combined(into.users, from.users);
  into.contexts = combined(into.contexts, from.contexts);
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

function selectContext(config: KubeConfig, context: string): void {
  const names = config.getContexts().map(({ name }) => name);
  if (!names.includes(context))
    throw new KubeconfigError(
      `kubernetes.context is ${context}, but the contexts of the kubeconfig are: ${names.join(', ') || 'none'}`,
    );
  config.setCurrentContext(context);
}

/** Address of the API server. Throws KubeconfigError. */
export function serverOf({ config }: KubeConfiguration): URL {
  const cluster = config.getCurrentCluster();
  if (cluster === null)
    throw new KubeconfigError(
      `the kubeconfig has no cluster for its context ${config.getCurrentContext() ?? '(none is current)'}: set kubernetes.context to another one`,
    );
  if (!URL.canParse(cluster.server) || !/^https?:/.test(cluster.server))
    throw new KubeconfigError('the server of the kubeconfig is not an http:// or https:// URL');
  const server = new URL(cluster.server);
  if (server.protocol === 'http:' && !/^(localhost|127\..*|\[::1\])$/.test(server.hostname))
    throw new KubeconfigError(
      `the server of the kubeconfig is ${server.origin}: without TLS only an address of this host is accepted (kubectl proxy)`,
    );
  return server;
}

const isReadable = (file: string): Promise<boolean> =>
  canAccess(file).then(
    () => true,
    () => false,
  );
