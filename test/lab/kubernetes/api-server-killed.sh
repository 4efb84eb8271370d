#!/usr/bin/env bash
# Deletes a Gitaly pod, kills the API server three seconds later, and starts it again half a minute after that.
#   LAB_HOME=... LAB_SCRIPTS=... api-server-killed.sh NAMESPACE POD
set -euo pipefail
: "${LAB_HOME:?set it to the folder of a running lab}" "${LAB_SCRIPTS:?set it to the folder of up.sh}"
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
at 'API server started'
wait_for 120 "$pod ready" kubectl -n "$namespace" wait --for=condition=Ready "pod/$pod" --timeout=5s
at "$pod ready"
kubectl -n "$namespace" get pod "$pod" -o json | jq -c '[.metadata.creationTimestamp, (.status.conditions[] | select(.type == "Ready") | .lastTransitionTime)]'
