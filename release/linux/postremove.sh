#!/bin/sh
# Files that an administrator added next to the settings stay until a purge.
set -e
if [ "$1" = purge ]; then rm -rf /etc/gitaly-exporter; fi
if [ -d /run/systemd/system ]; then systemctl daemon-reload || true; fi
