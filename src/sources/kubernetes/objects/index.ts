/** What the rest of the room reads objects with. */
export { configMapOf } from './config-map.ts';
export { disruptionBudgetOf } from './disruption-budget.ts';
export { eventOf } from './event.ts';
export { nodeOf } from './node.ts';
export { podOf } from './pod.ts';
export { quantityOf } from './quantity.ts';
export type { Parsed } from './reading.ts';
export { labelSelectorOf, selects } from './selector.ts';
export { joinedSelectors, parseSelector } from './selector-text.ts';
export { statefulSetOf } from './stateful-set.ts';
export { timeOf } from './time.ts';
