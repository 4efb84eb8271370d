/** All checks, in the order of their names' list: that of docs/checks.md and of what people see. */
import type { Check } from '../check.ts';
import { checkIds } from '../ids.ts';
import { cgroupChecks } from './cgroups.ts';
import { memoryChecks } from './memory.ts';
import { platformChecks } from './platform.ts';
import { praefectChecks } from './praefect.ts';
import { rotationChecks } from './rotation.ts';
import { schedulingChecks } from './scheduling.ts';
import { serviceChecks } from './service.ts';

export const checks: readonly Check[] = [
  ...platformChecks,
  ...cgroupChecks,
  ...memoryChecks,
  ...schedulingChecks,
  ...rotationChecks,
  ...serviceChecks,
  ...praefectChecks,
].toSorted((a, b) => checkIds.indexOf(a.id) - checkIds.indexOf(b.id));
