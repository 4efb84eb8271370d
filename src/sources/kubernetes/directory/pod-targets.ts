/** Scrape targets: the /metrics of Gitaly's and Praefect's pods. */
import { isIP } from 'node:net';
import type { Failure } from '../../../scheduler/outcome.ts';
import { type Component, type Identity, identityText } from '../../identity.ts';
import { type ComponentOf, mainContainer, podIdentity } from '../gitaly-objects.ts';
import type { Pod } from '../objects/types.ts';
import { incompleteness, notCurrent, type Store } from '../store.ts';

interface PodTargetOptions<Tls> {
  readonly pods: Store<Pod>;
  readonly componentOf: ComponentOf;
  /**
   * For pods that serve their metrics over TLS. There are no credentials: Gitaly's metrics listener needs none,
   * and anyone who can create a pod with Gitaly's labels would receive them.
   */
  readonly tls: Tls;
}

interface PodTarget<Tls> {
  readonly component: Component;
  readonly url: URL;
  readonly identity: Identity;
  readonly access: { readonly tls: Tls; readonly credentialsFile: undefined };
}

interface PodTargets<Tls> {
  list(): Promise<{
    readonly targets: readonly PodTarget<Tls>[];
    readonly failures: readonly Failure[];
  }>;
}

/** prometheus_listen_addr of Gitaly in the GitLab chart. */
const chartPort = 9236;

/**
 * Every running pod of Gitaly and Praefect that has an address. Pods that are being deleted are left out: another
 * pod may get their address. While the pods are not current there are no targets, and a failure.
 */
export function createPodTargets<Tls>({ pods, componentOf, tls }: PodTargetOptions<Tls>): PodTargets<Tls> {
  const access = { tls, credentialsFile: undefined } as const;
  return {
    async list() {
      const failure = notCurrent(pods, 'pods');
      if (failure !== undefined) return { targets: [], failures: [failure] };
      const targets: PodTarget<Tls>[] = [];
      const incomplete = incompleteness(pods.state());
      const failures: Failure[] = incomplete === undefined ? [] : [incomplete];
      for (const pod of pods.all()) {
        const component = componentOf(pod);
        if (component === undefined || !isScraped(pod)) continue;
        const url = urlOf(pod, component);
        if (url instanceof URL) targets.push({ component, url, identity: podIdentity(pod), access });
        else failures.push(url);
      }
      return { targets, failures };
    },
  };
}

const isScraped = (pod: Pod): boolean =>
  pod.phase === 'Running' &&
  pod.deletion === undefined &&
  !pod.ip.includes('%') &&
  isIP(pod.ip) !== 0 &&
  annotationOf(pod, 'scrape') !== 'false';

function urlOf(pod: Pod, component: Component): URL | Failure {
  const port = portOf(pod);
  const scheme = annotationOf(pod, 'scheme') ?? 'http';
  if (port === undefined) return invalid(pod, component, 'port', 'a port from 1 to 65535');
  if (scheme !== 'http' && scheme !== 'https') return invalid(pod, component, 'scheme', 'http or https');
  const url = new URL(`${scheme}://${isIP(pod.ip) === 6 ? `[${pod.ip}]` : pod.ip}:${port}/metrics`);
  const [path = '', query = ''] = (annotationOf(pod, 'path') ?? '/metrics').split(/\?(.*)/s);
  url.pathname = path;
  url.search = query;
  return url;
}

/** The container's port `http-metrics`, else the annotation's, else the chart's. Undefined: not a valid port. */
function portOf(pod: Pod): number | undefined {
  const named = [mainContainer(pod), ...pod.containers].map((each) => each?.ports['http-metrics']);
  const port = named.find((each) => each !== undefined);
  if (port !== undefined) return validPort(port);
  const annotated = annotationOf(pod, 'port');
  if (annotated === undefined) return chartPort;
  return /^\d{1,5}$/.test(annotated) ? validPort(Number(annotated)) : undefined;
}

const validPort = (port: number): number | undefined => (port >= 1 && port <= 65_535 ? port : undefined);

/** With a ServiceMonitor the chart omits these annotations, or leaves them empty: both mean unset. */
function annotationOf({ annotations }: Pod, name: 'scrape' | 'port' | 'path' | 'scheme'): string | undefined {
  const found = annotations[`gitlab.com/prometheus_${name}`] || annotations[`prometheus.io/${name}`];
  return found === '' ? undefined : found;
}

const invalid = (pod: Pod, component: Component, name: 'port' | 'scheme', expected: string): Failure => ({
  reason: 'parse',
  message: `${component} ${identityText(podIdentity(pod))}: its annotation prometheus.io/${name} (or gitlab.com/prometheus_${name}) is ${JSON.stringify(annotationOf(pod, name)?.slice(0, 60))}, expected ${expected}; its metrics are not read`,
});
