/** Memory: what the pod asks for, what Git may take of it, and what is left for Gitaly itself. */

import { present } from '../../../lib/known.ts';
import type { Pod } from '../../../sources/kubernetes/objects/types.ts';
import { type Check, cannotTell, fail, judge, pass, passIf } from '../check.ts';
import { lookAtPod, patchTemplate } from '../fix-commands.ts';
import { gitalyContainer, perGitalyPod } from '../subjects.ts';
import { bytesText, listText } from '../text.ts';
import { version } from '../version.ts';
import { enableCgroups } from './cgroups.ts';
import { beyond, constrain, rightSize } from './sources.ts';

/** GitLab's page: "a 1 GiB memory buffer ... is a safe starting point". */
export const leastBuffer = 2 ** 30;

const guaranteed = `gitlab:
  gitaly:
    resources: # requests as limits, of both CPU and memory
      requests: {cpu: "4", memory: 10Gi}
      limits: {cpu: "4", memory: 10Gi}
    init: # the init containers count, too
      resources:
        requests: {cpu: 50m, memory: 64Mi}
        limits: {cpu: 50m, memory: 64Mi}`;

export const memoryChecks: readonly Check[] = [
  {
    id: 'git_memory_buffer',
    title: "1 GiB or more lies between the pod's memory and what Git may take",
    why: "Gitaly's own process needs memory, too. Where Git may take all there is, the pod's limit runs out before Git's does, and the kill may hit Gitaly.",
    expected:
      "memory request of Gitaly's container less cgroups.memory_bytes of 1 GiB or more, and a memory limit on every container, init containers included, so that the pod's slice has one",
    evidence: "the pod's resources and Gitaly's config.toml",
    source: constrain,
    severity: 'warning',
    about: 'pod',
    rests: 'api',
    since: version('13.10'),
    mend: {
      helm: `${enableCgroups}
    resources:
      requests: {cpu: "4", memory: 10Gi} # memoryBytes and 1 GiB or more
      limits: {cpu: "4", memory: 10Gi}
    init:
      resources:
        requests: {cpu: 50m, memory: 64Mi}
        limits: {cpu: 50m, memory: 64Mi}`,
      kubectl: lookAtPod('.spec.containers[*].resources'),
    },
    run: (inputs) =>
      perGitalyPod(inputs, (pod, { config }) => {
        const request = pod.resources.memoryRequest ?? gitalyContainer(pod)?.resources.memoryRequest;
        if (request === undefined) return fail("Gitaly's container has no memory request");
        const without = withoutMemoryLimit(pod);
        if (without.length > 0)
          return fail(
            `no memory limit on ${listText(without)}: the pod's slice has none, whatever the others have`,
          );
        return judge(config, ({ cgroups }) => {
          const git = cgroups.memoryBytes;
          if (cgroups.repositories.count === 0 || git === undefined)
            return fail(`request ${bytesText(request)}; Git has no limit of its own`);
          return passIf(
            request - git >= leastBuffer,
            `request ${bytesText(request)} - memory_bytes ${bytesText(git)} = ${bytesText(request - git)}`,
          );
        });
      }),
  },
  {
    id: 'qos_guaranteed',
    title: "The pod's QoS class is Guaranteed",
    why: "Any other class is evicted when the node's memory gets short because of other pods, and is killed before Guaranteed ones by the OOM killer.",
    expected: 'requests equal to limits, of CPU and memory, for every container, init containers included',
    evidence: "the pod's status.qosClass",
    source: rightSize,
    severity: 'warning',
    about: 'pod',
    rests: 'api',
    mend: { helm: guaranteed, kubectl: lookAtPod('.status.qosClass') },
    run: (inputs) =>
      perGitalyPod(inputs, (pod) =>
        judge(present(pod.qosClass, "the API shows no QoS class of the pod's"), (found) => {
          if (found === 'Guaranteed') return pass(found);
          const unequal = notGuaranteed(pod);
          return fail(`${found}${unequal.length > 0 ? `, because of ${listText(unequal)}` : ''}`);
        }),
      ),
  },
  {
    id: 'gomemlimit',
    title: 'GOMEMLIMIT leaves Git its share',
    why: "The chart sets GOMEMLIMIT to the container's whole limit: Go then collects garbage only when Git's share is used up by Gitaly itself.",
    expected: 'GOMEMLIMIT of at most the memory limit less cgroups.memory_bytes',
    evidence: "the pod's environment and limits, and Gitaly's config.toml",
    source: `${beyond}: Go's runtime/debug.SetMemoryLimit`,
    severity: 'advice',
    about: 'pod',
    rests: 'api',
    since: version('17.1'),
    mend: {
      helm: `gitlab:
  gitaly:
    gomemlimit:
      enabled: false # the chart's own is the whole limit
    extraEnv:
      GOMEMLIMIT: 1900MiB # at most the limit less cgroups.memoryBytes, and some room`,
      kubectl: patchTemplate({
        spec: { containers: [{ name: 'gitaly', env: [{ name: 'GOMEMLIMIT', value: '1900MiB' }] }] },
      }),
    },
    run: (inputs) =>
      perGitalyPod(inputs, (pod, { config }) => {
        const container = gitalyContainer(pod);
        const limit = pod.resources.memoryLimit ?? container?.resources.memoryLimit;
        const text = container?.env['GOMEMLIMIT'];
        if (text === undefined)
          return fail(
            "GOMEMLIMIT is not set to a number (the chart's own is the whole limit, if there is one)",
          );
        const go = parseGoMemory(text);
        if (go === undefined) return cannotTell(`GOMEMLIMIT ${JSON.stringify(text)} is not of Go's form`);
        if (limit === undefined) return fail(`GOMEMLIMIT ${memoryText(go)}, but no memory limit`);
        if (go > limit) return fail(`GOMEMLIMIT ${memoryText(go)} is over the limit ${bytesText(limit)}`);
        return judge(config, ({ cgroups }) => {
          const git = cgroups.repositories.count === 0 ? undefined : cgroups.memoryBytes;
          if (git === undefined)
            return fail(`GOMEMLIMIT ${memoryText(go)}; Git has no limit, so no room is left for sure`);
          return passIf(
            go <= limit - git,
            `GOMEMLIMIT ${memoryText(go)}, limit ${bytesText(limit)} - memory_bytes ${bytesText(git)} = ${bytesText(limit - git)}`,
          );
        });
      }),
  },
];

/**
 * Containers for whose sake the slice's memory.max is `max`: the kubelet sets it only when every container, init
 * containers included, declares a limit (ResourceConfigForPod), or the pod itself does.
 */
function withoutMemoryLimit(pod: Pod): readonly string[] {
  if (pod.qosClass === 'Guaranteed' || pod.resources.memoryLimit !== undefined) return [];
  return [...pod.containers, ...pod.initContainers]
    .filter(({ resources }) => resources.memoryLimit === undefined)
    .map(({ name }) => name);
}

const notGuaranteed = (pod: Pod): readonly string[] =>
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

/** Bytes; `off` is no limit at all. As Go's runtime reads it: a whole number, with a binary unit or without. */
export function parseGoMemory(text: string): number | undefined {
  if (text === 'off') return Number.POSITIVE_INFINITY;
  const [, digits, unit = 'B'] = /^(\d{1,18})(B|KiB|MiB|GiB|TiB)?$/.exec(text) ?? [];
  return digits === undefined ? undefined : Number(digits) * goUnits[unit as keyof typeof goUnits];
}

const memoryText = (bytes: number): string => (Number.isFinite(bytes) ? bytesText(bytes) : 'off');
