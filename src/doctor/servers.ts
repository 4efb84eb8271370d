/** Every server that would be read: whether its /metrics answers, and is that of what it is taken for. */

import type { Clock } from '../lib/clock.ts';
import type { ReadText } from '../lib/files.ts';
import type { FailureReason } from '../scheduler/outcome.ts';
import type { Resolve } from '../sources/gitaly/resolve.ts';
import { type ReadLimits, readPage } from '../sources/gitaly/scrape.ts';
import type { ScrapeTarget, TargetSource } from '../sources/gitaly/target.ts';
import { gitalyPrefix, praefectPrefix } from '../sources/gitaly/versions.ts';
import { identityText } from '../sources/identity.ts';
import { accessChecks, type Finding, finds, passes, todo } from './finding.ts';

export interface ServersOptions {
  readonly sources: readonly TargetSource[];
  readonly limits: ReadLimits;
  readonly clock: Clock;
  readonly resolve: Resolve;
  readonly readText: ReadText;
}

/** Sockets open at a time. */
const readersAtOnce = 16;

/** One finding for each server, and one for each that could not even be listed. */
export async function serverFindings(
  options: ServersOptions,
  signal: AbortSignal,
): Promise<readonly Finding[]> {
  const listed = await Promise.all(options.sources.map((source) => source.list(signal)));
  const unlisted = listed
    .flatMap(({ failures }) => failures)
    .map(({ message }) => finds(check, 'fail', message, []));
  const targets = listed.flatMap((each) => each.targets);
  const findings: Finding[] = [];
  const waiting = targets.entries();
  const reader = async (): Promise<void> => {
    for (const [index, target] of waiting) findings[index] = await serverFinding(target, options, signal);
  };
  await Promise.all(Array.from({ length: readersAtOnce }, reader));
  return [...unlisted, ...findings];
}

const check = accessChecks.serversReachable;

async function serverFinding(
  target: ScrapeTarget,
  options: ServersOptions,
  signal: AbortSignal,
): Promise<Finding> {
  const { component, identity, url, address } = target;
  const name = component === 'gitaly' ? 'Gitaly' : 'Praefect';
  const subject = `${name} ${identityText(identity)}`;
  const place = `${url.origin}${url.pathname}${address === undefined ? '' : ` at ${address}`}`;
  const read = await readPage(target, {
    ...options.limits,
    wanted: new Set(),
    prefixes: [gitalyPrefix, praefectPrefix],
    clock: options.clock,
    resolve: options.resolve,
    readText: options.readText,
    signal,
  });
  if (!read.ok)
    return finds(
      check,
      'fail',
      `${place} ${read.failure.message}`,
      [todo(mends[read.failure.reason] ?? mends.refused), ...(identity.pod === '' ? [] : [outOfReach])],
      { subject },
    );
  const isPraefect = read.page.prefixes.has(praefectPrefix);
  const isGitaly = read.page.prefixes.has(gitalyPrefix) && !isPraefect;
  if (component === 'gitaly' ? isGitaly : isPraefect)
    return passes(check, `${place} in ${Math.round(read.seconds * 1000)} ms`, subject);
  return finds(
    check,
    'fail',
    `${place} has metrics, but ${isPraefect ? "they are Praefect's" : isGitaly ? "they are Gitaly's" : "none of Gitaly's or Praefect's"}`,
    [todo(`Give the address of ${name}'s own metrics (prometheus_listen_addr of its configuration).`)],
    { subject },
  );
}

const outOfReach = todo(
  'From outside of the cluster its pods are out of reach: run doctor where the exporter runs, or with --skip=servers_reachable.',
);

const mends: Partial<Record<FailureReason, string>> & { readonly refused: string } = {
  refused:
    "Set prometheus_listen_addr in its configuration (the chart: gitlab.gitaly.metrics.enabled), and let the exporter's address through to that port (a NetworkPolicy, a firewall).",
  timeout:
    'Look at what drops packets between here and there: a NetworkPolicy, a firewall; or whether the server hangs.',
  tls: 'Set gitaly.scrape.tls.* as the server wants it, or write http:// where it speaks no TLS.',
  authentication: 'Put what the server wants into the file of gitaly.scrape.credentials-file.',
  permission: 'Put what the server wants into the file of gitaly.scrape.credentials-file.',
  http_status: 'Give the path at which it serves its metrics; /metrics is the usual one.',
  parse: 'Give the address of its own metrics: what answers there is something else.',
  too_large: 'Raise gitaly.scrape.max-bytes.',
};
