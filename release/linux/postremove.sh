#!/bin/sh
# What an administrator put next to the settings stays until a purge.
set -e
if [ "$1" = purge ]; then rm -rf /etc/gitaly-exporter; fi
if [ -d /run/systemd/system ]; then systemctl daemon-reload || true; fi
