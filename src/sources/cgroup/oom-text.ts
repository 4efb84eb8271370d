/** OOM kills in words: for the log, the events and the page. */

import { bytesText } from '../../lib/format.ts';
import { identityText } from '../identity.ts';
import type { OomKill, OomLevel } from './oom/record.ts';

/** `OOM kill in gitlab/gl-gitaly-0, bucket 3: its own limit of 100 MiB ran out; 1 process (anon 99 MiB)`. */
export function oomKillText(kill: OomKill): string {
  const { processes, memory, fromAncestor } = kill;
  const anon = memory.anon === undefined ? '' : ` (anon ${bytesText(memory.anon)} right after)`;
  const gone = fromAncestor
    ? '; its cgroup was gone when it was read, so the level is the nearest that fits'
    : '';
  return `OOM kill in ${identityText(kill.identity)}${placeText(kill)}: ${causeText(kill)}; ${processes} ${processes === 1 ? 'process' : 'processes'}${anon}${gone}`;
}

const placeText = ({ bucket, container }: OomKill): string =>
  bucket !== undefined ? `, bucket ${bucket}` : container !== undefined ? `, container ${container}` : '';

function causeText({ level, memory, container }: OomKill): string {
  const limit = memory.limit === undefined ? 'limit' : `limit of ${bytesText(memory.limit)}`;
  switch (level) {
    case 'bucket':
      return `its own ${limit} ran out`;
    case 'git':
      return `the ${limit} of all Git processes together ran out`;
    case 'container':
      return container === undefined ? `the container's ${limit} ran out` : `its own ${limit} ran out`;
    case 'pod':
      return `the pod's ${limit} ran out`;
    case 'node':
      return "the node's memory ran out, no limit of Gitaly's";
  }
}

/** Whose memory it was that ran out, in a few words. */
export const oomLevelText: Readonly<Record<OomLevel, string>> = {
  bucket: "a bucket's own limit",
  git: 'the limit of all Git processes',
  container: "the container's limit",
  pod: "the pod's limit",
  node: "the node's memory",
};
