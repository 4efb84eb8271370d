/**
 * Proposals as configuration to copy: values of the GitLab chart, and lines of the Linux package's gitlab.rb. Names of
 * the chart: its values.yaml (cgroups, resources, extraEnv, shell.concurrency); of gitlab.rb: GitLab's pages "Cgroups" and
 * "Concurrency limiting" (gitaly['configuration'], from GitLab 15.10 on). Pure.
 */
import { bytesText } from '../../lib/format.ts';
import type { ProposedBuckets, ProposedLimit } from './limit-sizing.ts';
import { type ProposedSize, type SizeId, sizeOf } from './sizing.ts';

export interface Proposals {
  readonly sizes: readonly ProposedSize[];
  readonly buckets: ProposedBuckets | undefined;
  /** Those that are written have a change: a list in both forms replaces the whole list. */
  readonly limits: readonly ProposedLimit[];
}

/** The name of the pack-objects limit among those of RPCs. */
export const packObjectsName = 'pack-objects';

/** Values of the GitLab chart: those that are known. Undefined where none is. */
export function helmValues({ sizes, buckets, limits }: Proposals): string | undefined {
  const size = (id: SizeId): number | undefined => sizeOf(sizes, id);
  const memory = size('memory_bytes');
  const cpu = size('cpu_cores');
  const go = size('go_memory_limit_bytes');
  const both = [
    ...(cpu === undefined ? [] : [`cpu: "${cpu}"`]),
    ...(memory === undefined ? [] : [`memory: ${memory / 2 ** 20}Mi`]),
  ].join(', ');
  const cgroups = cgroupLines(sizes, buckets, {
    memory: (bytes) => `memoryBytes: ${bytes} # ${bytesText(bytes)}`,
    count: (count) => `count: ${count}`,
    nested: (lines) => ['repositories:', ...indented(lines)],
  });
  const rpcs = rpcLimits(limits);
  const lines = [
    ...(both === '' ? [] : ['resources:', `  requests: {${both}}`, `  limits: {${both}}`]),
    ...(cgroups.length === 0 ? [] : ['cgroups:', '  enabled: true', ...indented(cgroups)]),
    ...(go === undefined ? [] : ['gomemlimit:', '  enabled: false', 'extraEnv:', `  GOMEMLIMIT: "${go}"`]),
    ...(rpcs.length === 0
      ? []
      : [
          'shell:',
          '  concurrency: # replaces the whole list: add your queue sizes and waits',
          ...rpcs.flatMap(({ name, value, kind }) =>
            kind === 'static'
              ? [`    - rpc: "/${name}"`, `      maxPerRepo: ${value}`]
              : [
                  `    - rpc: "/${name}" # with your minLimit and initialLimit`,
                  '      adaptive: true',
                  `      maxLimit: ${value}`,
                ],
          ),
        ]),
  ];
  return lines.length === 0 ? undefined : ['gitlab:', '  gitaly:', ...indented(indented(lines))].join('\n');
}

/** Lines of gitlab.rb: those that are known. Undefined where none is. */
export function gitlabRb({ sizes, buckets, limits }: Proposals): string | undefined {
  const cgroups = cgroupLines(sizes, buckets, {
    memory: (bytes) => `memory_bytes: ${bytes}, # ${bytesText(bytes)}`,
    count: (count) => `count: ${count},`,
    nested: (lines) => ['repositories: {', ...indented(lines), '},'],
  });
  const rpcs = rpcLimits(limits);
  const packObjects = limits.find(({ name, change }) => name === packObjectsName && change !== 'keep');
  const lines = [
    ...(cgroups.length === 0 ? [] : ['cgroups: {', '  # ...', ...indented(cgroups), '},']),
    ...(rpcs.length === 0
      ? []
      : [
          'concurrency: [ # the whole list: add your queue sizes and waits',
          ...rpcs.map(({ name, value, kind }) =>
            kind === 'static'
              ? `  { rpc: '/${name}', max_per_repo: ${value} },`
              : `  { rpc: '/${name}', adaptive: true, max_limit: ${value} }, # with your min_limit and initial_limit`,
          ),
          '],',
        ]),
    ...(packObjects === undefined
      ? []
      : [
          'pack_objects_limiting: {',
          `  ${packObjects.kind === 'static' ? 'max_concurrency' : 'max_limit'}: ${packObjects.value},`,
          '},',
        ]),
  ];
  return lines.length === 0
    ? undefined
    : ["gitaly['configuration'] = {", '  # ...', ...indented(lines), '}'].join('\n');
}

interface CgroupForm {
  readonly memory: (bytes: number) => string;
  readonly count: (count: number) => string;
  readonly nested: (lines: readonly string[]) => readonly string[];
}

function cgroupLines(
  sizes: readonly ProposedSize[],
  buckets: ProposedBuckets | undefined,
  { memory, count, nested }: CgroupForm,
): readonly string[] {
  const git = sizeOf(sizes, 'git_memory_bytes');
  const bucket = sizeOf(sizes, 'repository_memory_bytes');
  const repositories = [
    ...(buckets === undefined ? [] : [count(buckets.count)]),
    ...(bucket === undefined ? [] : [memory(bucket)]),
  ];
  return [
    ...(git === undefined ? [] : [memory(git)]),
    ...(repositories.length === 0 ? [] : nested(repositories)),
  ];
}

/** All limits of RPCs where one of them changes, since both forms replace the whole list. */
function rpcLimits(limits: readonly ProposedLimit[]): readonly ProposedLimit[] {
  const rpcs = limits.filter(({ name }) => name !== packObjectsName);
  return rpcs.some(({ change }) => change !== 'keep') ? rpcs : [];
}

const indented = (lines: readonly string[]): readonly string[] => lines.map((line) => `  ${line}`);
