#!/usr/bin/env bash
# A pod of Gitaly is deleted, and three seconds later the API server is killed; half a minute after that it is back.
#   LAB_HOME=... LAB_SCRIPTS=... api-server-killed.sh NAMESPACE POD
set -euo pipefail
: "${LAB_HOME:?set it to the home of a lab that is up}" "${LAB_SCRIPTS:?set it to where up.sh is}"
# shellcheck source=/dev/null
. "$LAB_SCRIPTS/lib.sh"
namespace=${1:?a namespace} pod=${2:?a pod}
at() { printf '%(%T)T %s\n' -1 "$*"; }
at "delete $pod"
kubectl -n "$namespace" delete pod "$pod" --wait=false >/dev/null
sleep 3
stop kube-apiserver KILL 2>/dev/null
at 'API server killed'
sleep 30
"$LAB_SCRIPTS/up.sh" >/dev/null 2>&1
at 'API server back'
wait_for 120 "$pod ready" kubectl -n "$namespace" wait --for=condition=Ready "pod/$pod" --timeout=5s
at "$pod ready"
kubectl -n "$namespace" get pod "$pod" -o json | jq -c '[.metadata.creationTimestamp, (.status.conditions[] | select(.type == "Ready") | .lastTransitionTime)]'
