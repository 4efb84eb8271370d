#!/bin/sh
# The service is neither enabled nor started: it needs settings first. After an upgrade, a running one is restarted.
set -e
command -v systemctl >/dev/null 2>&1 && [ -d /run/systemd/system ] || exit 0
systemctl daemon-reload
# deb: $1 is configure and $2 the previous version; rpm: $1 is the number of installed versions.
if [ -n "$2" ] || [ "$1" = 2 ]; then systemctl try-restart gitaly-exporter.service; fi
