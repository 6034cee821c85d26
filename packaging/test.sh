#!/usr/bin/env bash
# Tests what make release packs, of this machine's architecture: the same bytes twice; the image has the program, which runs in it as
# nobody's user; the Debian package is installed, its service's commands serve a client, it is upgraded with the settings and data kept,
# removed and purged. The packages are installed into an overlay over the root file system, of which nothing remains.
# Needs root, dpkg, and a kernel with overlays; without them it says so and only does the rest.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
architecture=$(go env GOHOSTARCH)
passed=0
pass() { passed=$((passed + 1)); echo "ok: $1"; }

# What is tested is the checkout, with or without a commit: a copy of it becomes one.
checkout=$work/checkout
mkdir "$checkout"
git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' path; do [[ ! -e $path ]] || cp --parents "$path" "$checkout"; done
(cd "$checkout" && git init -q . && git add -A && GIT_COMMITTER_DATE=2026-01-01T00:00:00Z git -c user.name=test -c user.email=test@ledger.example commit -q --date=2026-01-01T00:00:00Z -m test)
(cd "$checkout" && tools/release.sh "$work/first" "$architecture" >/dev/null && tools/release.sh "$work/second" "$architecture" >/dev/null)
cmp "$work/first/SHA256SUMS" "$work/second/SHA256SUMS"
pass "two releases have the same bytes"

(cd packaging/image && LEDGER_IMAGE=$(echo "$work"/first/*.oci.tar) go test -count=1 .)
pass "the image has its layers, and the program runs in it"

deb=$(echo "$work"/first/*.deb)
if [[ $(id -u) -ne 0 || ! -e $deb ]]; then
	echo "skipped: installing the Debian package needs root and dpkg-deb"
	echo "$passed passed, 0 failed"
	exit 0
fi
next=$work/next.deb
version=$(dpkg-deb --field "$deb" Version)
dpkg-deb --raw-extract "$deb" "$work/next"
sed -i "s/^Version: .*/Version: $version.1/" "$work/next/DEBIAN/control"
dpkg-deb --root-owner-group --build "$work/next" "$next" >/dev/null

export deb next version
if unshare --mount --net bash -euo pipefail packaging/test-deb.sh; then
	pass "the package is installed, started, upgraded, removed and purged"
else
	echo "FAIL: the Debian package"
	echo "$passed passed, 1 failed"
	exit 1
fi
echo "$passed passed, 0 failed"
