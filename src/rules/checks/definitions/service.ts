/** What protects a Gitaly that runs: concurrency limits, room on its volume. */

import { isUnknown } from '../../../lib/known.ts';
import type { VolumeFacts } from '../../../sources/kubernetes/directory/volume-stats.ts';
import { type Check, fail, judge, pass, passIf } from '../check.ts';
import { inPod } from '../fix-commands.ts';
import { perServer } from '../subjects.ts';
import { bytesText, listText, percentText } from '../text.ts';
import { concurrency, disk } from './sources.ts';

/** As kubernetes-mixin's KubePersistentVolumeFillingUp warns from; a repack needs room beside the old pack. */
const leastFree = 0.15;

export const serviceChecks: readonly Check[] = [
  {
    id: 'concurrency_limits',
    title: 'Concurrency is limited',
    why: 'Without a limit a burst of clones of one repository (CI) takes all of CPU and memory from the others.',
    expected: 'at least one [[concurrency]] with a limit',
    evidence: "Gitaly's config.toml, as the ConfigMap or the file has it",
    source: concurrency,
    severity: 'warning',
    about: 'pod',
    rests: 'api',
    mend: {
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
      kubectl: inPod('get configmap -l app=gitaly -o yaml'),
      other:
        "Choose the numbers from the board of limits: what runs at once at busy times. On a virtual machine: gitaly['configuration'][:concurrency] in gitlab.rb.",
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
    id: 'volume_room',
    title: "There is room on Gitaly's volume",
    why: 'On a full volume every push fails, and so does the repacking that would free room.',
    expected: `at least ${percentText(leastFree)} of bytes and of inodes free`,
    evidence: "the kubelet's statistics of the volume, or the file system",
    source: disk,
    severity: 'warning',
    about: 'pod',
    rests: 'api',
    mend: {
      helm: `gitlab:
  gitaly:
    persistence:
      size: 100Gi # for new volumes; one that is there is grown by its claim`,
      kubectl: inPod(`patch pvc repo-data-POD -p '{"spec":{"resources":{"requests":{"storage":"100Gi"}}}}'`),
      other:
        'Growing a claim needs a StorageClass with allowVolumeExpansion. Look for old logs and for housekeeping that fails, too.',
    },
    run: (inputs) =>
      perServer(inputs, ({ volume }) =>
        judge(volume, (facts) => {
          const bytes = shareFree(facts.availableBytes, facts.capacityBytes);
          const room = `${bytesText(facts.availableBytes)} of ${bytesText(facts.capacityBytes)} free (${percentText(bytes)})`;
          if (!(bytes >= leastFree)) return fail(room);
          return withInodes(facts, room);
        }),
      ),
  },
];

function withInodes({ inodes }: VolumeFacts, room: string) {
  if (isUnknown(inodes) && inodes.notApplicable === true) return pass(room);
  return judge(inodes, ({ free, total }) => {
    const share = shareFree(free, total);
    return passIf(share >= leastFree, `${room}, ${percentText(share)} of the inodes`);
  });
}

/** Of nothing nothing is free. */
const shareFree = (free: number, total: number): number => (total > 0 ? free / total : 0);
