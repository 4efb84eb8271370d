/** All checks, in the order of checkIds: that of docs/checks.md, the page and doctor. */
import { type Check, checkIds } from '../check.ts';
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
