/** The /metrics of Gitaly's and Praefect's pods, as targets of the room that reads them. */
import { isIP } from 'node:net';
import type { Failure } from '../../../scheduler/outcome.ts';
import type { Component } from '../../gitaly/metrics.ts';
import type { Target, TargetAccess, TargetSource, TlsFiles } from '../../gitaly/target.ts';
import { identityText } from '../../identity.ts';
import type { Pod } from '../objects/types.ts';
import type { Store } from '../store.ts';
import { type ComponentOf, mainContainer } from './component.ts';
import { podIdentity } from './pod-identity.ts';
import { notCurrent } from './store-failure.ts';

export interface KubernetesTargets {
  readonly pods: Store<Pod>;
  readonly componentOf: ComponentOf;
  /**
   * For pods that serve their metrics over TLS. No credentials: whoever may make a pod with Gitaly's labels would
   * get them, and Gitaly's listener for metrics asks for none.
   */
  readonly tls: TlsFiles;
}

/** Gitaly's prometheus_listen_addr in the GitLab chart. */
const usualPort = 9236;

/**
 * Every pod of Gitaly and Praefect that runs and has an address. One that is being deleted is left out: its address
 * may be another pod's soon. So are all of them when the API was not heard for too long, which is a failure.
 */
export function kubernetesTargets({ pods, componentOf, tls }: KubernetesTargets): TargetSource {
  const access: TargetAccess = { tls, credentialsFile: undefined };
  return {
    async list() {
      const failure = notCurrent(pods, 'pods');
      if (failure !== undefined) return { targets: [], failures: [failure] };
      const found = pods.all().flatMap((pod) => targetOf(pod, componentOf(pod), access) ?? []);
      return {
        targets: found.filter((each) => 'url' in each),
        failures: found.filter((each) => 'reason' in each),
      };
    },
  };
}

function targetOf(
  pod: Pod,
  component: Component | undefined,
  access: TargetAccess,
): Target | Failure | undefined {
  if (component === undefined || pod.phase !== 'Running' || pod.deletion !== undefined) return undefined;
  const family = pod.ip.includes('%') ? 0 : isIP(pod.ip);
  if (family === 0 || annotation(pod, 'scrape') === 'false') return undefined;
  const port = portOf(pod);
  const scheme = annotation(pod, 'scheme') ?? 'http';
  if (port === undefined) return unusable(pod, component, 'port', 'a port from 1 to 65535');
  if (scheme !== 'http' && scheme !== 'https') return unusable(pod, component, 'scheme', 'http or https');
  const url = new URL(`${scheme}://${family === 6 ? `[${pod.ip}]` : pod.ip}:${port}/metrics`);
  const [path = '', query = ''] = (annotation(pod, 'path') ?? '/metrics').split(/\?(.*)/s);
  url.pathname = path;
  url.search = query;
  return { component, url, identity: podIdentity(pod), access };
}

/** The port that the container names; else the annotations'; else Gitaly's usual one. Undefined: none of the kind. */
function portOf(pod: Pod): number | undefined {
  const named = [mainContainer(pod), ...pod.containers].map((each) => each?.ports['http-metrics']);
  const port = named.find((each) => each !== undefined);
  if (port !== undefined) return inRange(port);
  const annotated = annotation(pod, 'port');
  if (annotated === undefined) return usualPort;
  return /^\d{1,5}$/.test(annotated) ? inRange(Number(annotated)) : undefined;
}

const inRange = (port: number): number | undefined => (port >= 1 && port <= 65_535 ? port : undefined);

/** The chart leaves them out when a ServiceMonitor is on, and some of them empty: that is as if they were not there. */
function annotation({ annotations }: Pod, name: 'scrape' | 'port' | 'path' | 'scheme'): string | undefined {
  const found = annotations[`gitlab.com/prometheus_${name}`] || annotations[`prometheus.io/${name}`];
  return found === '' ? undefined : found;
}

const unusable = (pod: Pod, component: Component, name: 'port' | 'scheme', expected: string): Failure => ({
  reason: 'parse',
  message: `${component} ${identityText(podIdentity(pod))}: its annotation prometheus.io/${name} (or gitlab.com/prometheus_${name}) is ${JSON.stringify(annotation(pod, name)?.slice(0, 60))}, expected ${expected}; its metrics are not read`,
});
