/** Kubernetes as the exporter would watch it, looked at once: rights, and everything that its watches list at first. */

import type { Clock } from '../lib/clock.ts';
import { silentLog } from '../lib/log.ts';
import { fixText } from '../rules/finding.ts';
import { identityText } from '../sources/identity.ts';
import type { KubeApi } from '../sources/kubernetes/api/api.ts';
import { openKubeApi } from '../sources/kubernetes/api/open.ts';
import { type RightsSettings, rightsFor } from '../sources/kubernetes/directory/rights.ts';
import { type ComponentOf, podIdentity } from '../sources/kubernetes/gitaly-objects.ts';
import { notCurrent } from '../sources/kubernetes/store.ts';
import { createStores, type WatchedStores } from '../sources/kubernetes/watch/stores.ts';
import { apiFindings } from './api-rights.ts';
import { accessChecks, type DoctorFinding, failed, passed } from './finding.ts';

export interface KubernetesSettings extends RightsSettings {
  readonly kubeconfig: string | undefined;
  readonly context: string | undefined;
  readonly gitalySelector: string;
  readonly praefectSelector: string;
  readonly staleAfter: number;
}

export interface KubernetesOptions {
  readonly settings: KubernetesSettings;
  readonly node: string;
  readonly componentOf: ComponentOf;
  readonly clock: Clock;
  readonly env: Readonly<Record<string, string | undefined>>;
}

export interface KubernetesLook {
  readonly findings: readonly DoctorFinding[];
  /** Undefined where the API cannot be reached. */
  readonly seen: { readonly api: KubeApi; readonly stores: WatchedStores } | undefined;
  close(): Promise<void>;
}

/** Never rejects. What it gives is open until `close`. */
export async function lookAtKubernetes(
  options: KubernetesOptions,
  signal: AbortSignal,
): Promise<KubernetesLook> {
  const { settings, clock, env } = options;
  const opened = await openKubeApi(settings, { clock, env });
  if (!opened.ok)
    return {
      findings: [failed(accessChecks.apiReachable, 'fail', opened.failure.message, [setKubeconfig])],
      seen: undefined,
      close: async () => undefined,
    };
  const { api } = opened;
  const access = await apiFindings(api, rightsFor(settings), signal);
  const isReached = access.some(
    ({ check, status }) => check === accessChecks.apiReachable && status === 'pass',
  );
  if (!isReached) return { findings: access, seen: undefined, close: async () => api.close() };
  const stores = createStores({
    ...options.settings,
    api,
    namespaces: settings.namespace,
    node: options.node,
    staleMs: settings.staleAfter,
    clock,
    random: Math.random,
    log: silentLog,
  });
  stores.start();
  await stores.listed(signal);
  return {
    findings: [...access, podsFinding(stores, options)],
    seen: { api, stores },
    async close() {
      await stores.stop();
      api.close();
    },
  };
}

const setKubeconfig = fixText(
  'Set kubernetes.kubeconfig (and kubernetes.context), or run in a pod with a service account.',
);

function podsFinding(
  { pods }: WatchedStores,
  { settings, node, componentOf }: KubernetesOptions,
): DoctorFinding {
  const check = accessChecks.apiPods;
  const failure = notCurrent(pods, 'pods');
  if (failure !== undefined) return failed(check, 'unknown', failure.message, []);
  const found = pods.all().filter((pod) => componentOf(pod) === 'gitaly');
  const names = found.map((pod) => identityText(podIdentity(pod))).sort();
  if (names.length > 0)
    return passed(
      check,
      `${names.length}: ${names.slice(0, 5).join(', ')}${names.length > 5 ? ', ...' : ''}`,
    );
  if (settings.role === 'agent') return passed(check, `none on node ${node}, which may well be`);
  const where =
    settings.namespace === undefined ? 'any namespace' : `namespace ${settings.namespace.join(', ')}`;
  return failed(check, 'fail', `none with ${settings.gitalySelector} in ${where}`, [
    fixText(
      'Set kubernetes.namespace (here: --namespace) and kubernetes.gitaly-selector to where Gitaly is:',
    ),
    { kind: 'kubectl', text: 'kubectl get pods -A -l app=gitaly --show-labels' },
  ]);
}
