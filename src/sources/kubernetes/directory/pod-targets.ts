/** Scrape targets: the /metrics of Gitaly's and Praefect's pods. */
import { isIP } from 'node:net';
import { listText } from '../../../lib/format.ts';
import { outsideText } from '../../../lib/outside-text.ts';
import type { Failure } from '../../../scheduler/outcome.ts';
import { type Component, type Identity, identityText } from '../../identity.ts';
import { type ComponentOf, mainContainer, podIdentity } from '../gitaly-objects.ts';
import type { Container, Pod } from '../objects/types.ts';
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
  readonly targets: readonly PodTarget<Tls>[];
  readonly failures: readonly Failure[];
  /** One sentence about the pods that an annotation excludes. */
  readonly excluded: readonly string[];
}

/** prometheus_listen_addr of Gitaly in the GitLab chart. */
const chartPort = 9236;

/**
 * Every running pod of Gitaly and Praefect, unless an annotation excludes it. Pods that are being deleted are left out:
 * another pod may get their address. While the pods are not current there are no targets, and a failure.
 */
export function podTargets<Tls>({ pods, componentOf, tls }: PodTargetOptions<Tls>): PodTargets<Tls> {
  const failure = notCurrent(pods, 'pods');
  if (failure !== undefined) return { targets: [], failures: [failure], excluded: [] };
  const access = { tls, credentialsFile: undefined } as const;
  const targets: PodTarget<Tls>[] = [];
  const incomplete = incompleteness(pods.state());
  const failures: Failure[] = incomplete === undefined ? [] : [incomplete];
  const excluded: string[] = [];
  for (const pod of pods.all()) {
    const component = componentOf(pod);
    if (component === undefined || pod.phase !== 'Running' || pod.deletion !== undefined) continue;
    if (excludedBy(pod) !== undefined) {
      excluded.push(`${identityText(podIdentity(pod))} (${excludedBy(pod)})`);
      continue;
    }
    const url = urlOf(pod, component);
    if (url instanceof URL) targets.push({ component, url, identity: podIdentity(pod), access });
    else failures.push(url);
  }
  const sentence = `Metrics are not read, because an annotation is "false": ${listText(excluded, 5)}.`;
  return { targets, failures, excluded: excluded.length === 0 ? [] : [sentence] };
}

/** The annotation by which the pod is not to be scraped. */
const excludedBy = (pod: Pod): string | undefined =>
  prefixes.map((prefix) => `${prefix}scrape` as const).find((name) => pod.annotations[name] === 'false');

function urlOf(pod: Pod, component: Component): URL | Failure {
  if (pod.ip.includes('%') || isIP(pod.ip) === 0)
    return invalid(pod, component, 'status.podIP', pod.ip, 'the address of a pod that runs');
  const { prefix, port, namedPort } = authorityOf(pod);
  if (namedPort !== undefined && validPort(namedPort) === undefined)
    return invalid(pod, component, "its container's port http-metrics", namedPort, 'a port from 1 to 65535');
  const annotated = (name: 'path' | 'scheme'): string | undefined =>
    prefix === undefined ? undefined : annotationOf(pod, prefix, name);
  const named = (name: string): string => `its annotation ${prefix}${name}`;
  const number = port === undefined ? undefined : portNumber(port);
  if (port !== undefined && number === undefined)
    return invalid(pod, component, named('port'), port, 'a port from 1 to 65535');
  const scheme = annotated('scheme') ?? 'http';
  if (scheme !== 'http' && scheme !== 'https')
    return invalid(pod, component, named('scheme'), scheme, 'http or https');
  const host = isIP(pod.ip) === 6 ? `[${pod.ip}]` : pod.ip;
  const url = new URL(`${scheme}://${host}:${namedPort ?? number ?? chartPort}/metrics`);
  const [path = '', query = ''] = (annotated('path') ?? '/metrics').split(/\?(.*)/s);
  url.pathname = path;
  url.search = query;
  return url;
}

/** The chart's own annotations, and those that Prometheus' example configuration reads. */
const prefixes = ['gitlab.com/prometheus_', 'prometheus.io/'] as const;

interface Authority {
  /** Of the annotations that decide about path and scheme; undefined: the defaults. */
  readonly prefix: (typeof prefixes)[number] | undefined;
  /** Its annotation. */
  readonly port: string | undefined;
  readonly namedPort: number | undefined;
}

/**
 * Port, path and scheme come from one authority: the container's port `http-metrics`, with the annotations that name the
 * same port; else annotations with a port of Gitaly's own container; else the chart's defaults. A service mesh overwrites
 * prometheus.io/port and prometheus.io/path with those of its sidecar.
 */
function authorityOf(pod: Pod): Authority {
  const container = mainContainer(pod);
  const found = [container, ...pod.containers].map((each) => each?.ports['http-metrics']);
  const namedPort = found.find((port) => port !== undefined);
  for (const prefix of prefixes) {
    const port = annotationOf(pod, prefix, 'port');
    if (port === undefined) continue;
    const isAuthority =
      namedPort !== undefined
        ? port === String(namedPort)
        : prefix === 'gitlab.com/prometheus_' || isOwnPort(pod, container, port);
    if (isAuthority) return { prefix, port, namedPort };
  }
  return { prefix: undefined, port: undefined, namedPort };
}

/** Without declared ports, an annotation of a pod that has no other container is about this one. */
function isOwnPort(pod: Pod, container: Container | undefined, port: string): boolean {
  const declared = container?.portNumbers ?? Object.values(container?.ports ?? {});
  if (declared.length > 0) return declared.includes(Number(port));
  return pod.containers.length === 1 && !pod.initContainers.some(({ sidecar }) => sidecar);
}

const portNumber = (text: string): number | undefined =>
  /^\d{1,5}$/.test(text) ? validPort(Number(text)) : undefined;

const validPort = (port: number): number | undefined => (port >= 1 && port <= 65_535 ? port : undefined);

/** With a ServiceMonitor the chart omits these annotations, or leaves them empty: both mean unset. */
const annotationOf = (
  { annotations }: Pod,
  prefix: (typeof prefixes)[number],
  name: 'port' | 'path' | 'scheme',
): string | undefined => annotations[`${prefix}${name}`] || undefined;

const invalid = (
  pod: Pod,
  component: Component,
  what: string,
  value: string | number,
  expected: string,
): Failure => ({
  reason: 'parse',
  message: `${component} ${identityText(podIdentity(pod))}: ${what} is ${JSON.stringify(outsideText(value, [], 60))}, expected ${expected}; its metrics are not read`,
});
