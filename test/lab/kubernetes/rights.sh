#!/usr/bin/env bash
# Tests the manifests of deploy/kubernetes on a real API server: applies them, runs the exporter with their service
# accounts only, once for the cluster and once as an agent, and compares its requests with the granted rights.
#   LAB_HOME=... LAB_SCRIPTS=... rights.sh rbac.yaml [NAMESPACE]
# LAB_SCRIPTS: the folder of the lab's up.sh and serviceaccount.sh. NAMESPACE: kubernetes.namespace; default: all.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)
: "${LAB_HOME:?set it to the folder of a running lab}" "${LAB_SCRIPTS:?set it to the folder of up.sh}"
export KUBECONFIG=$LAB_HOME/admin.kubeconfig
export PATH=$root/node_modules/.bin:$LAB_HOME/bin:$PATH
manifest=$root/deploy/kubernetes/${1:?which manifest: rbac.yaml or rbac-namespaced.yaml}
namespace=${2:-}
work=$(mktemp -d)
pids=()
finish() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  kubectl delete --ignore-not-found --wait=false -f "$manifest" >/dev/null || true
  rm -rf "$work"
}
trap finish EXIT

# A dry run by the server finds manifests that it rejects.
kubectl apply -f "$manifest" >/dev/null
for each in cluster agent; do
  kubectl apply --dry-run=server -f "$root/deploy/kubernetes/$each.yaml" >/dev/null
done
echo "$(basename "$manifest"), cluster.yaml and agent.yaml are accepted by $(kubectl version -o json | jq -r .serverVersion.gitVersion)"

# run ACCOUNT PORT FLAGS...: long enough for a second watch of each resource and a second read of each ConfigMap.
run() {
  local account=$1 port=$2 since
  shift 2
  "$LAB_SCRIPTS/serviceaccount.sh" gitaly-exporter "$account" "$work/$account" 2>/dev/null
  since=$(date +%s)
  node "$root/bin/gitaly-exporter.ts" serve --kubernetes.enabled --kubernetes.kubeconfig="$work/$account/kubeconfig" \
    --web.listen-address="127.0.0.1:$port" --log.level=warn ${namespace:+--kubernetes.namespace=$namespace} "$@" >"$work/$account.log" 2>&1 &
  pids+=("$!")
  sleep "${LAB_RUN_SECONDS:-75}"
  curl -fsS "http://127.0.0.1:$port/metrics" | grep -E '^gitaly_exporter_collector_success|^gitaly_exporter_kubernetes_watch' >"$work/$account.prom" || true
  kill "$!"
  wait "$!" || true
  grep -E 'level=(warn|error)' "$work/$account.log" | head -5 || true
  node "$here/rights.ts" "$LAB_HOME/log/audit.log" gitaly-exporter "$account" "$since" || failed=1
}
failed=0
run gitaly-exporter 19656 --kubernetes.role=cluster
node_of_gitaly=$(kubectl get pods -A -l app=gitaly -o jsonpath='{.items[0].spec.nodeName}')
run gitaly-exporter-agent 19657 --kubernetes.role=agent --kubernetes.node="$node_of_gitaly" \
  --cgroup.enabled --cgroup.root="${LAB_CGROUP_ROOT:-/sys/fs/cgroup}"
exit "$failed"
