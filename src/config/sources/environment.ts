/** Reads the variables that begin with GITALY_EXPORTER_. */
import type { Raw } from '../kinds/kind.ts';
import type { SettingProblem } from '../problem.ts';
import { environmentPrefix, type NamedSetting } from '../setting.ts';
import { didYouMean } from '../suggest.ts';
import type { Environment } from '../system.ts';

/**
 * Kubernetes sets such variables in every pod of a namespace that has a Service called gitaly-exporter, or
 * gitaly-exporter-something (its documentation calls them service links). They are not settings.
 */
const serviceLink =
  /_(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)$/;
const serviceLinkPort = /^(?:tcp|udp|sctp):\/\//;

export function readVariables(
  env: Environment,
  settings: readonly NamedSetting[],
): { readonly values: ReadonlyMap<string, Raw>; readonly problems: readonly SettingProblem[] } {
  const byVariable = new Map(settings.map((setting) => [setting.variable, setting]));
  const values = new Map<string, Raw>();
  const problems: SettingProblem[] = [];
  for (const [variable, text] of Object.entries(env)) {
    if (text === undefined || !variable.startsWith(environmentPrefix)) continue;
    const setting = byVariable.get(variable);
    if (setting !== undefined) {
      values.set(setting.name, { form: 'text', text, origin: { source: 'environment', name: variable } });
    } else if (!serviceLink.test(variable) && !(variable.endsWith('_PORT') && serviceLinkPort.test(text))) {
      const hint = didYouMean(
        withoutPrefix(variable),
        [...byVariable.keys()].map(withoutPrefix),
        environmentPrefix,
      );
      problems.push({
        where: variable,
        message: `there is no such setting.${hint || ' --help lists them; unset it.'}`,
      });
    }
  }
  return { values, problems };
}

/** The common prefix would make all names look similar. */
const withoutPrefix = (variable: string): string => variable.slice(environmentPrefix.length);
