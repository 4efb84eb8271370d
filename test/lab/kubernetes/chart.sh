#!/usr/bin/env bash
# Installs the Helm chart on a real node, whose pods run: their metrics, the API server's audit log against the granted
# permissions, `helm test` with and without Gitaly, an upgrade, and the uninstallation.
#   LAB_HOME=... LAB_SCRIPTS=... chart.sh NAMESPACE [FLAGS OF HELM...]
# The node (node/node.sh) and Gitaly (node/gitaly.sh) must run. LAB_RUN_SECONDS (75): how long the pods run before their
# requests are compared; long enough for a second watch of each resource and a second read of each ConfigMap.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)
: "${LAB_HOME:?set it to the folder of a running lab}"
export KUBECONFIG=$LAB_HOME/admin.kubeconfig
export PATH=$root/node_modules/.bin:$LAB_HOME/bin:$PATH
chart=$root/deploy/helm/gitaly-exporter
namespace=${1:?namespace of the release}
shift
release=gitaly-exporter
instance=app.kubernetes.io/instance=$release
failed=0
fail() { echo "FAILED: $*"; failed=1; }
ours() { kubectl -n "$namespace" get "$@" -l "$instance"; }

echo "== helm install, $(kubectl version -o json | jq -r .serverVersion.gitVersion)"
since=$(date +%s)
helm install "$release" "$chart" -n "$namespace" --create-namespace --wait --timeout 120s "$@" | sed -n '/^gitaly-exporter/,/^Praefect/p'
ours deployment,daemonset --no-headers
size=$(kubectl -n "$namespace" get secret "sh.helm.release.v1.$release.v1" -o json | jq -r '.data.release' | wc -c)
echo "the release is stored in $size bytes of at most 1048576"

sleep "${LAB_RUN_SECONDS:-75}"
for component in cluster agent; do
  pod=$(ours pods -o json | jq -c --arg component "$component" '[.items[] | select(.metadata.labels["app.kubernetes.io/component"] == $component)][0] // empty')
  [ -n "$pod" ] || continue
  account=$(jq -r .spec.serviceAccountName <<<"$pod")
  echo "== pod $(jq -r .metadata.name <<<"$pod")"
  [ "$(jq '[.status.containerStatuses[].restartCount] | add' <<<"$pod")" -eq 0 ] || fail 'it was restarted'
  curl -fsS "http://$(jq -r .status.podIP <<<"$pod"):9656/metrics" | grep -E '^gitaly_exporter_collector_success' || fail 'no metrics'
  node "$here/rights.ts" "$LAB_HOME/log/audit.log" "$namespace" "$account" "$since" || fail "permissions of $account"
done

tested() { # tested: helm test, with the pod's log alone
  helm test "$release" -n "$namespace" --timeout 90s --logs 2>&1 | sed -n '/^Phase/p; /^POD LOGS/,/^Not checked/{/^Not checked/d; p}; /^Error/p'
  return "${PIPESTATUS[0]}"
}
echo '== helm test'
tested || fail 'helm test fails although Gitaly runs'
echo '== helm test without Gitaly'
helm upgrade "$release" "$chart" -n "$namespace" --wait --timeout 120s "$@" --set gitalySelector=app=no-such-gitaly >/dev/null
if tested; then fail 'helm test passes without Gitaly'; fi

echo '== helm upgrade, twice the same values must change nothing'
helm upgrade "$release" "$chart" -n "$namespace" --wait --timeout 120s "$@" | sed -n 's/^REVISION/revision/p'
before=$(kubectl -n "$namespace" get deployment "$release" -o jsonpath='{.metadata.generation}')
helm upgrade "$release" "$chart" -n "$namespace" --wait --timeout 120s "$@" | sed -n 's/^REVISION/revision/p'
[ "$(kubectl -n "$namespace" get deployment "$release" -o jsonpath='{.metadata.generation}')" = "$before" ] || fail 'an upgrade without changes restarts the exporter'
helm upgrade "$release" "$chart" -n "$namespace" --wait --timeout 120s "$@" --set log.level=debug --set agent.enabled=false | sed -n 's/^REVISION/revision/p'
ours deployment,daemonset --no-headers
[ -z "$(ours daemonset -o name)" ] || fail 'agent.enabled=false leaves the DaemonSet'

echo '== helm uninstall'
helm uninstall "$release" -n "$namespace" --wait
# Helm keeps the pod of a test until the next one, for its log.
kubectl -n "$namespace" delete pod "$release-doctor" >/dev/null
kubectl -n "$namespace" wait --for=delete pod -l "$instance" --timeout 60s
left=$(kubectl get all,configmaps,serviceaccounts,networkpolicies,poddisruptionbudgets,roles,rolebindings,clusterroles,clusterrolebindings -A \
  -l "$instance" -o name)
[ -z "$left" ] || fail "left: $left"
[ "$failed" -eq 0 ] && echo 'everything passed'
exit "$failed"
