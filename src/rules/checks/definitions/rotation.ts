/** How long a pod that rotates is away: each rotation is an outage of its repositories, unless Praefect covers it. */

import { isUnknown, present } from '../../../lib/known.ts';
import type { Pod } from '../../../sources/kubernetes/objects/types.ts';
import { type Check, cannotTell, fail, judge, pass, passIf, type Verdict } from '../check.ts';
import { lookAtPod, patchTemplate } from '../fix-commands.ts';
import type { ServerFacts } from '../inputs.ts';
import { gitalyContainer, perGitalyPod } from '../subjects.ts';
import { secondsText } from '../text.ts';
import { beyond, probes, shutdown, volumePermissions } from './sources.ts';

/** The page's value of readinessProbe.initialDelaySeconds. */
const longestDelay = 2;

/** The page: gracefulRestartTimeout 1, to which the chart adds 5. Some room for those who take 2 or 5. */
const longestGrace = 10;

export const rotationChecks: readonly Check[] = [
  {
    id: 'fs_group_change_policy',
    title: 'fsGroupChangePolicy is OnRootMismatch',
    why: "Otherwise each start sets the owner of every file on the volume: with many repositories that takes minutes to hours, and the pod's repositories are away meanwhile.",
    expected: 'securityContext.fsGroupChangePolicy: OnRootMismatch',
    evidence: "the pod's spec.securityContext",
    source: volumePermissions,
    severity: 'warning',
    about: 'pod',
    rests: 'api',
    mend: {
      helm: `gitlab:
  gitaly:
    securityContext:
      fsGroupChangePolicy: OnRootMismatch`,
      kubectl: patchTemplate({ spec: { securityContext: { fsGroupChangePolicy: 'OnRootMismatch' } } }),
    },
    run: (inputs) =>
      perGitalyPod(inputs, ({ fsGroupChangePolicy: policy }) =>
        passIf(policy === 'OnRootMismatch', policy === '' ? 'not set, which is Always' : policy),
      ),
  },
  {
    id: 'fast_readiness',
    title: 'Readiness is probed soon after the start',
    why: 'Until the first probe succeeds no request reaches a Gitaly that may have been up for long.',
    expected: `a startupProbe, or a readinessProbe with initialDelaySeconds of at most ${longestDelay}`,
    evidence: "the probes of Gitaly's container",
    source: probes,
    severity: 'advice',
    about: 'pod',
    rests: 'api',
    mend: {
      helm: `gitlab:
  gitaly:
    statefulset:
      startupProbe:
        enabled: true # the chart's default; readiness then starts without a delay
      readinessProbe:
        initialDelaySeconds: 2
        periodSeconds: 10
        timeoutSeconds: 3
        successThreshold: 1
        failureThreshold: 3`,
      kubectl: patchTemplate({
        spec: { containers: [{ name: 'gitaly', readinessProbe: { initialDelaySeconds: 2 } }] },
      }),
    },
    run: (inputs) =>
      perGitalyPod(inputs, (pod) => {
        const container = gitalyContainer(pod);
        if (container === undefined) return cannotTell("which of the containers is Gitaly's is not known");
        const { startupProbe, readinessProbe } = container;
        if (startupProbe !== undefined)
          return pass(`startupProbe every ${secondsText(startupProbe.periodSeconds)}`);
        if (readinessProbe === undefined)
          return fail('no readinessProbe: requests come before Gitaly can serve');
        const { initialDelaySeconds: delay } = readinessProbe;
        return passIf(delay <= longestDelay, `no startupProbe, initialDelaySeconds ${delay}`);
      }),
  },
  {
    id: 'short_graceful_stop',
    title: 'A pod that stops does so within seconds',
    why: 'A Gitaly that is stopping takes no new requests: a long grace period lengthens the outage of each rotation. Clients try again by themselves.',
    expected: `terminationGracePeriodSeconds of at most ${longestGrace} (6 with the chart's gracefulRestartTimeout: 1)`,
    evidence: "the pod's spec",
    source: shutdown,
    severity: 'advice',
    about: 'pod',
    rests: 'api',
    mend: {
      helm: `gitlab:
  gitaly:
    gracefulRestartTimeout: 1`,
      kubectl: patchTemplate({ spec: { terminationGracePeriodSeconds: 6 } }),
      other:
        "The kubectl line alone leaves graceful_restart_timeout in Gitaly's config.toml as it is: Gitaly is then killed in the middle of it.",
    },
    run: (inputs) =>
      perGitalyPod(inputs, (pod) =>
        judge(
          present(pod.terminationGracePeriodSeconds, 'the API shows no terminationGracePeriodSeconds'),
          (seconds) => passIf(seconds <= longestGrace, `terminationGracePeriodSeconds ${seconds}`),
        ),
      ),
  },
  {
    id: 'client_retry_window',
    title: 'Clients try again for as long as a rotation takes',
    why: 'GitLab hides a rotation from its users when it tries for long enough. Its default is 1.4 s, which no pod keeps.',
    expected: 'gitaly.client_max_backoff of at least the time from deletion to Ready',
    evidence: "GitLab's configured retries against measured rotations, or the pod's own start",
    source: `${beyond}: GitLab chart, 'global.gitaly.client'`,
    severity: 'advice',
    about: 'pod',
    rests: 'api',
    mend: {
      helm: `global:
  gitaly:
    client:
      maxAttempts: 5 # gRPC allows no more
      maxBackoff: '60s' # as long as a rotation takes`,
      kubectl: lookAtPod('.status.conditions'),
    },
    run: (inputs) =>
      perGitalyPod(inputs, (pod, facts) =>
        judge(inputs.clientRetrySeconds, (retry) => held(pod, facts, retry)),
      ),
  },
];

/** @param retry seconds. Of a pod's start alone the least is known: what went before it was created is not. */
function held(pod: Pod, { rotationSeconds }: ServerFacts, retry: number): Verdict {
  const tried = `clients try for ${secondsText(retry)}`;
  if (!isUnknown(rotationSeconds))
    return passIf(
      retry >= rotationSeconds.value,
      `${tried}; the last rotation took ${secondsText(rotationSeconds.value)}`,
    );
  const least = leastStart(pod);
  return least !== undefined && least > retry
    ? fail(`${tried}; from its creation to the start of its container alone it took ${secondsText(least)}`)
    : cannotTell(rotationSeconds, tried);
}

function leastStart(pod: Pod): number | undefined {
  const container = gitalyContainer(pod);
  if (container?.restartCount !== 0 || container.state.kind !== 'running') return undefined;
  const { startedAt } = container.state;
  return startedAt === undefined ? undefined : Math.max(0, (startedAt - pod.createdAt) / 1000);
}
