/** The names of the variables that every board has, in the order in which they stand on it. */
export const boardVariables = [
  'cluster',
  'namespace',
  'job',
  'instance',
  'virtual_storage',
  'storage',
] as const;
export type BoardVariable = (typeof boardVariables)[number];
