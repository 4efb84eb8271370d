/** What protects a running Gitaly: concurrency limits, free space on its volume. */

import { bytesText, listText, percentText } from '../../../lib/format.ts';
import { isUnknown } from '../../../lib/known.ts';
import type { VolumeFacts } from '../../../sources/kubernetes/directory/volume-stats.ts';
import { type Check, fail, judge, pass, passIf, sources, type Verdict } from '../check.ts';
import { kubectl } from '../commands.ts';
import { perServer } from '../subjects.ts';

/** kubernetes-mixin's KubePersistentVolumeFillingUp warns at this ratio; a repack needs space for a second pack. */
const minimumFreeRatio = 0.15;

export const serviceChecks: readonly Check[] = [
  {
    id: 'concurrency_limits',
    title: 'Concurrency is limited',
    why: 'Without a limit, a burst of clones of one repository (CI) takes CPU and memory from all others.',
    expected: 'at least one [[concurrency]] with a limit',
    evidence: "Gitaly's config.toml, from the ConfigMap or the file",
    source: sources.concurrency,
    severity: 'warning',
    scope: 'pod',
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
    run: (inputs) =>
      perServer(inputs, ({ config }) =>
        judge(config, ({ rpcs }) => {
          const limited = rpcs.filter(({ limit, unauthenticated }) => limit ?? unauthenticated.limit);
          return passIf(
            limited.length > 0,
            limited.length === 0
              ? 'no [[concurrency]] with a limit'
              : `a limit on ${listText(limited.map(({ method }) => method))}`,
          );
        }),
      ),
  },
  {
    id: 'volume_free_space',
    title: "Gitaly's volume has free space",
    why: 'On a full volume every push fails, and so does the repacking that would free space.',
    expected: `at least ${percentText(minimumFreeRatio)} of bytes and of inodes free`,
    evidence: "the kubelet's statistics of the volume, or the file system",
    source: sources.disk,
    severity: 'warning',
    scope: 'pod',
    readFrom: 'api',
    fix: {
      helm: `gitlab:
  gitaly:
    persistence:
      size: 100Gi # for new volumes; an existing one is resized by its claim`,
      kubectl: kubectl(
        `patch pvc repo-data-POD -p '{"spec":{"resources":{"requests":{"storage":"100Gi"}}}}'`,
      ),
      text: 'Resizing a claim needs a StorageClass with allowVolumeExpansion. Check for old logs and for failing housekeeping too.',
    },
    run: (inputs) =>
      perServer(inputs, ({ volume }) =>
        judge(volume, (facts) => {
          const bytes = freeRatio(facts.availableBytes, facts.capacityBytes);
          const space = `${bytesText(facts.availableBytes)} of ${bytesText(facts.capacityBytes)} free (${percentText(bytes)})`;
          return bytes >= minimumFreeRatio ? withInodes(facts, space) : fail(space);
        }),
      ),
  },
];

function withInodes({ inodes }: VolumeFacts, space: string): Verdict {
  if (isUnknown(inodes) && inodes.notApplicable === true) return pass(space);
  return judge(inodes, ({ free, total }) => {
    const ratio = freeRatio(free, total);
    return passIf(ratio >= minimumFreeRatio, `${space}, ${percentText(ratio)} of the inodes`);
  });
}

const freeRatio = (free: number, total: number): number => (total > 0 ? free / total : 0);
