#!/bin/bash
# Build a Kubernetes control plane (1.20.2) and etcd from the source packages of Debian 12, about 4 minutes on 2 cores.
#
#   [OUT=directory] tests/kube/build.sh     makes $OUT/bin/{etcd,kube-apiserver,kube-controller-manager,kube-scheduler}
#
# Needs Debian 12, dpkg-dev and 3 GiB of disk while building; keeps 250 MiB. Installs nothing, needs no root, and is quick
# to run again: what is built is not built twice. GO=/path/to/goroot uses another Go than Debian's 1.19.
set -euo pipefail

OUT=${OUT:-${XDG_CACHE_HOME:-$HOME/.cache}/quartermaster/kube}
VERSION=1.20.2
PROGRAMS=(kube-apiserver kube-controller-manager kube-scheduler)

if [ -x "$OUT/bin/kube-scheduler" ]; then
  echo "Already built: $OUT/bin"
  exit 0
fi
if ! grep -q '^VERSION_CODENAME=bookworm$' /etc/os-release || [ ! -e /etc/apt/sources.list.d/debian.sources ]; then
  echo "This builds from Debian 12's source packages and this is another system." >&2
  echo "Set KUBEBUILDER_ASSETS to a directory with etcd, ${PROGRAMS[*]} instead." >&2
  exit 1
fi

work=$OUT/work
step() { echo "[$(date +%T) +${SECONDS}s] $*"; }

# A package index of its own, so that neither root nor deb-src lines in the system's sources are needed.
prepare_apt() {
  mkdir -p "$OUT/bin" "$work"/{apt/lists/partial,apt/cache/archives/partial,apt/etc,debs,root,home,out}
  local mirror key=/usr/share/keyrings/debian-archive-keyring.gpg
  mirror=$(awk '/^URIs:/ {print $2; exit}' /etc/apt/sources.list.d/debian.sources)
  printf 'deb [signed-by=%s] %s bookworm main\ndeb-src [signed-by=%s] %s bookworm main\n' \
    "$key" "$mirror" "$key" "$mirror" > "$work/apt/etc/sources.list"
  apt=(apt-get -qq -o "Dir::Etc::sourcelist=$work/apt/etc/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o "Dir::State::lists=$work/apt/lists" -o "Dir::Cache=$work/apt/cache" -o APT::Sandbox::User=)
  "${apt[@]}" update
}

download() {
  local packages=(etcd-server golang-github-modern-go-reflect2-dev)
  [ -n "${GO:-}" ] || packages+=(golang-1.19-go golang-1.19-src)
  (cd "$work" && "${apt[@]}" source --only-source --download-only kubernetes)
  (cd "$work/debs" && "${apt[@]}" download "${packages[@]}")
  local package
  for package in "$work"/debs/*.deb; do dpkg-deb -x "$package" "$work/root"; done
}

# The packaged Go links to absolute places below /usr/share; point those links into our copy.
find_go() {
  [ -z "${GO:-}" ] || return 0
  GO=$work/root/usr/lib/go-1.19
  local link target
  find "$GO" -type l | while read -r link; do
    target=$(readlink "$link")
    case $target in /*) ln -sfn "$work/root$target" "$link" ;; esac
  done
}

unpack() {
  source=$work/gopath/src/k8s.io/kubernetes
  mkdir -p "$(dirname "$source")"
  rm -rf "$source"
  dpkg-source --no-check -x "$work"/kubernetes_*.dsc "$source" > /dev/null
  # The vendored reflect2 is older than the reflect package of Go 1.18; Debian's own package of it is not.
  local reflect2=github.com/modern-go/reflect2
  rm "$source/vendor/$reflect2"/*.{go,s}
  cp "$work/root/usr/share/gocode/src/$reflect2"/*.{go,s} "$source/vendor/$reflect2/"
}

# The one generated file that the source package lacks.
generate_openapi() {
  go build -o "$work/openapi-gen" ./vendor/k8s.io/kube-openapi/cmd/openapi-gen
  local inputs
  inputs=$(grep -RlE --include='*.go' '\+k8s:openapi-gen=' pkg vendor/k8s.io \
    | grep -vE '^vendor/k8s.io/(code-generator|sample-apiserver|kube-openapi|gengo)/|_test.go|/testdata/|/testing/' \
    | xargs -n1 dirname | LC_ALL=C sort -u | sed 's#^#k8s.io/kubernetes/#' | paste -sd,)
  "$work/openapi-gen" -i "$inputs" -p k8s.io/kubernetes/pkg/generated/openapi -O zz_generated.openapi \
    -h vendor/k8s.io/code-generator/hack/boilerplate.go.txt -r "$work/violations"
}

build() {
  local package flags="-s -w"
  for package in k8s.io/kubernetes/vendor/k8s.io/component-base/version k8s.io/kubernetes/vendor/k8s.io/client-go/pkg/version; do
    flags+=" -X $package.gitVersion=v$VERSION -X $package.gitMajor=1 -X $package.gitMinor=20"
    flags+=" -X $package.gitTreeState=clean -X $package.gitCommit=debian -X $package.buildDate=2021-01-13T00:00:00Z"
  done
  go build -tags providerless -trimpath -ldflags "$flags" -o "$work/out/" "${PROGRAMS[@]/#/./cmd/}"
}

step "package index"; prepare_apt
step "download"; download
find_go
step "unpack"; unpack
export GOROOT=$GO PATH=$GO/bin:$PATH GOPATH=$work/gopath GOCACHE=${GOCACHE:-$work/gocache} GO111MODULE=off GOFLAGS= \
  GOPROXY=off GOTOOLCHAIN=local CGO_ENABLED=0 HOME=$work/home
cd "$source"
step "generate openapi with $(go version)"; generate_openapi
step "build"; build
cp "$work/root/usr/bin/etcd" "$work/out/"
mv "$work"/out/{etcd,kube-apiserver,kube-controller-manager} "$OUT/bin/"
mv "$work/out/kube-scheduler" "$OUT/bin/" # last: its presence says that all are there
chmod -R u+w "$work"
rm -rf "$work"
step "done: $(du -sh "$OUT" | cut -f1) in $OUT"
