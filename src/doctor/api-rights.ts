/**
 * Which rights on Kubernetes are granted, each tried by the request that needs it: a list of one object, a watch of a
 * moment, a GET of a name that nothing has. Only GETs: nothing is written, and no object is read that need not be.
 */

import type { Failure } from '../scheduler/outcome.ts';
import type { KubeApi } from '../sources/kubernetes/api/api.ts';
import { absentName, type Right, rightText } from '../sources/kubernetes/directory/rights.ts';
import { accessChecks, type Finding, finds, type Mend, passes, todo } from './finding.ts';

type Tried =
  | { readonly kind: 'granted' }
  | { readonly kind: 'forbidden'; readonly user: string | undefined }
  | { readonly kind: 'failed'; readonly failure: Failure };

/** Never rejects. */
export async function apiFindings(
  api: KubeApi,
  rights: readonly Right[],
  signal: AbortSignal,
): Promise<readonly Finding[]> {
  const version = await reach(api, signal);
  if ('reason' in version) return [finds(accessChecks.apiReachable, 'fail', version.message, [checkAccess])];
  const tried = await Promise.all(
    rights.map(async (right) => ({ right, result: await tryRight(api, right, signal) })),
  );
  return [
    passes(accessChecks.apiReachable, `${api.server}${version.text}`),
    ...rightFindings(tried),
    await leastFinding(api, rights, signal),
  ];
}

const checkAccess = todo(
  'Check kubernetes.kubeconfig and kubernetes.context; in a pod: its service account, automountServiceAccountToken, and the way to the API server.',
);

/** /version is open to every account that is known (system:public-info-viewer, or system:discovery). */
async function reach(api: KubeApi, signal: AbortSignal): Promise<{ readonly text: string } | Failure> {
  const asked = await api.get('/version', {}, signal);
  if (!asked.ok) return asked.failure;
  const { status, body } = asked.response;
  if (status === 401)
    return {
      reason: 'authentication',
      message: `${api.server} refuses the credentials (HTTP 401): the token is expired or wrong, or the account is gone`,
    };
  const version = status === 200 ? /"gitVersion":\s*"([\w.+-]{1,40})"/.exec(body)?.[1] : undefined;
  return { text: version === undefined ? '' : `, Kubernetes ${version}` };
}

async function tryRight(api: KubeApi, right: Right, signal: AbortSignal): Promise<Tried> {
  const { verb, path } = right;
  if (verb === 'watch') {
    const stop = new AbortController();
    try {
      const asked = await api.stream(
        path,
        { watch: true, timeoutSeconds: 1 },
        AbortSignal.any([signal, stop.signal]),
      );
      return asked.ok ? triedBy(asked.response, right) : { kind: 'failed', failure: asked.failure };
    } finally {
      stop.abort();
    }
  }
  const asked = await api.get(path, verb === 'list' ? { limit: 1 } : {}, signal);
  return asked.ok ? triedBy(asked.response, right) : { kind: 'failed', failure: asked.failure };
}

function triedBy({ status, body }: { readonly status: number; readonly body: string }, right: Right): Tried {
  if (status === 403) return { kind: 'forbidden', user: /User \\?"([^"\\]{1,300})\\?"/.exec(body)?.[1] };
  // A name that nothing has; a node of that name cannot be asked either.
  const isThere = status === 200 || (right.verb === 'get' && (status === 404 || status === 503));
  return isThere
    ? { kind: 'granted' }
    : {
        kind: 'failed',
        failure: { reason: 'http_status', message: `the API server answered with HTTP ${status}` },
      };
}

function rightFindings(
  tried: readonly { readonly right: Right; readonly result: Tried }[],
): readonly Finding[] {
  const check = accessChecks.apiRights;
  const bad = tried.flatMap(({ right, result }) => findingOf(right, result) ?? []);
  if (bad.length > 0) return bad;
  const resources = [...new Set(tried.map(({ right }) => right.resource))].join(', ');
  return [passes(check, `${tried.length} of ${tried.length} granted, on ${resources}`)];
}

function findingOf(right: Right, result: Tried): Finding | undefined {
  switch (result.kind) {
    case 'granted':
      return undefined;
    case 'forbidden':
      return finds(
        accessChecks.apiRights,
        'fail',
        `may not ${rightText(right)}${result.user === undefined ? '' : `, as ${result.user}`}: not known is ${right.for}`,
        grantOf(right, result.user),
      );
    case 'failed':
      return finds(accessChecks.apiRights, 'unknown', `${rightText(right)}: ${result.failure.message}`, []);
  }
}

function grantOf(right: Right, user: string | undefined): readonly Mend[] {
  const { verb, group, resource, namespace } = right;
  const manifest = namespace === undefined ? 'rbac.yaml' : 'rbac-namespaced.yaml';
  const can = `kubectl auth can-i ${verb} ${group === '' ? resource : `${resource}.${group}`}${
    namespace === undefined ? (resource.startsWith('nodes') ? '' : ' -A') : ` -n ${namespace}`
  }${user === undefined ? '' : ` --as ${user}`}`;
  return [
    todo(`Apply deploy/kubernetes/${manifest}, which grants all that is used and nothing else; then:`),
    { kind: 'kubectl', text: can },
  ];
}

/** Whoever may read Secrets may have the passwords of everything: the right that harms most, and is easy to try. */
async function leastFinding(api: KubeApi, rights: readonly Right[], signal: AbortSignal): Promise<Finding> {
  const check = accessChecks.apiLeast;
  const namespaces = [...new Set(['kube-system', ...rights.flatMap(({ namespace }) => namespace ?? [])])];
  const open: string[] = [];
  for (const namespace of namespaces) {
    const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/secrets/${absentName}`;
    const asked = await api.get(path, {}, signal);
    if (!asked.ok) return finds(check, 'unknown', asked.failure.message, []);
    if (asked.response.status === 404 || asked.response.status === 200) open.push(namespace);
  }
  if (open.length === 0) return passes(check, `no Secrets of ${namespaces.join(', ')}`);
  return finds(check, 'warn', `may get Secrets in namespace ${open.join(', ')}`, [
    todo(
      "Run the exporter as a service account of its own, with deploy/kubernetes/rbac.yaml alone; by hand, a person's own account is enough.",
    ),
  ]);
}
