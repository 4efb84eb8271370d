/** The names of the variables of each kind of board, in the order in which they stand on it. */

/** Of boards on Praefect's database: `namespace` is the exporter's own, as its series have no other. */
export const praefectVariables = [
  'cluster',
  'namespace',
  'job',
  'instance',
  'virtual_storage',
  'storage',
] as const;

/**
 * Of boards on Gitaly's servers, whose series have a namespace of their own. Under another name than the exporter's,
 * so that a choice on one kind of board does not empty the other kind.
 */
export const serverVariables = ['cluster', 'job', 'instance', 'gitaly_namespace', 'pod', 'node'] as const;

export type PraefectVariable = (typeof praefectVariables)[number];
export type ServerVariable = (typeof serverVariables)[number];
export type BoardVariable = PraefectVariable | ServerVariable;

/** The label that a variable chooses by. */
export const labelOf = (variable: BoardVariable): Exclude<BoardVariable, 'gitaly_namespace'> =>
  variable === 'gitaly_namespace' ? 'namespace' : variable;
