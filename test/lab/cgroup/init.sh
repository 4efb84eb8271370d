#!/bin/sh
# The exporter has the host's cgroups as in a container: read-only, at another path.
set -eu
: "${LAB:?the folder of the lab files}" "${EXPORTER:?the bundled exporter}" "${OUT:?a folder for the results}"
mkdir -p "$OUT" /run/host-cgroup
mount -o bind /sys/fs/cgroup /run/host-cgroup
mount -o remount,ro,bind /run/host-cgroup
exec node "$LAB/lab.ts" --exporter "$EXPORTER" --root /run/host-cgroup --out "$OUT" --pods "${PODS:-file}" --poll "${POLL:-500ms}"
