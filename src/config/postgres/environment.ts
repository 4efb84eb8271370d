/** libpq's PG* variables (PostgreSQL documentation, 34.15): defaults for whatever an address leaves open. */

import { Secret } from '../../lib/secret.ts';
import { bad, type Checked, good, type Origin, problemAt } from '../problem.ts';
import type { Environment } from '../system.ts';
import {
  isKeyword,
  keywordVariables,
  type Parameter,
  type Parameters,
  refusal,
  refusedKeywords,
} from './keywords.ts';

/** What the variables say of a connection; a variable that we cannot honour is a problem, an empty one is not set. */
export function variableParameters(env: Environment): Checked<Parameters> {
  const problems = Object.entries(refusedKeywords).flatMap(([name, { variable }]) => {
    if (variable === undefined) return [];
    const refused = refusal(name, env[variable] ?? '');
    return refused === undefined ? [] : [problemAt(from(variable), refused)];
  });
  if (problems.length > 0) return bad(...problems);

  const parameters: { -readonly [Name in keyof Parameters]: Parameters[Name] } = {};
  for (const [name, variable] of Object.entries(keywordVariables)) {
    const value = env[variable];
    if (value === undefined || value === '' || !isKeyword(name)) continue;
    if (name === 'password') parameters.password = { value: new Secret(value), origin: from(variable) };
    else parameters[name] = { value, origin: from(variable) } satisfies Parameter;
  }
  return good(parameters);
}

/** Whether the variables alone ask for a database to be watched: PGPORT or PGUSER may be there for psql's sake. */
export const variablesNameDatabase = (env: Environment): boolean =>
  [env['PGHOST'], env['PGHOSTADDR'], env['PGDATABASE'], env['PGSERVICE']].some(
    (value) => (value ?? '') !== '',
  );

const from = (variable: string): Origin => ({ source: 'environment', name: variable });
