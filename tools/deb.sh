#!/usr/bin/env bash
# Packs a .deb of a folder that release.sh has filled. The same folder gives the same bytes.
#
#   tools/deb.sh FOLDER VERSION ARCHITECTURE SECONDS OUT.deb      SECONDS: the time of all files
set -euo pipefail
folder=$1 version=$2 architecture=$3 time=$4 out=$5
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
debian=$folder/packaging/debian

put() { install -D -m "$1" "$2" "$tree/$3"; }
put 755 "$folder/ledger" usr/bin/ledger
put 644 "$folder/packaging/systemd/ledger.service" lib/systemd/system/ledger.service
put 644 "$folder/packaging/systemd/ledger.env" etc/ledger/ledger.env
put 644 "$folder/completion/ledger.bash" usr/share/bash-completion/completions/ledger
put 644 "$folder/completion/ledger.zsh" usr/share/zsh/vendor-completions/_ledger
put 644 "$folder/completion/ledger.fish" usr/share/fish/vendor_completions.d/ledger.fish
mkdir -p "$tree/usr/share/man/man1" "$tree/usr/share/doc/ledger"
gzip --no-name --best <"$folder/ledger.1" >"$tree/usr/share/man/man1/ledger.1.gz"
gzip --no-name --best <"$folder/CHANGELOG.md" >"$tree/usr/share/doc/ledger/changelog.gz"
cp -r "$folder/README.md" "$folder/docs" "$folder/packaging/prometheus" "$folder/packaging/grafana" "$folder/packaging/seccomp.json" "$tree/usr/share/doc/ledger"
chmod -R u=rwX,go=rX "$tree"

kilobytes=$(find "$tree" -type f -printf '%s\n' | awk '{ sum += int(($1 + 1023) / 1024) } END { print sum }')
mkdir "$tree/DEBIAN"
sed -e "s/@VERSION@/$version/" -e "s/@ARCHITECTURE@/$architecture/" -e "s/@KILOBYTES@/$kilobytes/" "$debian/control" >"$tree/DEBIAN/control"
install -m 644 "$debian/conffiles" "$tree/DEBIAN"
install -m 755 "$debian/postinst" "$debian/prerm" "$debian/postrm" "$tree/DEBIAN"
find "$tree" -exec touch --no-dereference --date="@$time" {} +
SOURCE_DATE_EPOCH=$time dpkg-deb --root-owner-group -Zxz --build "$tree" "$out" >/dev/null
