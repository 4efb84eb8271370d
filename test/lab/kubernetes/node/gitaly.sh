#!/usr/bin/env bash
# Puts the lab's Gitaly and Praefect on the real node: their objects as the GitLab chart makes them, with a stand-in for the
# program in the exporter's image, and volumes that are folders of this machine.
#   LAB_HOME=... LAB_SCRIPTS=... gitaly.sh [DATABASE_HOST:PORT]     Praefect's database, for its ConfigMap
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../../.." && pwd)
: "${LAB_HOME:?}" "${LAB_SCRIPTS:?}"
export KUBECONFIG=$LAB_HOME/admin.kubeconfig PATH=$LAB_HOME/bin:$PATH
database=${1:-gl-postgresql.gitlab.svc:5432}
pages=$root/test/fixtures/gitaly/19
kubectl create namespace gitlab --dry-run=client -o yaml | kubectl apply -f - >/dev/null
kubectl -n gitlab create configmap stand-in --dry-run=client -o yaml --from-file="$here/gitaly.cjs" \
  --from-file=gitaly.gz="$pages/after.gitaly-2.prom.gz" --from-file=praefect.gz="$pages/after.praefect-1.prom.gz" |
  kubectl apply -f - >/dev/null
for i in 0 1 2; do
  mkdir -p "$LAB_HOME/node/volumes/$i"
  kubectl apply -f - >/dev/null <<YAML
apiVersion: v1
kind: PersistentVolume
metadata: {name: gitaly-local-$i}
spec:
  capacity: {storage: 50Gi}
  accessModes: [ReadWriteOnce]
  storageClassName: standard
  local: {path: $LAB_HOME/node/volumes/$i}
  claimRef: {namespace: gitlab, name: repo-data-gl-gitaly-default-$i}
  nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [10.97.0.1]}]}]}}
YAML
done
kubectl -n gitlab create --dry-run=client -o json -f "$LAB_SCRIPTS/manifests/gitaly-chart-defaults.yaml" | jq -s --arg image "gitaly-exporter:$(jq -r .version "$root/package.json")" \
  --arg host "${database%:*}" --arg port "${database##*:}" '
  (map(.items // [.]) | add)[]
  | if .kind == "ConfigMap" and .metadata.name == "gl-praefect" then
      .data["config.toml.tpl"] |= (sub("host = .*"; "host = \u0027" + $host + "\u0027") | sub("port = 5432"; "port = " + $port)
        | sub("dbname = .*"; "dbname = \u0027praefect_production\u0027"))
    elif .kind == "StatefulSet" then
      del(.spec.template.spec.initContainers, .spec.template.spec.affinity)
      | .spec.template.spec.volumes |= (map(select(.configMap)) + [{name: "stand-in", configMap: {name: "stand-in"}}])
      | ([.spec.template.spec.volumes[].name] + [.spec.volumeClaimTemplates[]?.metadata.name]) as $kept
      | .spec.template.spec.containers[] |= (.image = $image | .imagePullPolicy = "IfNotPresent" | del(.resources)
          | .command = ["/usr/local/bin/node", "/stand-in/gitaly.cjs", "/stand-in/\(.name).gz"]
          | .volumeMounts |= (map(select(.name as $name | $kept | index($name))) + [{name: "stand-in", mountPath: "/stand-in"}]))
    else . end' | kubectl -n gitlab apply -f -
kubectl -n gitlab rollout status statefulset/gl-gitaly-default --timeout 120s
kubectl -n gitlab rollout status statefulset/gl-praefect --timeout 120s
