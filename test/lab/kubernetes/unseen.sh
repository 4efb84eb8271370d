#!/usr/bin/env bash
# Incidents in which a Gitaly is missing, or the cause of a rotation is easily confused with another one, in a namespace
# of its own: prints what the exporter shows after each, from its status API and its metrics.
#   LAB_HOME=... unseen.sh
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)
: "${LAB_HOME:?set it to the folder of a running lab}"
export KUBECONFIG=$LAB_HOME/admin.kubeconfig
export PATH=$root/node_modules/.bin:$LAB_HOME/bin:$PATH
namespace=unseen port=${PORT:-29656} url=http://127.0.0.1:${PORT:-29656}
log=$(mktemp)
exporter=''
start() {
  node "$root/bin/gitaly-exporter.ts" serve --kubernetes.enabled --kubernetes.kubeconfig="$KUBECONFIG" --kubernetes.role=cluster \
    --kubernetes.namespace=$namespace --kubernetes.scrape=false --web.listen-address="127.0.0.1:$port" --log.level=warn 2>>"$log" &
  exporter=$!
  until curl -fsS "$url/-/ready" >/dev/null 2>&1; do sleep 0.2; done
}
stop() { kill "$exporter" && wait "$exporter" || true; }
finish() {
  stop
  kubectl -n $namespace patch pods --all --type=merge -p '{"metadata":{"finalizers":null}}' >/dev/null 2>&1 || true
  kubectl delete namespace $namespace --wait=false --ignore-not-found >/dev/null || true
  kubectl uncordon lab-node-1 lab-node-2 lab-node-3 lab-node-4 >/dev/null || true
  for node in 1 2 3 4; do kubectl taint node "lab-node-$node" by-hand- >/dev/null 2>&1 || true; done
}
trap finish EXIT
at() { printf '\n== %s\n' "$*"; }
shown() { # shown METRICS: problems of the page, and these series
  curl -fsS "$url/api/v1/status" | jq -r '"   \(.verdict): \(.headline)", (.problems[] | "   \(.severity) \(.id): \(.title) | \(.detail // "")")'
  curl -fsS "$url/metrics" | grep -E "^gitaly_server_($1)" | sed -e 's/^/   /' -e "s/namespace=\"$namespace\",//" || true
}
ready() { # ready COUNT: waits until so many pods of the set are Ready
  local end=$((SECONDS + 90))
  until [[ $(kubectl -n $namespace get statefulset gl-gitaly -o jsonpath='{.status.readyReplicas}') == "$1" ]]; do
    ((SECONDS < end)) || { echo "   not $1 Ready within 90 s"; return; }
    sleep 0.5
  done
  sleep 2
}
set_of() { # set_of REPLICAS PRIORITYCLASS
  kubectl apply -f - >/dev/null <<YAML
apiVersion: apps/v1
kind: StatefulSet
metadata: { name: gl-gitaly, namespace: $namespace, labels: { app: gitaly } }
spec:
  replicas: $1
  serviceName: gl-gitaly
  podManagementPolicy: Parallel
  selector: { matchLabels: { app: gitaly } }
  template:
    metadata: { labels: { app: gitaly } }
    spec:
      terminationGracePeriodSeconds: 6
      priorityClassName: "$2"
      topologySpreadConstraints:
        - { maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway, labelSelector: { matchLabels: { app: gitaly } } }
      containers: [{ name: gitaly, image: "registry.example.com/gitaly:v18.4.0" }]
YAML
}
node_of() { kubectl -n $namespace get pod "$1" -o jsonpath='{.spec.nodeName}'; }
rotations='pod_rotations_total\{.*\} [1-9]|pod_rotation_seconds\{.*(total|terminating)'

kubectl create namespace $namespace --dry-run=client -o yaml | kubectl apply -f - >/dev/null
start
at 'a namespace without Gitaly'
sleep 2
shown 'pod_ready'

at 'a StatefulSet of 3 whose PriorityClass does not exist'
set_of 3 no-such-class
sleep 6
shown 'pod_ready|statefulset_(ready_)?replicas'

at 'the class is no longer named'
set_of 3 ''
ready 3
shown 'pod_ready|statefulset_ready_replicas'

at 'the exporter is restarted while a pod is missing (a quota forbids to create it again)'
stop
kubectl -n $namespace create quota none --hard=pods=0 >/dev/null
sleep 2
kubectl -n $namespace delete pod gl-gitaly-1 --wait=true >/dev/null
start
sleep 4
shown 'pod_ready'
kubectl -n $namespace delete quota none >/dev/null
ready 3

at 'a rollout is undone before it ends'
kubectl -n $namespace set image statefulset/gl-gitaly gitaly=registry.example.com/gitaly:v18.5.0 >/dev/null
sleep 3
kubectl -n $namespace rollout undo statefulset/gl-gitaly >/dev/null
sleep 20
ready 3
shown "$rotations"

at 'a NoExecute taint by hand'
node=$(node_of gl-gitaly-0)
kubectl taint node "$node" by-hand=yes:NoExecute >/dev/null
sleep 20
kubectl taint node "$node" by-hand- >/dev/null
ready 3
shown "$rotations"

at 'a finalizer keeps a deleted pod'
kubectl -n $namespace patch pod gl-gitaly-2 --type=merge -p '{"metadata":{"finalizers":["example.com/backup"]}}' >/dev/null
kubectl -n $namespace delete pod gl-gitaly-2 --wait=false >/dev/null
sleep 15
shown 'pod_ready'
kubectl -n $namespace patch pod gl-gitaly-2 --type=merge -p '{"metadata":{"finalizers":null}}' >/dev/null
ready 3
shown "$rotations"

at 'a budget that never allows an eviction (minAvailable 3 of 3)'
kubectl -n $namespace create poddisruptionbudget gl-gitaly --selector=app=gitaly --min-available=3 >/dev/null
sleep 5
shown 'disruptions'
kubectl -n $namespace delete poddisruptionbudget gl-gitaly >/dev/null

at 'a node is drained, and its object is deleted, as an autoscaler does'
node=$(node_of gl-gitaly-1)
kubectl get node "$node" -o json | jq 'del(.metadata.resourceVersion, .metadata.uid, .metadata.creationTimestamp)' >"$log.node"
kubectl cordon "$node" >/dev/null
kubectl drain "$node" --ignore-daemonsets --force --delete-emptydir-data --pod-selector=app=gitaly --timeout=60s >/dev/null 2>&1 || true
kubectl delete node "$node" --wait=false >/dev/null
ready 3
shown "$rotations"
kubectl apply -f "$log.node" >/dev/null 2>&1 || true

at 'the StatefulSet is deleted, its pods stay (--cascade=orphan)'
kubectl -n $namespace delete statefulset gl-gitaly --cascade=orphan >/dev/null
sleep 3
shown 'pod_ready'

at 'the namespace is deleted'
kubectl delete namespace $namespace --wait=true --timeout=60s >/dev/null
sleep 4
shown 'pod_ready'
grep -c . "$log" | sed 's/^/lines logged: /' || true
