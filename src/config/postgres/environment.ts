/** libpq's PG* variables (PostgreSQL documentation, 34.15): defaults for what an address does not set. */
import { Secret } from '../../lib/secret.ts';
import { bad, type Checked, good, type Origin, problemAt } from '../problem.ts';
import type { Environment } from '../system.ts';
import {
  isKeyword,
  keywordVariables,
  type Parameter,
  type Parameters,
  refusal,
  unusedKeywords,
} from './keywords.ts';

/** The connection parameters of the variables. An unsupported variable is a problem, an empty one is not set. */
export function variableParameters(env: Environment): Checked<Parameters> {
  const problems = [...unusedKeywords].flatMap(([name, { variable }]) => {
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

/** Whether the variables alone name a database to monitor: PGPORT or PGUSER may be set for psql only. */
export const variablesNameDatabase = (env: Environment): boolean =>
  [env['PGHOST'], env['PGHOSTADDR'], env['PGDATABASE'], env['PGSERVICE']].some(
    (value) => (value ?? '') !== '',
  );

const from = (variable: string): Origin => ({ source: 'environment', name: variable });
