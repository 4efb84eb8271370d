/** Every configuration of Gitaly that would be read: files and ConfigMaps, and whether they are understood. */
import { parseGitalyConfig } from '../config/gitaly/gitaly-config.ts';
import { problemText } from '../config/problem.ts';
import type { ConfigSource } from '../sources/gitaly/target.ts';
import { identityText } from '../sources/identity.ts';
import { accessChecks, type Finding, finds, passes, todo } from './finding.ts';

const check = accessChecks.gitalyConfig;

export async function configFindings(
  sources: readonly ConfigSource[],
  signal: AbortSignal,
): Promise<readonly Finding[]> {
  const read = await Promise.all(sources.map((source) => source.read(signal)));
  const failures = read
    .flatMap((each) => each.failures)
    .map(({ reason, message }) =>
      finds(check, 'fail', message, [
        todo(
          reason === 'permission'
            ? 'Let the exporter read it: the file by its user, a ConfigMap by `get configmaps` (deploy/kubernetes/rbac.yaml).'
            : 'Correct the path, or the name, in gitaly.config-file.',
        ),
      ]),
    );
  const texts = read
    .flatMap((each) => each.texts)
    .map(({ name, text, identities }) => {
      const config = parseGitalyConfig(text, name);
      const servers = identities.map(identityText).join(', ');
      if (config.ok) return passes(check, `${name}, of ${servers}`);
      const [first] = config.problems;
      const more = config.problems.length - 1;
      return finds(
        check,
        'fail',
        `${first === undefined ? 'it is not understood' : problemText(first)}${more > 0 ? ` (and ${more} more)` : ''}`,
        [todo('Correct it, or give the file that Gitaly itself reads.')],
        { subject: name },
      );
    });
  return [...failures, ...texts];
}
