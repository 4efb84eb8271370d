/** PodDisruptionBudgets. */
import { metaOf } from './meta.ts';
import { count, fields, objectOf, type Parsed, parsed, text } from './reading.ts';
import { labelSelectorOf } from './selector.ts';
import type { PodDisruptionBudget } from './types.ts';

/** policy/v1 PodDisruptionBudget. */
export const disruptionBudgetOf = (raw: unknown): Parsed<PodDisruptionBudget> =>
  parsed(() => {
    const object = objectOf(raw, 'PodDisruptionBudget');
    const spec = fields(object['spec']);
    const status = fields(object['status']);
    const pods = (key: string): number => count(status[key], `status.${key}`);
    const selector = labelSelectorOf(spec['selector']);
    return {
      kind: 'PodDisruptionBudget',
      ...metaOf(object),
      selector: selector?.labels ?? {},
      ...(selector === undefined ? {} : { labelSelector: selector }),
      disruptionsAllowed: pods('disruptionsAllowed'),
      currentHealthy: pods('currentHealthy'),
      desiredHealthy: pods('desiredHealthy'),
      expectedPods: pods('expectedPods'),
      maxUnavailable: intOrText(spec['maxUnavailable']),
      minAvailable: intOrText(spec['minAvailable']),
    };
  });

/** Kubernetes' IntOrString: 1, "25%". */
const intOrText = (value: unknown): string =>
  typeof value === 'number' && Number.isInteger(value) ? String(value) : text(value, 64);
