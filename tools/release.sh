#!/usr/bin/env bash
# Packs a release: for each architecture an archive with the program, its manual page, completion and the files of packaging/, a package
# for Debian (where dpkg-deb is at hand), an OCI image, and a list of what is compiled in (SBOM, CycloneDX); and checksums. The same
# commit gives the same bytes: paths are left out of the program, and all times are that of the commit.
#
#   tools/release.sh [FOLDER] [ARCHITECTURES]     release and "amd64 arm64" by default
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-release}
architectures=${2:-amd64 arm64}

if [ -n "$(git status --porcelain)" ]; then
	echo "release.sh: the checkout has changes: a release is of a commit; commit or remove them first" >&2
	exit 1
fi
time=$(git log -1 --format=%ct)
version=$(sed -n 's/^const version = "\(.*\)"$/\1/p' cmd/ledger/main.go)
export CGO_ENABLED=0 GOOS=linux LC_ALL=C TZ=UTC
# The flags that Makefile exports, with those that leave out what differs between machines.
export GOFLAGS="-trimpath -buildvcs=true \"-ldflags=-checklinkname=0 -s -w -buildid=\""

rm -rf "$out"
mkdir -p "$out/staging"
GOARCH=$(go env GOHOSTARCH) go build -o "$out/staging/native" ./cmd/ledger
if go version -m "$out/staging/native" | grep --quiet -e '-tags='; then
	echo "release.sh: GOFLAGS has build tags, which are for tests: a release has none" >&2
	exit 1
fi
"$out/staging/native" man >"$out/staging/ledger.1"
mkdir "$out/staging/completion"
GOARCH=$(go env GOHOSTARCH) go -C packaging/image build -o "$(realpath "$out")/staging/image" .
for shell in bash zsh fish; do
	"$out/staging/native" completion $shell >"$out/staging/completion/ledger.$shell"
done
for architecture in $architectures; do
	name=ledger-$version-linux-$architecture
	folder=$out/staging/$name
	mkdir "$folder"
	GOARCH=$architecture go build -o "$folder/ledger" ./cmd/ledger
	git archive HEAD README.md CHANGELOG.md docs packaging | tar --extract --directory "$folder" # what is in the commit, and nothing else
	cp -r "$out/staging/ledger.1" "$out/staging/completion" "$folder"
	tar --create --sort=name --mtime="@$time" --owner=0 --group=0 --numeric-owner --mode='u=rwX,go=rX' --format=ustar \
		--directory "$out/staging" "$name" | gzip --no-name --best >"$out/$name.tar.gz"
	if command -v dpkg-deb >/dev/null; then
		tools/deb.sh "$folder" "$version" "$architecture" "$time" "$out/ledger_${version}_$architecture.deb"
	else
		echo "release.sh: without dpkg-deb there is no package for Debian" >&2
	fi
	"$out/staging/image" -program="$folder/ledger" -architecture="$architecture" -version="$version" -time="$time" -out="$out/$name.oci.tar"
	# What the program itself says was compiled in.
	go version -m "$folder/ledger" | awk -v version="$version" '
		BEGIN { printf "{\"bomFormat\":\"CycloneDX\",\"specVersion\":\"1.5\",\"version\":1,\n\"metadata\":{\"component\":{\"type\":\"application\",\"name\":\"ledger\",\"version\":\"%s\"}},\n\"components\":[", version }
		NR == 1 { sub(/^.*: /, ""); printf "\n{\"type\":\"platform\",\"name\":\"go\",\"version\":\"%s\"}", $1 }
		$1 == "dep" { printf ",\n{\"type\":\"library\",\"name\":\"%s\",\"version\":\"%s\",\"purl\":\"pkg:golang/%s@%s\",\"properties\":[{\"name\":\"go.sum\",\"value\":\"%s\"}]}", $2, $3, $2, $3, $4 }
		END { print "\n]}" }' >"$out/$name.sbom.json"
done
rm -rf "$out/staging"
(cd "$out" && sha256sum -- * >SHA256SUMS)
cat "$out/SHA256SUMS"
