#!/usr/bin/env bash
# The part of test.sh that runs in mounts and a network of its own. $deb, $next: the package and a newer one; $version: the first one's.
set -euo pipefail
mount --make-rprivate /
root=$(mktemp -d)
mount -t tmpfs -o size=3g tmpfs "$root"
mkdir "$root/upper" "$root/work" "$root/all"
if ! mount -t overlay -o "lowerdir=/,upperdir=$root/upper,workdir=$root/work" overlay "$root/all"; then
	echo "skipped: no overlays here"
	exit 0
fi
mount --bind /dev "$root/all/dev"
mount -t proc proc "$root/all/proc"
mount -t tmpfs tmpfs "$root/all/run" # no service manager of the host
cp "$deb" "$root/all/first.deb"
cp "$next" "$root/all/next.deb"
ip link set lo up 2>/dev/null || python3 -c 'import fcntl,socket,struct;fcntl.ioctl(socket.socket(),0x8914,struct.pack("16sh14x",b"lo",1))'
inside() { chroot "$root/all" "$@"; }

# service does what the unit does: its two commands, with its settings, as its user.
unit=$root/all/lib/systemd/system/ledger.service
service() {
	local line
	line=$(sed -n "s/^$1=//p" "$unit")
	inside setpriv --reuid=ledger --regid=ledger --clear-groups sh -c "set -a; . /etc/ledger/ledger.env; set +a; exec $line"
}
started() {
	service ExecStart >"$root/log" 2>&1 &
	for _ in {1..300}; do
		if inside ledger ping --addresses=127.0.0.1:3001 --cluster=77 >/dev/null 2>&1; then
			return 0
		fi
		sleep 0.2
	done
	cat "$root/log"
	return 1
}
stopped() {
	local process
	process=$(pgrep -P $! || echo $!)
	kill -TERM $process 2>/dev/null || true
	wait $! || true
}

inside dpkg --install /first.deb
inside test -x /usr/bin/ledger -a -f /etc/ledger/ledger.env
inside ledger version | grep -q "$version"
inside getent passwd ledger >/dev/null
[[ $(inside stat -c %U:%a /var/lib/ledger) == ledger:700 ]]
if service ExecStartPre 2>"$root/refused"; then
	echo "the service starts without a cluster id"
	exit 1
fi
sed -i -e 's/^LEDGER_CLUSTER=.*/LEDGER_CLUSTER=77/' -e 's/^LEDGER_FLAGS=.*/LEDGER_FLAGS=--development/' "$root/all/etc/ledger/ledger.env"
service ExecStartPre
started
inside ledger repl --cluster=77 --addresses=3001 --command='create_accounts id=1 ledger=1 code=1' | grep -q created
stopped

inside dpkg --install /next.deb
[[ $(inside dpkg-query --show --showformat='${Version}' ledger) == "$version.1" ]]
grep -q '^LEDGER_CLUSTER=77$' "$root/all/etc/ledger/ledger.env" # the settings are the operator's
started
inside ledger repl --cluster=77 --addresses=3001 --command='lookup_accounts id=1' | grep -q '"id":"1"'
stopped

inside dpkg --remove ledger
inside test ! -e /usr/bin/ledger -a -f /etc/ledger/ledger.env
inside dpkg --purge ledger
inside test ! -e /etc/ledger/ledger.env -a -f /var/lib/ledger/0.data # money is never removed
