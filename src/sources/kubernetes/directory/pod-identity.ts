/** A pod of the API as the identity that metrics carry. */
import type { Identity } from '../../identity.ts';
import type { Pod } from '../objects/types.ts';

export const podIdentity = ({ namespace, name, node }: Pod): Identity =>
  Object.freeze({ namespace, pod: name, node });
