/** The Kubernetes API as the exporter uses it: permissions, and everything that its watches list at first. */
import type { KubernetesAccess } from '../app/sources.ts';
import type { Settings } from '../config/sections/index.ts';
import { systemClock } from '../lib/clock.ts';
import { listText } from '../lib/format.ts';
import { fixText } from '../rules/finding.ts';
import { identityText } from '../sources/identity.ts';
import { rightsFor } from '../sources/kubernetes/directory/rights.ts';
import { createExpectedPods } from '../sources/kubernetes/expected-pods.ts';
import { podIdentity } from '../sources/kubernetes/gitaly-objects.ts';
import type { Workload } from '../sources/kubernetes/objects/types.ts';
import { incompleteness, notCurrent } from '../sources/kubernetes/store.ts';
import { accessChecks, type DoctorFinding, notPassed, passed } from './finding.ts';
import { permissionFindings } from './permissions.ts';

export interface KubernetesReport {
  readonly findings: readonly DoctorFinding[];
  /** The API can be reached, and its watches are started. */
  readonly isReachable: boolean;
}

/** Never rejects. */
export async function kubernetesFindings(
  access: KubernetesAccess,
  { kubernetes }: Settings,
  node: string,
  signal: AbortSignal,
): Promise<KubernetesReport> {
  const { api, stores } = access;
  const permissions = await permissionFindings(api, rightsFor(kubernetes), signal);
  const isReachable = permissions.some(
    ({ check, status }) => check === accessChecks.apiReachable && status === 'pass',
  );
  if (!isReachable) return { findings: permissions, isReachable };
  stores.start();
  await stores.listed(signal);
  return { findings: [...permissions, podsFinding(access, kubernetes, node)], isReachable };
}

function podsFinding(
  { stores, componentOf }: KubernetesAccess,
  { role, namespace, gitalySelector }: Settings['kubernetes'],
  node: string,
): DoctorFinding {
  const check = accessChecks.apiPods;
  const failure = notCurrent(stores.pods, 'pods');
  if (failure !== undefined) return notPassed(check, 'unknown', failure.message, []);
  const incomplete = incompleteness(stores.pods.state());
  if (incomplete !== undefined)
    return notPassed(check, 'unknown', `not all of them can be read: ${incomplete.message}`, []);
  const found = stores.pods.all().filter((pod) => componentOf(pod) === 'gitaly');
  const isGitaly = (workload: Workload): boolean => componentOf(workload) === 'gitaly';
  const missing = createExpectedPods({ stores, isIncluded: isGitaly, clock: systemClock }).missing();
  if (missing.length > 0)
    return notPassed(
      check,
      'fail',
      `${missing.length} that a StatefulSet wants do not exist: ${listText(missing.map(({ namespace, pod, reason }) => `${namespace}/${pod}${reason === undefined ? '' : ` (${reason})`}`))}`,
      [
        {
          kind: 'kubectl',
          text: `kubectl -n ${missing[0]?.namespace} describe statefulset ${missing[0]?.statefulSet}`,
        },
      ],
    );
  const names = found.map((pod) => identityText(podIdentity(pod))).sort();
  if (names.length > 0)
    return passed(
      check,
      `${names.length}: ${names.slice(0, 5).join(', ')}${names.length > 5 ? ', ...' : ''}`,
    );
  if (role === 'agent') return passed(check, `none on node ${node}, which may be correct`);
  const where = namespace === undefined ? 'any namespace' : `namespace ${namespace.join(', ')}`;
  return notPassed(check, 'fail', `none with ${gitalySelector} in ${where}`, [
    fixText(
      'Set kubernetes.namespace (or --namespace) and kubernetes.gitaly-selector to the namespace and labels of Gitaly.',
    ),
    { kind: 'kubectl', text: 'kubectl get pods -A -l app=gitaly --show-labels' },
  ]);
}
