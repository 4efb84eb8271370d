/**
 * Compares the permissions of a service account with its requests in the API server's audit log: every grant
 * must have been used, and no request forbidden.
 *
 *   node rights.ts AUDIT_LOG NAMESPACE SERVICE_ACCOUNT SINCE     (kubectl on the PATH; SINCE: seconds since 1970)
 *
 * Exit code 1 for an unused grant or a forbidden request.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

const [auditLog = '', namespace = '', account = '', since = '0'] = process.argv.slice(2);

interface Rule {
  readonly apiGroups?: readonly string[];
  readonly resources?: readonly string[];
  readonly verbs: readonly string[];
}
interface RoleObject {
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly rules?: readonly Rule[];
}
interface Binding {
  readonly metadata: { readonly namespace?: string };
  readonly roleRef: { readonly kind: string; readonly name: string };
  readonly subjects?: readonly {
    readonly kind: string;
    readonly name: string;
    readonly namespace?: string;
  }[];
}
interface AuditEvent {
  readonly verb: string;
  readonly requestURI: string;
  readonly stageTimestamp: string;
  readonly user: { readonly username: string };
  readonly objectRef?: {
    readonly resource?: string;
    readonly subresource?: string;
    readonly apiGroup?: string;
    readonly namespace?: string;
  };
  readonly responseStatus?: { readonly code?: number };
}

/** `list pods` in a namespace; `*`: in all namespaces, or for resources without namespaces. */
interface Grant {
  readonly what: string;
  readonly namespace: string;
}

const get = <T>(...what: readonly string[]): readonly T[] =>
  (
    JSON.parse(execFileSync('kubectl', ['get', ...what, '-o', 'json'], { encoding: 'utf8' })) as {
      items: T[];
    }
  ).items;

function granted(): readonly Grant[] {
  const isOfAccount = ({ subjects = [] }: Binding): boolean =>
    subjects.some(
      (subject) =>
        subject.kind === 'ServiceAccount' && subject.name === account && subject.namespace === namespace,
    );
  const bindings = [...get<Binding>('clusterrolebindings'), ...get<Binding>('rolebindings', '-A')].filter(
    isOfAccount,
  );
  const roles = get<RoleObject>('roles', '-A');
  const clusterRoles = get<RoleObject>('clusterroles');
  return bindings.flatMap(({ roleRef, metadata }) => {
    const role =
      roleRef.kind === 'ClusterRole'
        ? clusterRoles.find((each) => each.metadata.name === roleRef.name)
        : roles.find(
            (each) => each.metadata.name === roleRef.name && each.metadata.namespace === metadata.namespace,
          );
    return (role?.rules ?? []).flatMap(({ apiGroups = [], resources = [], verbs }) =>
      apiGroups.flatMap((group) =>
        resources.flatMap((resource) =>
          verbs.map((verb) => ({
            what: `${verb} ${resource}${group === '' ? '' : `.${group}`}`,
            namespace: metadata.namespace ?? '*',
          })),
        ),
      ),
    );
  });
}

const events = readFileSync(auditLog, 'utf8')
  .split('\n')
  .filter((line) => line !== '')
  .map((line) => JSON.parse(line) as AuditEvent)
  .filter(({ user }) => user.username === `system:serviceaccount:${namespace}:${account}`)
  .filter(({ stageTimestamp }) => Date.parse(stageTimestamp) / 1000 >= Number(since));

const requested = new Map<string, { count: number; refused: number }>();
for (const { verb, objectRef, requestURI, responseStatus } of events) {
  const { resource, subresource, apiGroup = '', namespace: where } = objectRef ?? {};
  const named = subresource === undefined ? resource : `${resource}/${subresource}`;
  const what =
    named === undefined
      ? `${verb} ${requestURI.split('?')[0]}`
      : `${verb} ${named}${apiGroup === '' ? '' : `.${apiGroup}`}${where === undefined ? '' : ` in ${where}`}`;
  const entry = requested.get(what) ?? { count: 0, refused: 0 };
  entry.count += 1;
  if (responseStatus?.code === 403) entry.refused += 1;
  requested.set(what, entry);
}

const isUsed = ({ what, namespace: where }: Grant): boolean =>
  [...requested.keys()].some((each) =>
    where === '*' ? each === what || each.startsWith(`${what} in `) : each === `${what} in ${where}`,
  );
const grants = granted();
const unused = grants.filter((grant) => !isUsed(grant));
const refused = [...requested].filter(([, entry]) => entry.refused > 0);

console.log(`${account}: ${events.length} requests, ${grants.length} grants`);
for (const [what, { count }] of [...requested].sort()) console.log(`  used     ${what} (${count})`);
for (const { what, namespace: where } of unused) console.log(`  UNUSED   ${what} in ${where}`);
for (const [what, entry] of refused) console.log(`  REFUSED  ${what} (${entry.refused})`);
console.log(
  unused.length + refused.length === 0
    ? '  every grant was used, no request was refused'
    : '  grants and requests differ',
);
process.exitCode = unused.length + refused.length === 0 && events.length > 0 ? 0 : 1;
