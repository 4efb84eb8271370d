/** Right-sizing as doctor prints it, from a history or from one reading. Pure. */
import { bytesText, durationText, listText } from '../../lib/format.ts';
import type { ProposedBuckets, ProposedLimit } from '../../rules/checks/limit-sizing.ts';
import type { ProposedSize, SizeId, SizingProposal } from '../../rules/checks/sizing.ts';

/** Servers with the same configuration: the pods of a namespace, or one host. */
export interface SizingGroup {
  readonly name: string;
  readonly servers: readonly string[];
  /** In which at least one of them was measured. */
  readonly historySeconds: number;
  /** False: with less than a day, nothing should be changed because of it. */
  readonly isAdvice: boolean;
  readonly confidence: SizingProposal['confidence'];
  readonly caveats: readonly string[];
  readonly sizes: readonly ProposedSize[];
  readonly buckets: ProposedBuckets | undefined;
  readonly limits: readonly ProposedLimit[];
  /** In that time; undefined: not measured. */
  readonly oomKills: number | undefined;
  /** To copy; undefined where nothing is advised. */
  readonly helm: string | undefined;
  readonly gitlabRb: string | undefined;
}

export interface SizingReport {
  /** What it is calculated from: `the last 14 days in Prometheus`. */
  readonly basis: string;
  readonly groups: readonly SizingGroup[];
  /** What is missing or partial. */
  readonly problems: readonly string[];
}

/** A line of the report: prose is wrapped, lines to copy are not. */
export interface SizingLine {
  readonly text: string;
  readonly isCopied: boolean;
  readonly indent?: number;
}

/** Empty without a group and a problem. */
export function sizingLines({ basis, groups, problems }: SizingReport): readonly SizingLine[] {
  if (groups.length === 0 && problems.length === 0) return [];
  return [
    ...(basis === '' ? [] : [prose(basis)]),
    ...problems.map(prose),
    ...groups.flatMap((group) => [
      prose(headline(group)),
      ...group.caveats.map((caveat) => detail(`caveat: ${caveat}`)),
      ...group.sizes.map(({ id, value, current, calculation }) =>
        detail(`${id} ${amountText(id, value)} (${currentText(id, current)}): ${calculation}`),
      ),
      ...bucketLines(group.buckets),
      ...group.limits.map(({ name, value, current, change, calculation }) =>
        detail(
          `limit of ${name}: ${change} ${change === 'keep' ? current : `${current} to ${value}`}: ${calculation}`,
        ),
      ),
      ...copied('Helm values', group.helm),
      ...copied('gitlab.rb', group.gitlabRb),
    ]),
  ];
}

function headline({ name, servers, historySeconds, isAdvice, confidence, oomKills }: SizingGroup): string {
  if (historySeconds === 0) return `${name}: one reading`;
  const measured = `${durationText(historySeconds * 1000)} of history`;
  const kills = oomKills === undefined ? '' : `, ${oomKills} OOM kills`;
  const verdict = isAdvice
    ? `confidence ${confidence}`
    : 'too little to advise: at least a day is needed, better a working week';
  const of = servers.length === 1 && servers[0] === name ? '' : ` (${listText(servers)})`;
  return `${name}${of}: ${measured}${kills}; ${verdict}`;
}

const bucketLines = (buckets: ProposedBuckets | undefined): readonly SizingLine[] =>
  buckets === undefined
    ? []
    : [detail(`repository_count ${buckets.count} (currently ${buckets.current}): ${buckets.calculation}`)];

const copied = (title: string, text: string | undefined): readonly SizingLine[] =>
  text === undefined
    ? []
    : [detail(`${title}:`), ...text.split('\n').map((line) => ({ text: `      ${line}`, isCopied: true }))];

const prose = (text: string): SizingLine => ({ text, isCopied: false });

const detail = (text: string): SizingLine => ({ text, isCopied: false, indent: 2 });

const amountText = (id: SizeId, value: number): string =>
  id === 'cpu_cores' ? `${value} cores` : Number.isFinite(value) ? bytesText(value) : 'off';

const currentText = (id: SizeId, value: number | undefined): string =>
  value === undefined ? 'not set' : `currently ${value < 0 ? 'below 0' : amountText(id, value)}`;
