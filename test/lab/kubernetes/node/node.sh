#!/usr/bin/env bash
# A real node for the lab: containerd and a kubelet on this machine, as root, so that pods run. No DNS, no kube-proxy, no
# enforcement of NetworkPolicies; pods reach the API server through a relay on its service address.
#   LAB_HOME=... LAB_SCRIPTS=... node.sh start | image NAME | stop
# image: takes an image from Docker. stop: ends the pods, too, and leaves no process, interface or cgroup.
# Needs containerd, runc, the CNI plugins and socat, and $LAB_HOME/bin/kubelet (README.md).
set -euo pipefail
: "${LAB_SCRIPTS:?set it to the folder of up.sh}"
# shellcheck source=/dev/null
. "$LAB_SCRIPTS/lib.sh"
need containerd runc socat ip
node=$LAB_HOME/node
# Both on loopback. The node is called by its address, because the API server connects to nodes by name.
service_address=10.96.0.1
node_address=10.97.0.1
socket=$node/containerd.sock
ctr() { command ctr --address "$socket" --namespace k8s.io "$@"; }

configure() {
  mkdir -p "$node/cni"
  cat >"$node/containerd.toml" <<TOML
version = 2
root = "$node/root"
state = "$node/state"
[grpc]
  address = "$socket"
[plugins."io.containerd.internal.v1.opt"]
  path = "$node/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "lab.example/pause:1"
  # Where root may not lower the value, as in a virtual machine without CAP_SYS_RESOURCE.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "${CNI_PLUGINS:-/usr/lib/cni}"
    conf_dir = "$node/cni"
TOML
  cat >"$node/cni/10-lab.conflist" <<JSON
{"cniVersion": "0.4.0", "name": "lab", "plugins": [{"type": "bridge", "bridge": "cni-lab", "isGateway": true,
 "ipam": {"type": "host-local", "dataDir": "$node/addresses", "ranges": [[{"subnet": "10.88.77.0/24"}]],
 "routes": [{"dst": "0.0.0.0/0"}]}}, {"type": "firewall"}]}
JSON
  # The lab's API server has no certificate for kubelets: this one is reached from this machine only, and admits it.
  cat >"$node/kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $node_address
port: 20250
healthzPort: 0
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
cgroupDriver: cgroupfs
failCgroupV1: false
failSwapOn: false
containerRuntimeEndpoint: unix://$socket
resolvConf: /etc/resolv.conf
evictionHard: {memory.available: 200Mi, nodefs.available: 1%, imagefs.available: 1%}
imageGCHighThresholdPercent: 100
podLogsDir: $node/logs
volumePluginDir: $node/plugins
YAML
  [[ -s $LAB_PKI/kubelet.crt ]] || {
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/O=system:nodes/CN=system:node:$node_address" \
      -keyout "$LAB_PKI/kubelet.key" -out "$LAB_PKI/kubelet.csr"
    openssl x509 -req -in "$LAB_PKI/kubelet.csr" -CA "$LAB_PKI/ca.crt" -CAkey "$LAB_PKI/ca.key" -CAcreateserial -days 3650 \
      -extfile <(echo extendedKeyUsage=clientAuth) -out "$LAB_PKI/kubelet.crt"
  } 2>/dev/null
  local config="--kubeconfig=$node/kubeconfig"
  {
    kubectl config "$config" set-cluster lab --embed-certs --server "https://127.0.0.1:$LAB_PORT_API" --certificate-authority "$LAB_PKI/ca.crt"
    kubectl config "$config" set-credentials kubelet --embed-certs --client-certificate "$LAB_PKI/kubelet.crt" --client-key "$LAB_PKI/kubelet.key"
    kubectl config "$config" set-context lab --cluster lab --user kubelet
    kubectl config "$config" use-context lab
  } >/dev/null
}

# The program that holds a pod's namespaces.
pause_image() {
  local folder
  folder=$(mktemp -d)
  printf '%s\n' '#include <signal.h>' '#include <unistd.h>' 'static void end(int s) { (void)s; _exit(0); }' \
    'int main(void) { signal(SIGTERM, end); for (;;) pause(); }' >"$folder/pause.c"
  gcc -static -Os -o "$folder/pause" "$folder/pause.c"
  rm "$folder/pause.c"
  tar -C "$folder" --owner 0 --group 0 -c . | docker import --change 'ENTRYPOINT ["/pause"]' - lab.example/pause:1 >/dev/null
  rm -r "$folder"
  image lab.example/pause:1
}

image() { docker save "$1" | ctr images import - | tail -1; }

node_ready() { [[ $(kubectl get node "$node_address" --no-headers | awk '{print $2}') == Ready ]]; }

start() {
  need gcc docker kubectl openssl
  [[ -x $LAB_BIN/kubelet ]] || die "no $LAB_BIN/kubelet: build k8s.io/kubernetes/cmd/kubelet in the lab's module"
  (umask 077 && configure)
  daemon containerd containerd --config "$node/containerd.toml"
  wait_for 30 containerd ctr version
  [[ -n $(ctr images list -q name==lab.example/pause:1) ]] || pause_image
  ip address replace "$service_address/32" dev lo
  ip address replace "$node_address/32" dev lo
  daemon relay socat "TCP-LISTEN:443,bind=$service_address,fork,reuseaddr" "TCP:127.0.0.1:$LAB_PORT_API"
  daemon kubelet "$LAB_BIN/kubelet" --config "$node/kubelet.yaml" --kubeconfig "$node/kubeconfig" --hostname-override "$node_address" \
    --root-dir "$node/kubelet" --cert-dir "$node/pki"
  wait_for 60 'the node' node_ready
  say "$(kubectl get node "$node_address" -o jsonpath='{.status.nodeInfo.kubeletVersion}, {.status.nodeInfo.containerRuntimeVersion}')"
}

stop_node() {
  stop kubelet
  stop relay
  if alive containerd; then
    for task in $(ctr tasks list -q); do ctr tasks delete --force "$task" >/dev/null 2>&1 || true; done
    for container in $(ctr containers list -q); do
      # The network of a pod, with its interface.
      ctr containers info "$container" | jq -r '.Spec.linux.namespaces[] | select(.type == "network") | .path // empty'
      ctr containers delete "$container" >/dev/null 2>&1 || true
    done | sort -u | xargs -r -n 1 basename | { grep '^cni-' || true; } | xargs -r -n 1 ip netns delete 2>/dev/null || true
  fi
  stop containerd
  awk -v folder="$node/" 'index($2, folder) == 1 {print $2}' /proc/mounts | sort -r | xargs -r umount
  ip address delete "$service_address/32" dev lo 2>/dev/null || true
  ip address delete "$node_address/32" dev lo 2>/dev/null || true
  ip link delete cni-lab 2>/dev/null || true
  find /sys/fs/cgroup -depth -type d -path '*/kubepods*' -exec rmdir {} + 2>/dev/null || true
  rm -rf "$node/addresses"
}

case ${1:-} in
  start) start ;;
  image) image "${2:?name of an image}" ;;
  stop) stop_node ;;
  *) die 'usage: node.sh start | image NAME | stop' ;;
esac
