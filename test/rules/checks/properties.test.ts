/** What holds for every input: no check throws, and nothing that is taken away makes anything pass. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { lintBlock } from '../../../src/metrics/lint-block.ts';
import { checksView } from '../../../src/rules/checks/api.ts';
import { checkBlock, checkMetrics } from '../../../src/rules/checks/collector.ts';
import { checks } from '../../../src/rules/checks/definitions/index.ts';
import { type CheckFinding, type Evaluation, evaluate } from '../../../src/rules/checks/evaluate.ts';
import type { CheckInputs } from '../../../src/rules/checks/inputs.ts';
import { captured } from './support.ts';

type Path = readonly string[];
type Tree = Readonly<Record<string, unknown>>;

const isTree = (value: unknown): value is Tree => typeof value === 'object' && value !== null;

/** Every place in the inputs, by its path: the leaves, or the facts. */
function places(value: unknown, wanted: (value: unknown) => boolean, path: Path = []): readonly Path[] {
  const own = wanted(value) ? [path] : [];
  return isTree(value)
    ? [...own, ...Object.entries(value).flatMap(([key, below]) => places(below, wanted, [...path, key]))]
    : own;
}

function replaced(value: unknown, [key, ...rest]: Path, by: unknown): unknown {
  if (key === undefined) return by;
  if (Array.isArray(value))
    return value.map((each, i) => (String(i) === key ? replaced(each, rest, by) : each));
  return isTree(value) ? { ...value, [key]: replaced(value[key], rest, by) } : value;
}

const bases = [captured('posture-good'), captured('posture-chart-defaults')];
const isFact = (value: unknown): boolean => isTree(value) && ('value' in value || 'unknown' in value);

/** What the types allow to be missing: an object without it. */
const optional: ReadonlySet<string> = new Set([
  'owner',
  'startupProbe',
  'readinessProbe',
  'memoryRequest',
  'memoryLimit',
  'cpuRequest',
  'cpuLimit',
  'priority',
  'runAsUser',
  'terminationGracePeriodSeconds',
  'swapBytes',
  'GOMEMLIMIT',
  'labelSelector',
  'memoryBytes',
  'startedAt',
  'cluster-autoscaler.kubernetes.io/safe-to-evict',
]);

/** Another value of the same type; the kernel's `max` is a number, too. */
function another(value: unknown): fc.Arbitrary<unknown> {
  switch (value === 'max' ? 'number' : typeof value) {
    case 'number':
      return fc.oneof(
        fc.integer({ min: -2, max: 2000 }),
        fc.constantFrom(0, 2 ** 30, 2 ** 33, 2 ** 53, Infinity, Number.NaN),
        fc.double(),
      );
    case 'boolean':
      return fc.boolean();
    default:
      return fc.oneof(
        fc.string(),
        fc.constantFrom('', 'gitlab', 'lab-node-2', 'Guaranteed', 'disable', 'v1.29', 'off', 'gitaly'),
      );
  }
}

const at = (value: unknown, path: Path): unknown =>
  path.reduce<unknown>((now, key) => (isTree(now) ? now[key] : undefined), value);

interface Plan {
  readonly base: number;
  readonly changes: readonly { readonly path: Path; readonly by: unknown }[];
}

/** The captured inputs with up to twelve places changed: as a plan, so that what fails is short to read. */
const plans: fc.Arbitrary<Plan> = fc.constantFrom(...bases.keys()).chain((base) => {
  const leaves = places(bases[base], (value) => ['string', 'number', 'boolean'].includes(typeof value));
  const droppable = places(bases[base], (value) => !isFact(value)).filter((path) =>
    optional.has(path.at(-1) ?? ''),
  );
  const change = fc.oneof(
    {
      weight: 4,
      arbitrary: fc
        .constantFrom(...leaves)
        .chain((path) => another(at(bases[base], path)).map((by) => ({ path, by }))),
    },
    { weight: 1, arbitrary: fc.constantFrom(...droppable).map((path) => ({ path, by: undefined })) },
  );
  return fc.array(change, { maxLength: 12 }).map((changes) => ({ base, changes }));
});

const changed = ({ base, changes }: Plan): CheckInputs =>
  changes.reduce<unknown>((now, { path, by }) => replaced(now, path, by), bases[base]) as CheckInputs;

const takenAway = (inputs: unknown, path: Path): unknown => replaced(inputs, path, { unknown: 'taken away' });

const keyOf = ({ id, labels }: CheckFinding): string => JSON.stringify([id, labels]);

const passing = ({ findings }: Evaluation): readonly string[] =>
  findings.filter(({ result }) => result === 'pass').map(keyOf);

describe('whatever stands in the objects', () => {
  test('no check throws, and each says what it found or why it cannot', () => {
    fc.assert(
      fc.property(plans, (plan) => {
        const inputs = changed(plan);
        for (const check of checks)
          for (const judged of check.run(inputs))
            expect(judged.result === 'unknown' ? judged.reason : judged.found).not.toBe('');
      }),
      { numRuns: 250 },
    );
  });

  test('the metrics keep to their contract, and the page can be made', () => {
    fc.assert(
      fc.property(plans, (plan) => {
        const evaluation = evaluate(changed(plan));
        expect(lintBlock(checkBlock(evaluation), checkMetrics)).toEqual([]);
        const page = checksView(evaluation, evaluation.at);
        const { pass, fail, unknown, notApplicable } = page.summary;
        if (page.state === 'current')
          expect(pass + fail + unknown + notApplicable).toBe(evaluation.findings.length);
      }),
      { numRuns: 150 },
    );
  });
});

test('taking facts away makes nothing pass', () => {
  const facts = bases.map((base) => places(base, isFact));
  const taken = plans.chain((plan) =>
    fc
      .subarray([...(facts[plan.base] ?? [])], { minLength: 1, maxLength: 4 })
      .map((paths) => ({ plan, paths })),
  );
  fc.assert(
    fc.property(taken, ({ plan, paths }) => {
      const inputs = changed(plan);
      const less = paths.reduce<unknown>(takenAway, inputs) as CheckInputs;
      const before = new Map(evaluate(inputs).findings.map((finding) => [keyOf(finding), finding]));
      const better = passing(evaluate(less)).filter((key) => {
        const was = before.get(key);
        return was?.result !== 'pass' && was?.notApplicable !== true;
      });
      expect(better).toEqual([]);
    }),
    { numRuns: 250 },
  );
});

test('taking any one fact away from the captured variants makes nothing pass', () => {
  for (const base of bases) {
    const before = new Set(passing(evaluate(base)));
    for (const path of places(base, isFact)) {
      const less = takenAway(base, path) as CheckInputs;
      expect(passing(evaluate(less)).filter((key) => !before.has(key))).toEqual([]);
    }
  }
});
