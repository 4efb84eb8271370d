/** How many buckets a Gitaly has: from its config.toml, or from whoever asks. */

import { parseGitalyConfig } from '../config/gitaly/gitaly-config.ts';
import { templateValue } from '../config/gitaly/template.ts';
import { problemText } from '../config/problem.ts';
import type { BucketSizes } from '../sources/cgroup/buckets/hash.ts';
import type { ConfigSource } from '../sources/gitaly/target.ts';
import { type Identity, identityText } from '../sources/identity.ts';

/** What a configuration says of buckets. */
export interface KnownGitaly {
  /** For messages: a path, or which ConfigMap. */
  readonly name: string;
  readonly identities: readonly Identity[];
  readonly storages: readonly string[];
  /** count is 0 where Git runs in no cgroups of its own. */
  readonly sizes: BucketSizes;
}

export interface KnownGitalys {
  readonly gitalys: readonly KnownGitaly[];
  /** Why there may be more, one sentence each. */
  readonly failures: readonly string[];
}

export async function readGitalys(
  sources: readonly ConfigSource[],
  signal: AbortSignal,
): Promise<KnownGitalys> {
  const gitalys: KnownGitaly[] = [];
  const failures: string[] = [];
  for (const read of await Promise.all(sources.map((source) => source.read(signal)))) {
    failures.push(...read.failures.map(({ message }) => message));
    for (const { name, text, identities } of read.texts) {
      const config = parseGitalyConfig(text, name);
      if (!config.ok) {
        failures.push(...config.problems.map(problemText));
        continue;
      }
      const { storages, cgroups } = config.value;
      const { count, maxCgroupsPerRepo } = cgroups.repositories;
      gitalys.push({
        name,
        identities,
        // Behind Praefect the chart names each storage after its pod.
        storages: storages.flatMap((storage) =>
          storage === templateValue
            ? identities.map(({ pod }) => pod).filter((pod) => pod !== '')
            : [storage],
        ),
        sizes: { count, maxCgroupsPerRepo },
      });
    }
  }
  return { gitalys, failures };
}

/** Which Gitaly is asked for, as far as somebody said. */
export interface SizesAsked {
  readonly storage?: string | undefined;
  /** A pod's or a node's name. */
  readonly server?: string | undefined;
  readonly count?: number | undefined;
  readonly maxCgroupsPerRepo?: number | undefined;
}

/** What the sizes are set with, in the words of whoever asks: `--count`, or `the parameter count`. */
export interface SizesWords {
  readonly count: string;
  readonly storage: string;
}

export type SizesFound =
  | { readonly ok: true; readonly sizes: BucketSizes }
  /** `problem` is for people: what is missing, and how to give it. `without`: there are no buckets, and that is known. */
  | { readonly ok: false; readonly problem: string; readonly without: boolean };

/** What was asked for comes before what is configured. */
export function sizesFor(known: KnownGitalys, asked: SizesAsked, words: SizesWords): SizesFound {
  const meant = meantGitalys(known.gitalys, asked);
  const [first] = meant;
  const limits = new Set(meant.map(({ sizes }) => sizes.maxCgroupsPerRepo));
  if (asked.count !== undefined) {
    const maxCgroupsPerRepo =
      asked.maxCgroupsPerRepo ?? (limits.size === 1 ? first?.sizes.maxCgroupsPerRepo : undefined) ?? 1;
    return { ok: true, sizes: { count: asked.count, maxCgroupsPerRepo } };
  }
  const problem = (text: string): SizesFound => ({ ok: false, problem: text, without: false });
  if (first === undefined)
    return problem(
      [
        `how many buckets there are is not known: give ${words.count} ([cgroups.repositories] count of Gitaly's config.toml), or let gitaly.config-file name that file`,
        ...known.failures,
      ].join('; '),
    );
  const unlike = meant.find(({ sizes: { count } }) => count !== first.sizes.count);
  if (unlike !== undefined || limits.size > 1)
    return problem(
      `Gitalys have different buckets (${meant.map(sizesText).join('; ')}): give ${words.storage} or ${words.count}`,
    );
  if (first.sizes.count === 0)
    return {
      ok: false,
      without: true,
      problem: `${first.name} sets no count in [cgroups.repositories]: Git runs in no buckets there. If Gitaly is configured elsewhere, give ${words.count}`,
    };
  const { count, maxCgroupsPerRepo } = first.sizes;
  return { ok: true, sizes: { count, maxCgroupsPerRepo: asked.maxCgroupsPerRepo ?? maxCgroupsPerRepo } };
}

/** Those that the question names; all of them when it names none that is known. */
export function meantGitalys(
  gitalys: readonly KnownGitaly[],
  { storage, server }: Pick<SizesAsked, 'storage' | 'server'>,
): readonly KnownGitaly[] {
  const byServer =
    server === undefined ? gitalys : gitalys.filter(({ identities }) => identities.some(isCalled(server)));
  const possible = byServer.length > 0 ? byServer : gitalys;
  if (storage === undefined) return possible;
  const named = possible.filter(
    ({ storages, identities }) => storages.includes(storage) || identities.some(isCalled(storage)),
  );
  return named.length > 0 ? named : possible;
}

const isCalled =
  (name: string) =>
  ({ pod, node }: Identity): boolean =>
    pod === '' ? node === name : pod === name || node === name;

const sizesText = ({ identities, name, sizes }: KnownGitaly): string =>
  `${identities.map(identityText).join(', ') || name}: ${sizes.count}${sizes.maxCgroupsPerRepo > 1 ? `, up to ${sizes.maxCgroupsPerRepo} for each repository` : ''}`;
