#!/bin/sh
# deb: remove, or upgrade to another version; rpm: $1 is 0 for a removal.
set -e
case "$1" in remove | 0) ;; *) exit 0 ;; esac
command -v systemctl >/dev/null 2>&1 && [ -d /run/systemd/system ] || exit 0
systemctl disable --now gitaly-exporter.service
