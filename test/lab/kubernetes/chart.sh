#!/usr/bin/env bash
# Installs the Helm chart on a real API server, and runs the exporter as its pods would: with the service accounts, variables
# and arguments of the Deployment and the DaemonSet. Compares its requests with the granted permissions, runs the command of
# `helm test`, upgrades, and uninstalls.
#   LAB_HOME=... LAB_SCRIPTS=... chart.sh NAMESPACE [FLAGS OF HELM...]
# LAB_SCRIPTS: the folder of the lab's up.sh and serviceaccount.sh. Gitaly must run (apply-gitaly.sh).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)
: "${LAB_HOME:?set it to the folder of a running lab}" "${LAB_SCRIPTS:?set it to the folder of up.sh}"
export KUBECONFIG=$LAB_HOME/admin.kubeconfig
export PATH=$root/node_modules/.bin:$LAB_HOME/bin:$PATH
chart=$root/deploy/helm/gitaly-exporter
namespace=${1:?namespace of the release}
shift
release=gitaly-exporter
# Without the controllers of the lab no pod becomes ready: then set LAB_WAIT=.
read -ra wait_flags <<<"${LAB_WAIT---wait --timeout 120s}"
work=$(mktemp -d)
pids=()
failed=0
finish() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap finish EXIT
fail() { echo "FAILED: $*"; failed=1; }

echo "== helm install, $(kubectl version -o json | jq -r .serverVersion.gitVersion)"
helm install "$release" "$chart" -n "$namespace" --create-namespace "${wait_flags[@]}" "$@"
kubectl -n "$namespace" get deployment,daemonset -l "app.kubernetes.io/instance=$release" --no-headers
size=$(kubectl -n "$namespace" get secret "sh.helm.release.v1.$release.v1" -o json | jq -r '.data.release' | wc -c)
echo "the release is stored in $size bytes of at most 1048576"

# as COMPONENT WORKLOAD: variables (one a line) and arguments of a container, in $work. Values that the kubelet fills in are added.
node_of_gitaly=$(kubectl get pods -A -l app=gitaly -o jsonpath='{.items[0].spec.nodeName}')
as() {
  local name=$1 json=$2 account
  account=$(jq -r .serviceAccountName <<<"$json")
  "$LAB_SCRIPTS/serviceaccount.sh" "$namespace" "$account" "$work/$name" 2>/dev/null
  jq -r '.containers[0].env[] | select(.value) | "\(.name)=\(.value)"' <<<"$json" >"$work/$name.env"
  {
    echo "GITALY_EXPORTER_KUBERNETES_KUBECONFIG=$work/$name/kubeconfig"
    if grep -q ROLE=agent "$work/$name.env"; then echo "GITALY_EXPORTER_KUBERNETES_NODE=$node_of_gitaly"; fi
  } >>"$work/$name.env"
  # Files that only a pod has: the node's cgroups, and the volumes of the database.
  sed -i "s#=/host/sys/fs/cgroup#=${LAB_CGROUP_ROOT:-/sys/fs/cgroup}#; /PRAEFECT_DATABASE\|PRAEFECT_CONFIG/d" "$work/$name.env"
  jq -r '.containers[0].args[]' <<<"$json" >"$work/$name.args"
}

# exporter NAME ARGUMENTS...: in place of this shell, with only the variables of the container.
exporter() {
  local name=$1
  shift
  mapfile -t variables <"$work/$name.env"
  exec env -i HOME=/nonexistent PATH="$PATH" "${variables[@]}" node "$root/bin/gitaly-exporter.ts" "$@"
}

# run NAME PORT: long enough for a second watch of each resource and a second read of each ConfigMap.
run() {
  local name=$1 port=$2 since
  since=$(date +%s)
  mapfile -t arguments <"$work/$name.args"
  exporter "$name" "${arguments[@]}" --web.listen-address="127.0.0.1:$port" --log.level=warn --log.format=logfmt >"$work/$name.log" 2>&1 &
  pids+=("$!")
  sleep "${LAB_RUN_SECONDS:-75}"
  curl -fsS "http://127.0.0.1:$port/metrics" >"$work/$name.prom" || fail "no metrics of $name"
  grep -E '^gitaly_exporter_collector_success' "$work/$name.prom" || true
  kill "$!" 2>/dev/null || { fail "$name ended:"; cat "$work/$name.log"; }
  wait "$!" 2>/dev/null || true
  grep -E 'level=(warn|error)' "$work/$name.log" | head -5 || true
  node "$here/rights.ts" "$LAB_HOME/log/audit.log" "$namespace" "$(jq -r .serviceAccountName <<<"$3")" "$since" || fail "rights of $name"
}

cluster=$(kubectl -n "$namespace" get deployment "$release" -o json | jq -c .spec.template.spec)
as cluster "$cluster"
echo "== the exporter for the cluster"
run cluster 19656 "$cluster"
if agent=$(kubectl -n "$namespace" get daemonset "$release-agent" -o json 2>/dev/null | jq -ce .spec.template.spec); then
  as agent "$agent"
  echo "== an agent on $node_of_gitaly"
  run agent 19657 "$agent"
fi

echo "== helm test's command"
test_pod=$(helm get hooks "$release" -n "$namespace" | kubectl create --dry-run=client -o json -f - | jq -c .spec)
as test "$test_pod"
mapfile -t arguments <"$work/test.args"
# No process serves the pods' /metrics in this lab.
(exporter test "${arguments[@]}" --skip=servers_reachable) || fail "doctor fails although Gitaly runs"
sed -i '/GITALY_SELECTOR/d' "$work/test.env"
echo 'GITALY_EXPORTER_KUBERNETES_GITALY_SELECTOR=app=no-such-gitaly' >>"$work/test.env"
code=0
(exporter test "${arguments[@]}" --skip=servers_reachable) || code=$?
[ "$code" -eq 1 ] || fail "doctor without Gitaly: exit code $code"

echo "== helm upgrade, twice the same values must change nothing"
before=$(kubectl -n "$namespace" get deployment "$release" -o jsonpath='{.metadata.generation}')
helm upgrade "$release" "$chart" -n "$namespace" "${wait_flags[@]}" "$@" | sed -n 's/^REVISION/revision/p'
[ "$(kubectl -n "$namespace" get deployment "$release" -o jsonpath='{.metadata.generation}')" = "$before" ] || fail 'an upgrade without changes restarts the exporter'
helm upgrade "$release" "$chart" -n "$namespace" "${wait_flags[@]}" "$@" --set log.level=debug --set agent.enabled=false | sed -n 's/^REVISION/revision/p'
kubectl -n "$namespace" get deployment,daemonset -l "app.kubernetes.io/instance=$release" --no-headers
[ -z "$(kubectl -n "$namespace" get daemonset -l "app.kubernetes.io/instance=$release" -o name)" ] || fail 'agent.enabled=false leaves the DaemonSet'

echo "== helm uninstall"
helm uninstall "$release" -n "$namespace" --wait
kubectl -n "$namespace" wait --for=delete pod -l "app.kubernetes.io/instance=$release" --timeout 60s
left=$(kubectl get all,configmaps,serviceaccounts,networkpolicies,poddisruptionbudgets,roles,rolebindings,clusterroles,clusterrolebindings -A \
  -l "app.kubernetes.io/instance=$release" -o name)
[ -z "$left" ] || fail "left: $left"
[ "$failed" -eq 0 ] && echo "everything passed"
exit "$failed"
