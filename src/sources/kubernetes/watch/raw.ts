/** What the API server sent, before it is known to be an object of some kind. */
import { cut } from '../objects/fields.ts';

/** The fields of an object; none when it is none. */
export const record = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Readonly<Record<string, unknown>>)
    : {};

/** metadata.resourceVersion; '' when there is none. */
export function versionOf(raw: unknown): string {
  const { resourceVersion } = record(record(raw)['metadata']);
  return typeof resourceVersion === 'string' && resourceVersion.length <= 64 ? resourceVersion : '';
}

/** For people: `gitlab/gl-gitaly-0`, as far as it can be told. */
export function nameOf(raw: unknown): string {
  const { namespace, name } = record(record(raw)['metadata']);
  const shown = (value: unknown): string => (typeof value === 'string' ? cut(value, 253) : '');
  return shown(namespace) === ''
    ? shown(name) || 'an object without a name'
    : `${shown(namespace)}/${shown(name)}`;
}

/** Undefined when it is no JSON. */
export function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (isSyntaxError(error)) return undefined;
    throw error;
  }
}

/** By name: under jest the engine's own errors are of another realm. */
export const isSyntaxError = (error: unknown): boolean =>
  typeof error === 'object' && error !== null && 'name' in error && error.name === 'SyntaxError';
