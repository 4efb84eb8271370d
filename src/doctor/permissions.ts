/**
 * Which permissions on the Kubernetes API are granted, each tried by the request that needs it: a list of one object, a
 * watch of a second, a GET of a name that no object has. Only GETs: nothing is written.
 */

import { durationText } from '../lib/format.ts';
import { type Fix, fixText } from '../rules/finding.ts';
import type { Failure } from '../scheduler/outcome.ts';
import type { KubeApi } from '../sources/kubernetes/api/api.ts';
import { absentName, type Right, rightText } from '../sources/kubernetes/directory/rights.ts';
import { apiClockSkewMs } from '../sources/kubernetes/store.ts';
import { accessChecks, type DoctorFinding, notPassed, passed } from './finding.ts';

type RightResult =
  | { readonly kind: 'granted' }
  | { readonly kind: 'forbidden'; readonly user: string | undefined }
  | { readonly kind: 'failed'; readonly failure: Failure; readonly status?: number };

/** Never rejects. */
export async function permissionFindings(
  api: KubeApi,
  rights: readonly Right[],
  signal: AbortSignal,
): Promise<readonly DoctorFinding[]> {
  const version = await serverVersion(api, signal);
  if ('reason' in version)
    return [notPassed(accessChecks.apiReachable, 'fail', version.message, [checkAccess])];
  const tried = await Promise.all(
    rights.map(async (right) => ({ right, result: await tryRight(api, right, signal) })),
  );
  return [
    passed(accessChecks.apiReachable, `${api.server}${version.text}${clockText(api)}`),
    ...rightFindings(tried),
    await leastFinding(api, rights, signal),
  ];
}

function clockText(api: KubeApi): string {
  const skewMs = apiClockSkewMs({ clockSkewMs: () => api.clockSkewMs() });
  if (skewMs === 0) return '';
  return `; its clock is ${durationText(Math.abs(skewMs))} ${skewMs > 0 ? 'ahead of' : 'behind'} this host's`;
}

const checkAccess = fixText(
  'Check kubernetes.kubeconfig and kubernetes.context; in a pod: its service account, automountServiceAccountToken, and the network to the API server.',
);

/** Every authenticated account may read /version (system:public-info-viewer, or system:discovery). */
async function serverVersion(
  api: KubeApi,
  signal: AbortSignal,
): Promise<{ readonly text: string } | Failure> {
  const result = await api.get('/version', {}, signal);
  if (!result.ok) return result.failure;
  const { status, body } = result.response;
  if (status === 401)
    return {
      reason: 'authentication',
      message: `${api.server} rejects the credentials (HTTP 401): the token is expired or invalid, or the account was deleted`,
    };
  const version = status === 200 ? /"gitVersion":\s*"([\w.+-]{1,40})"/.exec(body)?.[1] : undefined;
  return { text: version === undefined ? '' : `, Kubernetes ${version}` };
}

async function tryRight(api: KubeApi, right: Right, signal: AbortSignal): Promise<RightResult> {
  const result = await tryPath(api, right, signal);
  if (!isNotServed(result) || right.olderPath === undefined) return result;
  const older = await tryPath(api, { ...right, path: right.olderPath }, signal);
  if (!isNotServed(older) || right.notServed === undefined) return older;
  return { kind: 'failed', failure: { reason: 'http_status', message: right.notServed }, status: 404 };
}

const isNotServed = (result: RightResult): boolean => result.kind === 'failed' && result.status === 404;

async function tryPath(api: KubeApi, right: Right, signal: AbortSignal): Promise<RightResult> {
  const { verb, path } = right;
  if (verb === 'watch') {
    const stop = new AbortController();
    try {
      const result = await api.stream(
        path,
        { watch: true, timeoutSeconds: 1 },
        AbortSignal.any([signal, stop.signal]),
      );
      return result.ok ? resultOf(result.response, right) : { kind: 'failed', failure: result.failure };
    } finally {
      stop.abort();
    }
  }
  const result = await api.get(path, verb === 'list' ? { limit: 1 } : {}, signal);
  return result.ok ? resultOf(result.response, right) : { kind: 'failed', failure: result.failure };
}

function resultOf(
  { status, body }: { readonly status: number; readonly body: string },
  right: Right,
): RightResult {
  if (status === 403) return { kind: 'forbidden', user: /User \\?"([^"\\]{1,300})\\?"/.exec(body)?.[1] };
  // No object has that name; 503: no node has it.
  const isGranted = status === 200 || (right.verb === 'get' && (status === 404 || status === 503));
  return isGranted
    ? { kind: 'granted' }
    : {
        kind: 'failed',
        failure: { reason: 'http_status', message: `the API server responded with HTTP ${status}` },
        status,
      };
}

function rightFindings(
  tried: readonly { readonly right: Right; readonly result: RightResult }[],
): readonly DoctorFinding[] {
  const check = accessChecks.apiRights;
  const open = tried.flatMap(({ right, result }) => findingOf(right, result) ?? []);
  if (open.length > 0) return open;
  const resources = [...new Set(tried.map(({ right }) => right.resource))].join(', ');
  return [passed(check, `${tried.length} of ${tried.length} granted, on ${resources}`)];
}

function findingOf(right: Right, result: RightResult): DoctorFinding | undefined {
  switch (result.kind) {
    case 'granted':
      return undefined;
    case 'forbidden':
      return notPassed(
        accessChecks.apiRights,
        'fail',
        `forbidden: ${rightText(right)}${result.user === undefined ? '' : ` as ${result.user}`}, needed for ${right.for}`,
        grantOf(right, result.user),
      );
    case 'failed':
      return notPassed(
        accessChecks.apiRights,
        'unknown',
        `${rightText(right)}: ${result.failure.message}`,
        [],
      );
  }
}

function grantOf(right: Right, user: string | undefined): readonly Fix[] {
  const { verb, group, resource, namespace } = right;
  const folder = namespace === undefined ? 'base' : 'components/namespaced';
  const can = `kubectl auth can-i ${verb} ${group === '' ? resource : `${resource}.${group}`}${
    namespace === undefined ? (resource.startsWith('nodes') ? '' : ' -A') : ` -n ${namespace}`
  }${user === undefined ? '' : ` --as ${user}`}`;
  return [
    fixText(
      `Install the Helm chart with rbac.create, or apply deploy/kubernetes/${folder}/rbac.yaml: both grant exactly the permissions that are used. Then:`,
    ),
    { kind: 'kubectl', text: can },
  ];
}

/** Read access to Secrets is the most dangerous permission, and easy to try. */
async function leastFinding(
  api: KubeApi,
  rights: readonly Right[],
  signal: AbortSignal,
): Promise<DoctorFinding> {
  const check = accessChecks.apiLeast;
  const namespaces = [...new Set(['kube-system', ...rights.flatMap(({ namespace }) => namespace ?? [])])];
  const open: string[] = [];
  for (const namespace of namespaces) {
    const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/secrets/${absentName}`;
    const result = await api.get(path, {}, signal);
    if (!result.ok) return notPassed(check, 'unknown', result.failure.message, []);
    if (result.response.status === 404 || result.response.status === 200) open.push(namespace);
  }
  if (open.length === 0) return passed(check, `no read access to Secrets in ${namespaces.join(', ')}`);
  return notPassed(check, 'warn', `can read Secrets in namespace ${open.join(', ')}`, [
    fixText(
      'Run the exporter with a dedicated service account and only the rights of deploy/kubernetes/base/rbac.yaml. For a run by hand a personal account is fine.',
    ),
  ]);
}
