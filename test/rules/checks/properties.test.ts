/** Properties of the checks for all inputs: no check throws, and no check passes because a fact is missing. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { checkBlock, checkMetrics } from '../../../src/rules/checks/collector.ts';
import { checks } from '../../../src/rules/checks/definitions/index.ts';
import { type CheckFinding, type Evaluation, evaluate } from '../../../src/rules/checks/evaluate.ts';
import type { CheckInputs } from '../../../src/rules/checks/inputs.ts';
import { checksView } from '../../../src/rules/checks/view.ts';
import { lintBlock } from '../../support/lint-block.ts';
import { captured } from './support.ts';

type Path = readonly string[];
type Tree = Readonly<Record<string, unknown>>;

const isTree = (value: unknown): value is Tree => typeof value === 'object' && value !== null;

/** The paths of all values that match. */
function pathsOf(value: unknown, matches: (value: unknown) => boolean, path: Path = []): readonly Path[] {
  const own = matches(value) ? [path] : [];
  return isTree(value)
    ? [...own, ...Object.entries(value).flatMap(([key, below]) => pathsOf(below, matches, [...path, key]))]
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

/** Keys that the types allow to be absent. */
const optionalKeys: ReadonlySet<string> = new Set([
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

/** Another value of the same type; the kernel's `max` counts as a number. The reason why a fact is unknown is never empty. */
function another(value: unknown, key: string | undefined): fc.Arbitrary<unknown> {
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
      if (key === 'unknown') return fc.string({ minLength: 1 });
      return fc.oneof(
        fc.string(),
        fc.constantFrom('', 'gitlab', 'lab-node-2', 'Guaranteed', 'disable', 'v1.29', 'off', 'gitaly'),
      );
  }
}

const at = (value: unknown, path: Path): unknown =>
  path.reduce<unknown>((below, key) => (isTree(below) ? below[key] : undefined), value);

interface Plan {
  readonly base: number;
  readonly changes: readonly { readonly path: Path; readonly by: unknown }[];
}

/** Up to twelve changes to the captured inputs, as a plan, so that a counterexample is short. */
const plans: fc.Arbitrary<Plan> = fc.constantFrom(...bases.keys()).chain((base) => {
  const leaves = pathsOf(bases[base], (value) => ['string', 'number', 'boolean'].includes(typeof value));
  const droppable = pathsOf(bases[base], (value) => !isFact(value)).filter((path) =>
    optionalKeys.has(path.at(-1) ?? ''),
  );
  const change = fc.oneof(
    {
      weight: 4,
      arbitrary: fc
        .constantFrom(...leaves)
        .chain((path) => another(at(bases[base], path), path.at(-1)).map((by) => ({ path, by }))),
    },
    { weight: 1, arbitrary: fc.constantFrom(...droppable).map((path) => ({ path, by: undefined })) },
  );
  return fc.array(change, { maxLength: 12 }).map((changes) => ({ base, changes }));
});

const changed = ({ base, changes }: Plan): CheckInputs =>
  changes.reduce<unknown>((inputs, { path, by }) => replaced(inputs, path, by), bases[base]) as CheckInputs;

const withoutFact = (inputs: unknown, path: Path): unknown => replaced(inputs, path, { unknown: 'removed' });

const keyOf = ({ id, labels }: CheckFinding): string => JSON.stringify([id, labels]);

const passing = ({ findings }: Evaluation): readonly string[] =>
  findings.filter(({ result }) => result === 'pass').map(keyOf);

describe('for any content of the objects', () => {
  test('no check throws, and each has a text or a reason', () => {
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

  test('the metrics match their declarations, and the page can be rendered', () => {
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

test('no check passes because facts are missing', () => {
  const facts = bases.map((base) => pathsOf(base, isFact));
  const removals = plans.chain((plan) =>
    fc
      .subarray([...(facts[plan.base] ?? [])], { minLength: 1, maxLength: 4 })
      .map((paths) => ({ plan, paths })),
  );
  fc.assert(
    fc.property(removals, ({ plan, paths }) => {
      const inputs = changed(plan);
      const less = paths.reduce<unknown>(withoutFact, inputs) as CheckInputs;
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

test('no check of the captured variants passes because one fact is missing', () => {
  for (const base of bases) {
    const before = new Set(passing(evaluate(base)));
    for (const path of pathsOf(base, isFact)) {
      const less = withoutFact(base, path) as CheckInputs;
      expect(passing(evaluate(less)).filter((key) => !before.has(key))).toEqual([]);
    }
  }
});
