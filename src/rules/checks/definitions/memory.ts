/** Memory: what the pod requests, what Git may use of it, and what remains for Gitaly itself. */

import { bytesText, listText } from '../../../lib/format.ts';
import { present } from '../../../lib/known.ts';
import { mainContainer } from '../../../sources/kubernetes/gitaly-objects.ts';
import type { Pod } from '../../../sources/kubernetes/objects/types.ts';
import { type Check, fail, judge, pass, passIf, sources, undecided } from '../check.ts';
import { patchTemplate, showPodField } from '../commands.ts';
import { perGitalyPod } from '../subjects.ts';
import { version } from '../version.ts';
import { enableCgroups } from './cgroups.ts';

/** GitLab's page: "a 1 GiB memory buffer ... is a safe starting point". */
export const minimumBufferBytes = 2 ** 30;

/** The chart requests this much for Gitaly by default: below it Go would collect garbage all the time. */
const minimumGoMemory = 200 * 2 ** 20;

const guaranteed = `gitlab:
  gitaly:
    resources: # requests equal to limits, CPU and memory
      requests: {cpu: "4", memory: 10Gi}
      limits: {cpu: "4", memory: 10Gi}
    init: # init containers count too
      resources:
        requests: {cpu: 50m, memory: 64Mi}
        limits: {cpu: 50m, memory: 64Mi}`;

export const memoryChecks: readonly Check[] = [
  {
    id: 'git_memory_buffer',
    title: "The pod's memory request exceeds Git's memory limit by at least 1 GiB",
    why: "Gitaly's own process needs memory too. Where Git may use all of it, the pod's limit is reached before Git's, and the OOM kill may hit Gitaly.",
    expected:
      "memory request of Gitaly's container minus cgroups.memory_bytes of at least 1 GiB, and a memory limit on every container, init containers included, so that the pod's slice has one",
    evidence: "the pod's resources and Gitaly's config.toml",
    source: sources.constrain,
    severity: 'warning',
    readFrom: 'api',
    since: version('13.10'),
    fix: {
      helm: `${enableCgroups}
    resources:
      requests: {cpu: "4", memory: 10Gi} # memoryBytes plus at least 1 GiB
      limits: {cpu: "4", memory: 10Gi}
    init:
      resources:
        requests: {cpu: 50m, memory: 64Mi}
        limits: {cpu: 50m, memory: 64Mi}`,
      kubectl: showPodField('.spec.containers[*].resources'),
    },
    ...perGitalyPod((pod, { config }) => {
      const request = pod.resources.memoryRequest ?? mainContainer(pod)?.resources.memoryRequest;
      if (request === undefined) return fail("Gitaly's container has no memory request");
      const unlimited = containersWithoutMemoryLimit(pod);
      if (unlimited.length > 0)
        return fail(`no memory limit on ${listText(unlimited)}, so the pod's slice has none either`);
      return judge(config, ({ cgroups }) => {
        const git = cgroups.memoryBytes;
        if (cgroups.repositories.count === 0 || git === undefined)
          return fail(`request ${bytesText(request)}; Git has no memory limit of its own`);
        const sizes = `request ${bytesText(request)} - memory_bytes ${bytesText(git)}`;
        return git > request
          ? fail(`${sizes}: Git's limit alone exceeds the request`)
          : passIf(request - git >= minimumBufferBytes, `${sizes} = ${bytesText(request - git)}`);
      });
    }),
  },
  {
    id: 'qos_guaranteed',
    title: "The pod's QoS class is Guaranteed",
    why: "Pods of other classes are evicted when other pods use up the node's memory, and the OOM killer prefers them to Guaranteed ones.",
    expected: 'requests equal to limits, CPU and memory, on every container, init containers included',
    evidence: "the pod's status.qosClass",
    source: sources.rightSize,
    severity: 'warning',
    readFrom: 'api',
    fix: { helm: guaranteed, kubectl: showPodField('.status.qosClass') },
    ...perGitalyPod((pod) =>
      judge(present(pod.qosClass, 'the API reports no QoS class for the pod'), (found) => {
        if (found === 'Guaranteed') return pass(found);
        const unequal = containersNotGuaranteed(pod);
        return fail(`${found}${unequal.length > 0 ? `, because of ${listText(unequal)}` : ''}`);
      }),
    ),
  },
  {
    id: 'gomemlimit',
    title: "GOMEMLIMIT leaves room for Git's memory",
    why: "The chart sets GOMEMLIMIT to the container's whole limit: Go then collects garbage only after Gitaly itself has used up Git's part.",
    expected: `GOMEMLIMIT of at most the memory limit minus cgroups.memory_bytes, and of at least ${bytesText(minimumGoMemory)}`,
    evidence: "the pod's environment and limits, and Gitaly's config.toml",
    source: `${sources.notInGuide}: Go's runtime/debug.SetMemoryLimit`,
    severity: 'info',
    readFrom: 'api',
    since: version('17.1'),
    fix: {
      helm: `gitlab:
  gitaly:
    gomemlimit:
      enabled: false # the chart's value is the whole limit
    extraEnv:
      GOMEMLIMIT: 1900MiB # less than the limit minus cgroups.memoryBytes`,
      kubectl: patchTemplate({
        spec: { containers: [{ name: 'gitaly', env: [{ name: 'GOMEMLIMIT', value: '1900MiB' }] }] },
      }),
    },
    ...perGitalyPod((pod, { config }) => {
      const container = mainContainer(pod);
      const limit = pod.resources.memoryLimit ?? container?.resources.memoryLimit;
      const text = container?.env['GOMEMLIMIT'];
      if (text === undefined)
        return fail(
          "GOMEMLIMIT is not set to a number (the chart's own value is the whole limit, if there is one)",
        );
      const go = parseGoMemory(text);
      if (go === undefined)
        return undecided(`GOMEMLIMIT ${JSON.stringify(text)} is not in Go's format, such as 1900MiB`);
      if (go < minimumGoMemory)
        return fail(`GOMEMLIMIT ${goText(go)}, less than Gitaly itself needs; without a unit it is in bytes`);
      if (limit === undefined) return fail(`GOMEMLIMIT ${goText(go)}, but no memory limit`);
      if (go > limit) return fail(`GOMEMLIMIT ${goText(go)} exceeds the limit ${bytesText(limit)}`);
      return judge(config, ({ cgroups }) => {
        const git = cgroups.repositories.count === 0 ? undefined : cgroups.memoryBytes;
        if (git === undefined)
          return fail(`GOMEMLIMIT ${goText(go)}; Git has no memory limit, so it may use up the rest`);
        return passIf(
          go <= limit - git,
          `GOMEMLIMIT ${goText(go)}, limit ${bytesText(limit)} - memory_bytes ${bytesText(git)} = ${bytesText(limit - git)}`,
        );
      });
    }),
  },
];

/**
 * Containers because of which memory.max of the slice is `max`: the kubelet sets it only when every container, init
 * containers included, declares a limit (ResourceConfigForPod), or the pod itself does.
 */
function containersWithoutMemoryLimit(pod: Pod): readonly string[] {
  if (pod.qosClass === 'Guaranteed' || pod.resources.memoryLimit !== undefined) return [];
  return [...pod.containers, ...pod.initContainers]
    .filter(({ resources }) => resources.memoryLimit === undefined)
    .map(({ name }) => name);
}

const containersNotGuaranteed = (pod: Pod): readonly string[] =>
  [...pod.containers, ...pod.initContainers]
    .filter(
      ({ resources: { memoryLimit, memoryRequest = memoryLimit, cpuLimit, cpuRequest = cpuLimit } }) =>
        memoryLimit === undefined ||
        cpuLimit === undefined ||
        memoryRequest !== memoryLimit ||
        cpuRequest !== cpuLimit,
    )
    .map(({ name }) => name);

const goUnits = { B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 } as const;

/** Bytes; infinity for `off`. As Go's runtime parses it: a whole number, with or without a binary unit. */
export function parseGoMemory(text: string): number | undefined {
  if (text === 'off') return Number.POSITIVE_INFINITY;
  const [, digits, unit = 'B'] = /^(\d{1,18})(B|KiB|MiB|GiB|TiB)?$/.exec(text) ?? [];
  return digits === undefined ? undefined : Number(digits) * goUnits[unit as keyof typeof goUnits];
}

const goText = (bytes: number): string => (Number.isFinite(bytes) ? bytesText(bytes) : 'off');
