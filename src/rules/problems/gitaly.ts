/**
 * What is wrong with Gitaly's limits right now, in words: which limit turns clients away, which server cannot be
 * read, and where what runs is not what is configured. Pure.
 */

import {
  limitText,
  rateText,
  type TurnedAway,
  type TurningReason,
} from '../../sources/gitaly/dropped-requests.ts';
import type { Rpc } from '../../sources/gitaly/history.ts';
import * as limits from '../../sources/gitaly/metrics.ts';
import type { GitalyView } from '../../sources/gitaly/source.ts';
import { type Identity, identityKey, identityText } from '../../sources/identity.ts';
import type { Problem } from './praefect.ts';
import type { Reading } from './reading.ts';

export interface GitalySituation {
  readonly reading: Reading;
  readonly view: GitalyView;
}

export function gitalyProblems(situation: GitalySituation): readonly Problem[] {
  return [...turnedAwayProblems(situation), ...unreadProblems(situation), ...configProblems(situation)];
}

/** One for each limit, whichever servers it is on: what overloads one replica overloads the others. */
function turnedAwayProblems({ reading, view }: GitalySituation): Problem[] {
  const isRead = ({ identity }: TurnedAway): boolean =>
    reading.value(limits.scrapeUp, { ...identity, component: 'gitaly' }) === 1;
  const groups = Map.groupBy(view.turnedAway.filter(isRead), ({ limit }) =>
    limit === 'pack-objects' ? limit : `${limit.service}/${limit.method}`,
  );
  return [...groups].flatMap(([key, turned]) => {
    const [first] = turned;
    if (first === undefined) return [];
    const perSecond = turned.reduce((sum, each) => sum + each.perSecond, 0);
    const reasons = [...new Set(turned.map(({ reason }) => reason))];
    return {
      key: `limit ${key}`,
      severity: 'warning' as const,
      title: `${limitText(first.limit)}: clients are turned away on ${listed(turned.map(({ identity }) => identityText(identity)))}`,
      detail: `${rateText(perSecond)}: ${reasons.map((reason) => whyText[reason]).join('; ')}. ${toldText(first.limit)}`,
      action: `See in Gitaly's log who is meant (fields limit.limiting_key and limit.concurrency_dropped). ${mendText(reasons, first.limit)}`,
      since: Math.min(...turned.map(({ since }) => since)) / 1000,
    };
  });
}

const whyText: Readonly<Record<TurningReason, string>> = {
  queue_full: 'the queue is full (max_queue_size)',
  queue_wait: 'they wait for longer than max_queue_wait',
  rate: 'more come than [[rate_limiting]] allows',
  load_shed: 'the load shedder ends the costliest calls because the cgroup is short of CPU, memory or I/O',
};

const toldText = (limit: 'pack-objects' | Rpc): string =>
  limit === 'pack-objects'
    ? 'Their clones and fetches fail with Internal, which says nothing of a limit.'
    : 'They are told RESOURCE_EXHAUSTED, which error ratios usually leave out.';

function mendText(reasons: readonly TurningReason[], limit: 'pack-objects' | Rpc): string {
  if (reasons.includes('load_shed')) return 'The server is short of resources: take load off it.';
  return limit === 'pack-objects'
    ? "The limit is for one address: if it is one client's, have it come more rarely; if many come by one address (a proxy, CI), raise it where CPU and memory have room."
    : 'The limit is for one repository: find out what asks for it that often. Raise the limit only where CPU and memory have room.';
}

function unreadProblems({ reading, view }: GitalySituation): Problem[] {
  return limits.components.flatMap((component): Problem[] => {
    const unread = reading
      .series(limits.scrapeUp)
      .filter(({ labels, value }) => labels.component === component && value !== 1);
    const [first] = unread;
    if (first === undefined) return [];
    const failure = view.reads.find(
      ({ target }) =>
        target.component === component && identityKey(target.identity) === identityKey(first.labels),
    )?.failure;
    const name = component === 'gitaly' ? 'Gitaly' : 'Praefect';
    return [
      {
        key: `unread ${component}`,
        severity: 'warning',
        title: `The metrics of ${name} ${listed(unread.map(({ labels }) => identityText(labels)))} cannot be read`,
        detail:
          `${failure === undefined ? '' : `${identityText(first.labels)} ${failure.message}. `}${component === 'gitaly' ? 'What its limits do is not known meanwhile.' : ''}`.trim(),
        action: `Check that it runs, that prometheus_listen_addr is set, and that ${component}.target is right.`,
      },
    ];
  });
}

/** One for each server whose limits are not those of its config.toml: it was not restarted after a change. */
function configProblems({ reading }: GitalySituation): Problem[] {
  const servers = Map.groupBy(reading.series(limits.concurrencyLimit), ({ labels }) => identityKey(labels));
  const packObjects = Map.groupBy(reading.series(limits.packObjectsLimit), ({ labels }) =>
    identityKey(labels),
  );
  return [...new Set([...servers.keys(), ...packObjects.keys()])].flatMap((key): Problem[] => {
    const series = servers.get(key) ?? [];
    const pack = packObjects.get(key) ?? [];
    const identity = (series[0] ?? pack[0])?.labels;
    if (identity === undefined) return [];
    if (reading.value(limits.scrapeUp, { ...identityOf(identity), component: 'gitaly' }) !== 1) return [];
    // Without its configuration there is nothing to compare with.
    const isConfigured = [...series, ...pack].some(
      ({ labels }) => labels.kind === 'static' || labels.bound !== 'current',
    );
    if (!isConfigured) return [];
    const rpcs = Map.groupBy(series, ({ labels }) => `${labels.grpc_service}/${labels.grpc_method}`);
    const known = knownLimits(reading, key);
    const wrong = [...rpcs].flatMap(([rpc, bounds]) => {
      const what = disagreement(bounds, known === undefined || known.has(rpc));
      return what === undefined ? [] : [`${rpc.split('/')[1]} ${what}`];
    });
    // Its own metrics show a pack-objects limit in use whether or not it is fixed: only an adaptive one can differ.
    const packWrong = pack.length === 0 ? undefined : disagreement(pack, true);
    if (packWrong !== undefined) wrong.push(`pack-objects ${packWrong}`);
    if (wrong.length === 0) return [];
    return [
      {
        key: `config ${key}`,
        severity: 'warning',
        title: `${identityText(identityOf(identity))} runs with other limits than its config.toml says`,
        detail: `${listed(wrong, '; ')}.`,
        action: 'Restart Gitaly so that it reads its configuration, or put the configuration right.',
      },
    ];
  });
}

type Bounds = readonly {
  readonly labels: {
    readonly kind: 'static' | 'adaptive';
    readonly bound: 'current' | 'min' | 'max' | 'initial';
  };
  readonly value: number;
}[];

function disagreement(series: Bounds, isKnown: boolean): string | undefined {
  const find = (kind: 'static' | 'adaptive', bound: 'current' | 'min' | 'max'): number | undefined =>
    series.find(({ labels }) => labels.kind === kind && labels.bound === bound)?.value;
  const configured = find('static', 'current');
  const [current, min, max] = [find('adaptive', 'current'), find('adaptive', 'min'), find('adaptive', 'max')];
  if (configured !== undefined) {
    if (current !== undefined)
      return `has an adaptive limit, now ${current}, where a fixed one of ${configured} is configured`;
    return isKnown ? undefined : `has no limit, where ${configured} is configured`;
  }
  if (current === undefined)
    return 'has no adaptive limit, where one is configured (Gitaly knows them from GitLab 16.3 on)';
  if (min === undefined || max === undefined)
    return `has an adaptive limit, now ${current}, where none is configured`;
  return current < min || current > max
    ? `is at ${current}, where ${min} to ${max} is configured`
    : undefined;
}

/** RPCs that the server itself shows a limit of; undefined for one that shows a limit only once it was used. */
function knownLimits(reading: Reading, server: string): ReadonlySet<string> | undefined {
  const own = reading
    .series(limits.concurrencyInProgress)
    .filter(({ labels }) => identityKey(labels) === server);
  const counts = reading.series(limits.requestsDropped).some(({ labels }) => identityKey(labels) === server);
  return counts
    ? new Set(own.map(({ labels }) => `${labels.grpc_service}/${labels.grpc_method}`))
    : undefined;
}

const identityOf = ({ namespace, pod, node }: Identity): Identity => ({ namespace, pod, node });

/** At most three, each once. */
function listed(names: readonly string[], separator = ', '): string {
  const each = [...new Set(names)];
  const more = each.length - 3;
  return `${each.slice(0, 3).join(separator)}${more > 0 ? ` and ${more} more` : ''}`;
}
