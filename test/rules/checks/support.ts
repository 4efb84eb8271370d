/** The inputs of the checks' tests: objects as a real API server returned them, and the other facts that match them. */
import type { GitalyConfig } from '../../../src/config/gitaly/gitaly-config.ts';
import { parseGitalyConfig } from '../../../src/config/gitaly/gitaly-config.ts';
import { known, notApplicable, unknown } from '../../../src/lib/known.ts';
import type { Check, CheckId } from '../../../src/rules/checks/check.ts';
import { checks } from '../../../src/rules/checks/definitions/index.ts';
import { type CheckFinding, evaluate } from '../../../src/rules/checks/evaluate.ts';
import type { CheckInputs } from '../../../src/rules/checks/inputs.ts';
import type { CgroupFacts } from '../../../src/sources/cgroup/facts.ts';
import type { Parsed } from '../../../src/sources/kubernetes/objects/fields.ts';
import {
  configMapOf,
  disruptionBudgetOf,
  nodeOf,
  statefulSetOf,
} from '../../../src/sources/kubernetes/objects/kinds.ts';
import { podOf } from '../../../src/sources/kubernetes/objects/pod.ts';
import { archive } from '../../support/kubernetes-archive.ts';

export type Variant = 'posture-good' | 'posture-chart-defaults';

const GiB = 2 ** 30;

/** Derived from the objects by the rules of the kubelet and of Gitaly: no kernel ran these pods. */
const cgroups: Readonly<Record<Variant, CgroupFacts>> = {
  'posture-good': {
    layout: 'sibling',
    podMemoryMax: known(10 * GiB),
    gitMemoryMax: known(8 * GiB),
    enclosingMemoryMax: known({ path: 'kubepods.slice/kubepods-podUID.slice', max: 10 * GiB }),
    bucketMemoryMax: known(4 * GiB),
    repositoryCgroups: known(1),
    hasGitRun: known(true),
    ownerUid: known(1000),
  },
  'posture-chart-defaults': {
    layout: 'none',
    podMemoryMax: known('max'),
    gitMemoryMax: notApplicable('there is no gitaly-<pid>'),
    enclosingMemoryMax: notApplicable('there is no gitaly-<pid>'),
    bucketMemoryMax: notApplicable('there is no gitaly-<pid>'),
    repositoryCgroups: known(0),
    hasGitRun: notApplicable('there is no gitaly-<pid>'),
    ownerUid: known(0),
  },
};

/**
 * The captured objects, with retries and rotations as measured there, and with healthy volumes, swap and PostgreSQL.
 */
export function captured(variant: Variant): CheckInputs {
  const { items } = archive(variant);
  const all = <T>(file: string, parse: (raw: unknown) => Parsed<T>): readonly T[] =>
    items(`at-rest/${file}.json`).map((raw) => {
      const parsed = parse(raw);
      if (!parsed.ok) throw new Error(parsed.why);
      return parsed.object;
    });
  const pods = all('pods', podOf);
  const nodes = all('nodes', nodeOf);
  const texts = new Map(
    all('configmaps', configMapOf).map(({ name, data }) => [name, data['config.toml.tpl'] ?? '']),
  );
  const gitalyPods = pods.filter(({ labels }) => labels['app'] === 'gitaly');
  const good = variant === 'posture-good';
  return {
    now: Date.parse('2026-11-23T00:40:00Z'),
    gitalyPods: known(gitalyPods),
    praefectPods: known(pods.filter(({ labels }) => labels['app'] === 'praefect')),
    statefulSets: known(all('statefulsets', statefulSetOf)),
    disruptionBudgets: known(all('poddisruptionbudgets', disruptionBudgetOf)),
    nodes: known(nodes),
    otherPods: known([
      { namespace: 'shop', name: 'web-0', priority: 1000 },
      { namespace: 'kube-system', name: 'kube-proxy', priority: 2_000_001_000 },
    ]),
    servers: gitalyPods.map(({ namespace, name, node, configMaps }) => ({
      identity: { namespace, pod: name, node },
      config: known(configOf(texts.get(configMaps[0] ?? '') ?? '')),
      cgroup: known(cgroups[variant]),
      volume: known({
        capacityBytes: 50 * GiB,
        availableBytes: 30 * GiB,
        inodes: known({ total: 3_276_800, free: 2_900_000 }),
      }),
      rotationSeconds: known(good ? 14 : 38),
    })),
    nodeFacts: nodes.map(({ name }) => ({
      node: name,
      cgroupVersion: known('v2'),
      cgroupDriver: known('systemd'),
      nsdelegate: known(false),
      runcVersion: good ? known('1.3.3') : unknown('not reported'),
      swapBytes: known(0),
      memoryBytes: known(64 * GiB),
    })),
    clientRetrySeconds: known(good ? 60 : 1.4),
    praefect: known({
      connections: [
        known({
          configuration: 'ConfigMap gitlab/gl-praefect, config.toml.tpl',
          sslMode: /sslmode = '([^']*)'/.exec(texts.get('gl-praefect') ?? '')?.[1] ?? '',
          host: 'postgresql.example',
        }),
      ],
      postgresqlVersion: known('16.10 (Debian 16.10-1.pgdg13+1)'),
      schemaReleases: unknown('not read'),
      instances: notApplicable('the StatefulSet shows it'),
    }),
  };
}

export function configOf(text: string): GitalyConfig {
  const parsed = parseGitalyConfig(text, 'config.toml');
  if (!parsed.ok) throw new Error(parsed.problems.map(({ message }) => message).join('; '));
  return parsed.value;
}

export const checkOf = (id: CheckId): Check => {
  const check = checks.find((each) => each.id === id);
  if (check === undefined) throw new Error(`no check ${id}`);
  return check;
};

export const findingsOf = (inputs: CheckInputs, id: CheckId): readonly CheckFinding[] =>
  evaluate(inputs, (check) => check.id === id).findings;

/** The result that all subjects share, or `mixed`; an unknown one with its reason. */
export function resultOf(inputs: CheckInputs, id: CheckId): string {
  const found = new Set(
    findingsOf(inputs, id).map(({ result, reason, notApplicable: na }) =>
      result === 'unknown' ? `${na ? 'n/a' : 'unknown'}: ${reason}` : result,
    ),
  );
  return found.size === 1 ? String([...found][0]) : `mixed: ${[...found].join(' | ')}`;
}
