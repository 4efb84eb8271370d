/**
 * Problems of Gitaly's limits: limits that drop requests, servers whose metrics cannot be read, and limits that are
 * not those of config.toml. Pure.
 */
import type { Limit } from '../../config/gitaly/gitaly-config.ts';
import {
  type EpisodeReason,
  type LimitSubject,
  limitKey,
  limitText,
  rateText,
} from '../../sources/gitaly/drops.ts';
import type { LimitState, ServerLimits } from '../../sources/gitaly/limits.ts';
import type { GitalyView } from '../../sources/gitaly/view.ts';
import { components, identityKey, identityText } from '../../sources/identity.ts';
import type { Problem } from './praefect.ts';

/** @param view undefined while /metrics has nothing of Gitaly's servers either */
export function gitalyProblems(view: GitalyView | undefined): readonly Problem[] {
  if (view === undefined) return [];
  return [...dropProblems(view), ...unreadProblems(view), ...view.servers.flatMap(configProblems)];
}

/** One for each limit, whichever servers it is on: what overloads one replica overloads the others. */
function dropProblems({ episodes }: GitalyView): Problem[] {
  const groups = Map.groupBy(episodes, ({ limit }) => limitKey(limit));
  return [...groups].flatMap(([key, group]) => {
    const [first] = group;
    if (first === undefined) return [];
    const perSecond = group.reduce((sum, each) => sum + each.perSecond, 0);
    const reasons = [...new Set(group.map(({ reason }) => reason))];
    return {
      key: `limit ${key}`,
      severity: 'warning' as const,
      title: `${limitText(first.limit)}: requests are dropped on ${listed(group.map(({ identity }) => identityText(identity)))}`,
      detail: `${rateText(perSecond)}: ${reasons.map((reason) => whyText[reason]).join('; ')}. ${clientText(first.limit)}`,
      action: `Find the client in Gitaly's log (fields limit.limiting_key and limit.concurrency_dropped). ${fixText(reasons, first.limit)}`,
      since: Math.min(...group.map(({ since }) => since)) / 1000,
    };
  });
}

const whyText: Readonly<Record<EpisodeReason, string>> = {
  queue_full: 'the queue is full (max_queue_size)',
  queue_wait: 'they wait for longer than max_queue_wait',
  rate: 'more come than [[rate_limiting]] allows',
  load_shed: 'the load shedder ends the costliest calls because the cgroup is short of CPU, memory or I/O',
};

const clientText = (limit: LimitSubject): string =>
  limit === 'pack-objects'
    ? 'Their clones and fetches fail with Internal, which does not mention a limit.'
    : 'They get RESOURCE_EXHAUSTED, which error ratios usually leave out.';

function fixText(reasons: readonly EpisodeReason[], limit: LimitSubject): string {
  if (reasons.includes('load_shed')) return 'The server is short of resources: take load off it.';
  return limit === 'pack-objects'
    ? 'The limit applies per address: if it is one client, reduce its requests; if many share one address (a proxy, CI), raise it if CPU and memory allow.'
    : 'The limit applies per repository: find out what calls it that often. Raise the limit only if CPU and memory allow.';
}

function unreadProblems({ reads }: GitalyView): Problem[] {
  return components.flatMap((component): Problem[] => {
    const unread = reads.filter(
      ({ target, failure }) => target.component === component && failure !== undefined,
    );
    const [first] = unread;
    if (first === undefined) return [];
    const names = unread.map(({ target }) => identityText(target.identity));
    const why = first.failure === undefined ? '' : `${names[0]} ${first.failure.message}.`;
    return [
      {
        key: `unread ${component}`,
        severity: 'warning',
        title: `The metrics of ${component === 'gitaly' ? 'Gitaly' : 'Praefect'} ${listed(names)} cannot be read`,
        detail: `${why}${component === 'gitaly' ? ' The use of its limits is unknown.' : ''}`.trim(),
        action: `Check that it runs, that prometheus_listen_addr is set, and that ${component}.target is right.`,
      },
    ];
  });
}

/** One for each server whose limits are not those of its config.toml: it was not restarted after a change. */
function configProblems({ identity, isRead, rpcs, packObjects }: ServerLimits): Problem[] {
  // Without its configuration there is nothing to compare with.
  const isConfigured = [...rpcs, packObjects].some(({ configured }) => configured !== undefined);
  if (!isRead || !isConfigured) return [];
  // A version that counts drops reports every RPC with a limit; older ones only those that were used.
  const reportsAll = rpcs.some(({ use }) => use?.dropped !== undefined);
  const wrong = rpcs.flatMap((rpc) => {
    const what = disagreement(rpc, !reportsAll || rpc.use?.inProgress !== undefined);
    return what === undefined ? [] : [`${rpc.method} ${what}`];
  });
  // Its own metrics show a pack-objects limit in use whether or not it is fixed: only an adaptive one can differ.
  const packWrong = disagreement(packObjects, true);
  if (packWrong !== undefined) wrong.push(`pack-objects ${packWrong}`);
  if (wrong.length === 0) return [];
  return [
    {
      key: `config ${identityKey(identity)}`,
      severity: 'warning',
      title: `${identityText(identity)} runs with other limits than its config.toml`,
      detail: `${listed(wrong, '; ')}.`,
      action: 'Restart Gitaly so that it reads its configuration, or correct the configuration.',
    },
  ];
}

/** @param isKnown the server reports the limit, or would not report it before it is used */
function disagreement({ configured, adaptive }: LimitState, isKnown: boolean): string | undefined {
  if (configured === undefined)
    return adaptive === undefined
      ? undefined
      : `has an adaptive limit, now ${adaptive}, but none is configured`;
  return configured.kind === 'static'
    ? staticDisagreement(configured.current, adaptive, isKnown)
    : adaptiveDisagreement(configured, adaptive);
}

function staticDisagreement(
  configured: number,
  adaptive: number | undefined,
  isKnown: boolean,
): string | undefined {
  if (adaptive !== undefined)
    return `has an adaptive limit, now ${adaptive}, but a fixed one of ${configured} is configured`;
  return isKnown ? undefined : `has no limit, but ${configured} is configured`;
}

function adaptiveDisagreement(
  { min, max }: Extract<Limit, { kind: 'adaptive' }>,
  current: number | undefined,
): string | undefined {
  if (current === undefined)
    return 'has no adaptive limit, but one is configured (Gitaly has them from GitLab 16.3 on)';
  return current < min || current > max ? `is at ${current}, but ${min} to ${max} is configured` : undefined;
}

/** At most three, each once. */
function listed(names: readonly string[], separator = ', '): string {
  const each = [...new Set(names)];
  const more = each.length - 3;
  return `${each.slice(0, 3).join(separator)}${more > 0 ? ` and ${more} more` : ''}`;
}
