/** How long a rotated pod is unavailable: an outage of its repositories, unless Praefect serves other replicas. */

import { durationText } from '../../../lib/format.ts';
import { isUnknown, notApplicable, present } from '../../../lib/known.ts';
import { mainContainer } from '../../../sources/kubernetes/gitaly-objects.ts';
import type { ContainerProbe, Pod } from '../../../sources/kubernetes/objects/types.ts';
import { type Check, type CheckVerdict, fail, judge, pass, passIf, sources, undecided } from '../check.ts';
import { patchTemplate, showPodField } from '../commands.ts';
import type { ServerFacts } from '../inputs.ts';
import { perGitalyPod } from '../subjects.ts';

/** readinessProbe.initialDelaySeconds and .periodSeconds on GitLab's page. */
const maximumDelay = 2;
const maximumPeriod = 10;

/** GitLab's page: gracefulRestartTimeout 1, to which the chart adds 5. 10 also allows 2 to 5. */
const maximumGrace = 10;

/** Below, the kubelet kills Gitaly before the shortest graceful shutdown (1 s) can end. */
const minimumGrace = 2;

export const rotationChecks: readonly Check[] = [
  {
    id: 'fs_group_change_policy',
    title: 'fsGroupChangePolicy is OnRootMismatch',
    why: "Otherwise each start changes the owner of every file on the volume: minutes to hours with many repositories, during which the pod's repositories are unavailable.",
    expected: 'securityContext.fsGroupChangePolicy: OnRootMismatch, where there is an fsGroup',
    evidence: "the pod's spec.securityContext",
    source: sources.volumePermissions,
    severity: 'warning',
    readFrom: 'api',
    fix: {
      helm: `gitlab:
  gitaly:
    securityContext:
      fsGroupChangePolicy: OnRootMismatch`,
      kubectl: patchTemplate({ spec: { securityContext: { fsGroupChangePolicy: 'OnRootMismatch' } } }),
    },
    ...perGitalyPod(({ fsGroup, fsGroupChangePolicy: policy }) =>
      fsGroup === undefined
        ? undecided(notApplicable('the pod has no fsGroup, so no owner is changed'))
        : passIf(policy === 'OnRootMismatch', policy === '' ? 'not set: defaults to Always' : policy),
    ),
  },
  {
    id: 'fast_readiness',
    title: 'Readiness is probed soon after the start',
    why: 'No request reaches Gitaly before the first successful probe, however long it has been up.',
    expected: `every startupProbe and readinessProbe with initialDelaySeconds of at most ${maximumDelay}, periodSeconds of at most ${maximumPeriod}, and a single success needed`,
    evidence: "the probes of Gitaly's container",
    source: sources.probes,
    severity: 'info',
    readFrom: 'api',
    fix: {
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
    ...perGitalyPod((pod) => {
      const container = mainContainer(pod);
      if (container === undefined) return undecided("which of the containers is Gitaly's is unknown");
      const { startupProbe, readinessProbe } = container;
      if (startupProbe === undefined && readinessProbe === undefined)
        return fail('no readinessProbe: requests arrive before Gitaly can serve them');
      // A readinessProbe's delay counts from the container's start, with a startupProbe too.
      const slow = [
        ...slowness('startupProbe', startupProbe),
        ...slowness(
          startupProbe === undefined ? 'no startupProbe, readinessProbe' : 'readinessProbe',
          readinessProbe,
        ),
      ];
      if (slow.length > 0) return fail(slow.join('; '));
      return startupProbe === undefined
        ? pass(`no startupProbe, initialDelaySeconds ${readinessProbe?.initialDelaySeconds ?? 0}`)
        : pass(`startupProbe every ${durationText(startupProbe.periodSeconds * 1000)}`);
    }),
  },
  {
    id: 'short_graceful_stop',
    title: 'A terminating pod stops within seconds',
    why: 'A Gitaly that shuts down accepts no new requests: a long grace period prolongs the outage of each rotation. Clients retry by themselves.',
    expected: `terminationGracePeriodSeconds of ${minimumGrace} to ${maximumGrace} (6 with the chart's gracefulRestartTimeout: 1)`,
    evidence: "the pod's spec",
    source: sources.shutdown,
    severity: 'info',
    readFrom: 'api',
    fix: {
      helm: `gitlab:
  gitaly:
    gracefulRestartTimeout: 1`,
      kubectl: patchTemplate({ spec: { terminationGracePeriodSeconds: 6 } }),
      text: "The kubectl line alone does not change graceful_restart_timeout in Gitaly's config.toml: Gitaly is then killed during its graceful shutdown.",
    },
    ...perGitalyPod((pod) =>
      judge(
        present(pod.terminationGracePeriodSeconds, 'the API reports no terminationGracePeriodSeconds'),
        (seconds) => {
          const found = `terminationGracePeriodSeconds ${seconds}`;
          return seconds < minimumGrace
            ? fail(`${found}: Gitaly is killed before its graceful shutdown ends`)
            : passIf(seconds <= maximumGrace, found);
        },
      ),
    ),
  },
  {
    id: 'client_retry_window',
    title: 'Clients retry for as long as a rotation takes',
    why: 'GitLab hides a rotation from users when it retries for long enough. Its default is 1.4 s, less than any rotation takes.',
    expected: 'gitaly.client_max_backoff of at least the time from deletion to Ready',
    evidence: "GitLab's configured retries compared with measured rotations, or with the pod's last start",
    source: `${sources.notInGuide}: GitLab chart, 'global.gitaly.client'`,
    severity: 'info',
    readFrom: 'api',
    fix: {
      helm: `global:
  gitaly:
    client:
      maxAttempts: 5 # the maximum of gRPC
      maxBackoff: '60s' # as long as a rotation takes`,
      kubectl: showPodField('.status.conditions'),
    },
    ...perGitalyPod((pod, facts, inputs) =>
      judge(inputs.clientRetrySeconds, (retry) => retriesLongEnough(pod, facts, retry)),
    ),
  },
];

/** Which settings of a probe delay its success. */
function slowness(name: string, probe: ContainerProbe | undefined): readonly string[] {
  if (probe === undefined) return [];
  const { initialDelaySeconds, periodSeconds, successThreshold } = probe;
  const slow = [
    ...(initialDelaySeconds > maximumDelay ? [`initialDelaySeconds ${initialDelaySeconds}`] : []),
    ...(periodSeconds > maximumPeriod ? [`periodSeconds ${periodSeconds}`] : []),
    ...(successThreshold > 1 ? [`successThreshold ${successThreshold}`] : []),
  ];
  return slow.length === 0 ? [] : [`${name} with ${slow.join(', ')}`];
}

/** @param retry seconds. A pod's start is a lower bound of its rotation: the time before its creation is unknown. */
function retriesLongEnough(pod: Pod, { rotationSeconds }: ServerFacts, retry: number): CheckVerdict {
  const retried = `clients retry for ${durationText(retry * 1000)}`;
  if (!isUnknown(rotationSeconds))
    return passIf(
      retry >= rotationSeconds.value,
      `${retried}; the slowest recent rotation took ${durationText(rotationSeconds.value * 1000)}`,
    );
  const start = startSeconds(pod);
  return start !== undefined && start > retry
    ? fail(
        `${retried}; from its creation to the start of its container it took ${durationText(start * 1000)}`,
      )
    : undecided(rotationSeconds, retried);
}

function startSeconds(pod: Pod): number | undefined {
  const container = mainContainer(pod);
  if (container?.restartCount !== 0 || container.state.kind !== 'running') return undefined;
  const { startedAt } = container.state;
  return startedAt === undefined ? undefined : Math.max(0, (startedAt - pod.createdAt) / 1000);
}
