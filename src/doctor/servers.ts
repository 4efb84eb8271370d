/** The servers whose metrics are scraped, and the configurations of Gitaly: whether they can be read and parsed. */

import { parseGitalyConfig } from '../config/gitaly/gitaly-config.ts';
import { firstProblemText } from '../config/problem.ts';
import type { Clock } from '../lib/clock.ts';
import type { ReadText } from '../lib/files.ts';
import { fixText } from '../rules/finding.ts';
import type { Failure, FailureReason } from '../scheduler/outcome.ts';
import { listTargets, readTarget } from '../sources/gitaly/collector.ts';
import type { Resolve } from '../sources/gitaly/resolve.ts';
import type { ReadLimits } from '../sources/gitaly/scrape.ts';
import type { ConfigSource, ScrapeTarget, TargetSource } from '../sources/gitaly/target.ts';
import { identityText } from '../sources/identity.ts';
import { accessChecks, type DoctorFinding, notPassed, passed } from './finding.ts';

const serversCheck = accessChecks.serversReachable;
const configCheck = accessChecks.gitalyConfig;

export interface ServersOptions {
  readonly sources: readonly TargetSource[];
  readonly limits: ReadLimits;
  readonly clock: Clock;
  readonly resolve: Resolve;
  readonly readText: ReadText;
}

/** Open sockets. */
const maxConcurrency = 16;

interface ServersReport {
  /** One for each server, and one for each source of servers that could not be listed. */
  readonly findings: readonly DoctorFinding[];
  /** What is not read on purpose: one sentence each. */
  readonly excluded: readonly string[];
}

export async function serverFindings(options: ServersOptions, signal: AbortSignal): Promise<ServersReport> {
  const failures: Failure[] = [];
  const { targets, excluded } = await listTargets(options.sources, failures, signal);
  const unlisted = failures.map(({ message }) => notPassed(serversCheck, 'fail', message, []));
  const findings: DoctorFinding[] = [];
  const waiting = targets.entries();
  const reader = async (): Promise<void> => {
    for (const [index, target] of waiting) findings[index] = await serverFinding(target, options, signal);
  };
  await Promise.all(Array.from({ length: maxConcurrency }, reader));
  return { findings: [...unlisted, ...findings], excluded };
}

/** By the collector's own read: a page that it does not use is not reachable. */
async function serverFinding(
  target: ScrapeTarget,
  options: ServersOptions,
  signal: AbortSignal,
): Promise<DoctorFinding> {
  const { component, identity, url, address } = target;
  const subject = `${component === 'gitaly' ? 'Gitaly' : 'Praefect'} ${identityText(identity)}`;
  const place = `${url.origin}${url.pathname}${address === undefined ? '' : ` at ${address}`}`;
  const { failure, seconds } = await readTarget(target, options, signal);
  if (failure === undefined)
    return passed(serversCheck, `${place} in ${Math.round(seconds * 1000)} ms`, subject);
  return notPassed(
    serversCheck,
    'fail',
    `${place} ${failure.message}`,
    [fixText(fixes[failure.reason] ?? fixes.refused), ...(identity.pod === '' ? [] : [outsideCluster])],
    subject,
  );
}

const outsideCluster = fixText(
  'Pods are unreachable from outside the cluster: run doctor where the exporter runs, or with --skip=servers_reachable.',
);

const fixes: Partial<Record<FailureReason, string>> & { readonly refused: string } = {
  refused:
    'Set prometheus_listen_addr in its configuration (the chart: gitlab.gitaly.metrics.enabled), and allow the exporter to connect to that port (NetworkPolicy, firewall).',
  timeout: 'Check for a NetworkPolicy or firewall that drops packets, and whether the server hangs.',
  tls: 'Set gitaly.scrape.tls.* as the server requires, or use http:// if it does not use TLS.',
  authentication:
    'Put the credentials that the server requires into the file of gitaly.scrape.credentials-file.',
  permission: 'Put the credentials that the server requires into the file of gitaly.scrape.credentials-file.',
  http_status: 'Set the path of its metrics; the default is /metrics.',
  parse: 'Set the address of its own metrics: this address serves something else.',
  too_large: 'Raise gitaly.scrape.max-bytes or gitaly.scrape.max-series.',
};

/** One finding for each configuration of Gitaly, and one for each that could not be read. */
export async function configFindings(
  sources: readonly ConfigSource[],
  signal: AbortSignal,
): Promise<readonly DoctorFinding[]> {
  const read = await Promise.all(sources.map((source) => source.read(signal)));
  const failures = read
    .flatMap((each) => each.failures)
    .map(({ reason, message }) =>
      notPassed(configCheck, 'fail', message, [
        fixText(
          reason === 'permission'
            ? 'Allow the exporter to read it: a file by its user, a ConfigMap by `get configmaps` (deploy/kubernetes/base/rbac.yaml).'
            : 'Correct the path or the name in gitaly.config-file.',
        ),
      ]),
    );
  const texts = read
    .flatMap((each) => each.texts)
    .map(({ name, text, identities }) => {
      const config = parseGitalyConfig(text, name);
      const problems = config.ok ? config.value.problems : config.problems;
      if (config.ok && problems.length === 0)
        return config.value.incomplete === undefined
          ? passed(configCheck, `${name}, of ${identities.map(identityText).join(', ')}`)
          : notPassed(configCheck, 'unknown', config.value.incomplete, [], name);
      return notPassed(
        configCheck,
        // An entry that is wrong has no effect in Gitaly; the rest is used.
        config.ok ? 'warn' : 'fail',
        firstProblemText(problems),
        [fixText('Correct it, or use the file that Gitaly itself reads.')],
        name,
      );
    });
  return [...failures, ...texts];
}
