#!/usr/bin/env bash
# Builds the deb and rpm packages in build/packages: release/packages.sh [amd64|arm64]
# Needs npm (for the Node.js that goes into them) and Go (for nfpm, unless it is on the PATH).
set -euo pipefail
cd "$(dirname "$0")/.."
# The Node.js that `npm ci` brought, whatever the host has.
PATH=$PWD/node_modules/.bin:$PATH

arch=${1:-$(dpkg --print-architecture 2>/dev/null || echo amd64)}
case $arch in
  amd64) node_arch=x64 ;;
  arm64) node_arch=arm64 ;;
  *) echo "packages.sh: found architecture $arch, expected amd64 or arm64" >&2; exit 2 ;;
esac
nfpm=(nfpm)
command -v nfpm >/dev/null || nfpm=(go run github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.43.0)

VERSION=$(node -p 'require("./package.json").version')
node_version=$(node -p 'require("./package.json").devDependencies.node')
# The time of the commit, so that the same sources give the same packages.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export ARCH=$arch VERSION SOURCE_DATE_EPOCH

rm -rf build/input
mkdir -p build/input/node build/packages
npm run --silent bundle
node release/stage.ts build/input/stage --arch "$node_arch"
npm pack --silent --pack-destination build/input "node-linux-$node_arch@$node_version" >/dev/null
tar -xzf build/input/node-linux-*.tgz -C build/input/node --strip-components=1
for packager in deb rpm; do
  "${nfpm[@]}" package --config release/nfpm.yaml --packager "$packager" --target build/packages
done
rm -rf build/input
