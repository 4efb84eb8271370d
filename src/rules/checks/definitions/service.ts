/** What protects a running Gitaly: concurrency limits, free space on its volume. */

import type { GitalyConfig, Limit } from '../../../config/gitaly/gitaly-config.ts';
import { bytesText, listText, percentText } from '../../../lib/format.ts';
import { isUnknown } from '../../../lib/known.ts';
import type { VolumeFacts } from '../../../sources/volume-facts.ts';
import { type Check, type CheckVerdict, fail, judge, pass, passIf, sources, undecided } from '../check.ts';
import { kubectl } from '../commands.ts';
import { type CloneRpc, cloneRpcs, isGitalyRpc, isUsedByClients } from '../gitaly-rpcs.ts';
import { gitlabVersionOf, perServer } from '../subjects.ts';
import { type Version, versionText } from '../version.ts';

/** kubernetes-mixin's KubePersistentVolumeFillingUp warns at this ratio; a repack needs space for a second pack. */
const minimumFreeRatio = 0.15;

/** Gitaly's own default for pack-objects is 200. No server runs more clones of one repository at a time than this. */
const maximumCalls = 1000;

export const serviceChecks: readonly Check[] = [
  {
    id: 'concurrency_limits',
    title: 'Concurrency is limited',
    why: 'Without a limit, a burst of clones of one repository (CI) takes CPU and memory from all others.',
    expected: `a [[concurrency]] of at most ${maximumCalls} calls for an RPC by which this version's clients clone and fetch (${listText(cloneRpcs.filter(({ until }) => until === undefined).map(({ name }) => name))}), or for pack-objects with its cache`,
    evidence: "Gitaly's config.toml, from the ConfigMap or the file",
    source: sources.concurrency,
    severity: 'warning',
    readFrom: 'api',
    fix: {
      helm: `gitlab:
  gitaly:
    shell:
      concurrency:
        - rpc: "/gitaly.SmartHTTPService/PostUploadPackWithSidechannel"
          maxPerRepo: 20
          maxQueueSize: 100
          maxQueueWait: 60s
        - rpc: "/gitaly.SSHService/SSHUploadPackWithSidechannel"
          maxPerRepo: 20
          maxQueueSize: 100
          maxQueueWait: 60s`,
      kubectl: kubectl('get configmap -l app=gitaly -o yaml'),
      text: "Choose the values from the limits dashboard: the calls in progress at busy times. On a virtual machine: gitaly['configuration'][:concurrency] in gitlab.rb.",
    },
    ...perServer(({ config }, pod) =>
      judge(config, (found) => clonesLimited(found, pod && gitlabVersionOf(pod))),
    ),
  },
  {
    id: 'volume_free_space',
    title: "Gitaly's volume has free space",
    why: 'On a full volume every push fails, and so does the repacking that would free space.',
    expected: `at least ${percentText(minimumFreeRatio)} of bytes and of inodes free`,
    evidence:
      "the kubelet's statistics of all claims of the pod; on a virtual machine the file systems of the storages in Gitaly's config.toml",
    source: sources.disk,
    severity: 'warning',
    readFrom: 'api',
    fix: {
      helm: `gitlab:
  gitaly:
    persistence:
      size: 100Gi # for new volumes; an existing one is resized by its claim`,
      kubectl: kubectl(
        `patch pvc repo-data-POD -p '{"spec":{"resources":{"requests":{"storage":"100Gi"}}}}'`,
      ),
      text: 'Resizing a claim needs a StorageClass with allowVolumeExpansion. On a virtual machine extend the file system, or move projects to another storage. Check for old logs and for failing housekeeping too.',
    },
    ...perServer(({ volume }) =>
      judge(volume, (facts) => {
        if (!(facts.capacityBytes > 0) || facts.availableBytes > facts.capacityBytes)
          return undecided(
            `the reported sizes make no sense: ${bytesText(facts.availableBytes)} of ${bytesText(facts.capacityBytes)} free`,
          );
        const bytes = freeRatio(facts.availableBytes, facts.capacityBytes);
        const space = `${bytesText(facts.availableBytes)} of ${bytesText(facts.capacityBytes)} free (${percentText(bytes)})`;
        return bytes >= minimumFreeRatio ? withInodes(facts, space) : fail(space);
      }),
    ),
  },
];

interface CloneLimit {
  readonly what: string;
  readonly protocols: readonly CloneRpc['protocol'][];
  readonly calls: number;
}

/** Limits on other RPCs, on calls without a user alone, and above any server's capacity leave clones unlimited. */
function clonesLimited(config: GitalyConfig, gitlab: Version | undefined): CheckVerdict {
  const { rpcs } = config;
  const limited = rpcs.flatMap(({ service, method, limit }) =>
    limit === undefined ? [] : [{ name: `${service}/${method}`, calls: callsOf(limit) }],
  );
  const found = limited.flatMap(({ name, calls }) => {
    const rpc = cloneRpcs.find((each) => each.name === name);
    return rpc === undefined || calls > maximumCalls ? [] : [{ rpc, calls }];
  });
  const certain: readonly CloneLimit[] = [
    ...found
      .filter(({ rpc }) => isUsedByClients(rpc, gitlab) === true)
      .map(({ rpc, calls }) => ({ what: rpc.name, protocols: [rpc.protocol], calls })),
    ...packObjectsLimit(config),
  ];
  if (certain.length > 0) {
    const open = (['HTTP', 'SSH'] as const).filter(
      (protocol) => !certain.some(({ protocols }) => protocols.includes(protocol)),
    );
    return pass(
      `${listText(certain.map(({ what, calls }) => `${calls} ${what}`))}${open.length === 0 ? '' : `; clones over ${listText(open)} are not limited`}`,
    );
  }
  const old = found.filter(({ rpc }) => isUsedByClients(rpc, gitlab) === undefined);
  if (old.length > 0)
    return undecided(
      "clients use it before GitLab 15.9 only, and this Gitaly's version is unknown",
      `a limit on ${listText(old.map(({ rpc }) => rpc.name))}`,
    );
  return fail(withoutCloneLimit(config, limited, gitlab));
}

function withoutCloneLimit(
  { rpcs }: GitalyConfig,
  limited: readonly { readonly name: string; readonly calls: number }[],
  gitlab: Version | undefined,
): string {
  if (rpcs.length === 0) return 'no [[concurrency]] with a limit';
  const unknownRpcs = limited.filter(({ name }) => !isGitalyRpc(name));
  const reasons = [
    ...unknownRpcs.map(({ name }) => `no known Gitaly has ${name}`),
    ...limited
      .filter(({ name, calls }) => isGitalyRpc(name) && calls > maximumCalls)
      .map(({ name, calls }) => `${calls} calls of ${name} at a time are no limit`),
    ...limited.flatMap(({ name, calls }) => {
      const rpc = cloneRpcs.find((each) => each.name === name);
      return rpc !== undefined && calls <= maximumCalls && isUsedByClients(rpc, gitlab) === false
        ? [`clients of GitLab ${gitlab === undefined ? '' : versionText(gitlab)} do not use ${name}`]
        : [];
    }),
    ...limited
      .filter(({ name, calls }) => isGitalyRpc(name) && calls <= maximumCalls && !isCloneRpc(name))
      .map(({ name }) => `${name} is no clone or fetch`),
    ...rpcs
      .filter(({ limit, unauthenticated }) => limit === undefined && unauthenticated.limit !== undefined)
      .map(({ service, method }) => `${service}/${method} is limited for calls without a user only`),
  ];
  return reasons.length === 0
    ? 'no [[concurrency]] with a limit'
    : `no limit on clones and fetches: ${listText(reasons)}`;
}

const isCloneRpc = (name: string): boolean => cloneRpcs.some((each) => each.name === name);

/** It limits what a clone computes, over HTTP and SSH, but only while the pack-objects cache is on. */
function packObjectsLimit({ packObjects, packObjectsCache }: GitalyConfig): readonly CloneLimit[] {
  const { limit } = packObjects;
  const calls = limit === undefined || !packObjectsCache ? undefined : callsOf(limit);
  return calls === undefined || calls > maximumCalls
    ? []
    : [{ what: 'pack-objects per address', protocols: ['HTTP', 'SSH'], calls }];
}

/** The highest that an adaptive limit may reach. */
const callsOf = (limit: Limit): number => (limit.kind === 'static' ? limit.current : limit.max);

function withInodes({ inodes }: VolumeFacts, space: string): CheckVerdict {
  if (isUnknown(inodes) && inodes.notApplicable === true) return pass(space);
  return judge(inodes, ({ free, total }) => {
    // A file system that allocates inodes on demand may report none at all.
    if (total === 0) return pass(space);
    const ratio = freeRatio(free, total);
    return passIf(ratio >= minimumFreeRatio, `${space}, ${percentText(ratio)} of the inodes`);
  });
}

const freeRatio = (free: number, total: number): number => (total > 0 ? free / total : 0);
