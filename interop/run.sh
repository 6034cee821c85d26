#!/usr/bin/env bash
# Runs all interop tests against one server binary, each client suite on a server of its own.
#
#   LEDGER_BIN=path/to/ledger interop/run.sh [go] [cluster] [node] [python] [suites] [three] [amqp]
#
# Without arguments: all seven parts. Clients are installed, pinned, into folders here that git ignores.
# suites: the test suites that the official Go and Node clients bring along.
# LONG=1: all recorded corpora against three replicas as well; without it, the cluster part plays two.
# three: the newest client of each language, and these suites, against three replicas.
# amqp: change data capture into a real RabbitMQ, which is installed from Debian's package if it is missing.
# The last line is `N passed, M failed`; the exit status is 1 if anything failed.
set -uo pipefail
cd "$(dirname "$0")"

export LEDGER_BIN="${LEDGER_BIN:-../bin/ledger}"
if [[ ! -x $LEDGER_BIN ]]; then
  echo "no server to test at $PWD/$LEDGER_BIN: build it, or set LEDGER_BIN to a server binary" >&2
  exit 1
fi
LEDGER_BIN=$(realpath "$LEDGER_BIN")
short=-short
[[ -z ${LONG:-} ]] || short=
parts=" ${*:-go cluster node python suites three amqp} "
for part in $parts; do
  case $part in go | cluster | node | python | suites | three | amqp) ;; *) echo "unknown part $part" >&2 && exit 1 ;; esac
done

work=.work
mkdir -p "$work"
passed=0 failed=0 server= cluster=()

stop_server() {
  for process in $server "${cluster[@]}"; do
    kill -9 "$process" 2>/dev/null
    wait "$process" 2>/dev/null
  done
  server= cluster=()
  exec 9>&-
  rm -rf "$work/server"
}
trap 'stop_server; exit 1' INT TERM
trap stop_server EXIT

# start_server sets $address to that of a fresh server. It is started as a harness does: it says its port on
# stdout and ends when its stdin does, so it cannot outlive this script.
start_server() {
  stop_server
  mkdir -p "$work/server"
  mkfifo "$work/server/stdin"
  "$LEDGER_BIN" format --cluster=0 --replica=0 --replica-count=1 "$work/server/0_0.data" >"$work/server/log" 2>&1 || return 1
  exec 9<>"$work/server/stdin"
  "$LEDGER_BIN" start --addresses=0 --cache-grid=256MiB "$work/server/0_0.data" \
    <"$work/server/stdin" >"$work/server/port" 2>>"$work/server/log" 9>&- &
  server=$!
  for _ in {1..600}; do
    if [[ -s $work/server/port ]]; then
      address=127.0.0.1:$(<"$work/server/port")
      return 0
    fi
    kill -0 "$server" 2>/dev/null || return 1
    sleep 0.1
  done
  return 1
}

# start_three sets $address to those of a fresh cluster of three replicas, which serves clients.
start_three() {
  stop_server
  mkdir -p "$work/server"
  local first=$((20000 + RANDOM % 9000))
  address=127.0.0.1:$first,127.0.0.1:$((first + 1)),127.0.0.1:$((first + 2))
  for i in 0 1 2; do
    "$LEDGER_BIN" format --cluster=0 --replica=$i --replica-count=3 "$work/server/$i.data" >"$work/server/log" 2>&1 || return 1
  done
  for i in 0 1 2; do
    "$LEDGER_BIN" start --addresses="$address" --cache-grid=256MiB "$work/server/$i.data" >>"$work/server/log" 2>&1 &
    cluster+=($!)
  done
  for _ in {1..600}; do
    [[ $(grep -c "listening on" "$work/server/log") -eq 3 ]] && return 0
    for process in "${cluster[@]}"; do
      kill -0 "$process" 2>/dev/null || return 1
    done
    sleep 0.1
  done
  return 1
}

# report NAME COMMAND... runs a command with a bound in time, $within seconds, and counts its outcome.
within=600
report() {
  local name=$1 start=$SECONDS
  shift
  if timeout --kill-after=10 "$within" "$@" >"$work/output" 2>&1; then
    echo "ok    $name ($((SECONDS - start)) s)"
    passed=$((passed + 1))
  else
    echo "FAIL  $name (status $?)"
    grep -E '^ *(--- FAIL|[a-z_]+_test\.go:[0-9]+:)|^panic' "$work/output" | tail -40 # the end may be the output of servers
    echo "the output ends with:"
    grep -v 'message_bus' "$work/output" | tail -40
    [[ -s $work/server/log ]] && echo "the server's output ends with:" && tail -15 "$work/server/log"
    failed=$((failed + 1))
  fi
}

# on_server NAME COMMAND... does so with the address of a fresh server as last argument.
on_server() { on start_server "$@"; }

# on_three does so with the addresses of a fresh cluster.
on_three() { on start_three "$@"; }

on() {
  local start=$1
  shift
  if "$start"; then
    report "$@" "$address"
  else
    echo "FAIL  $1: the server does not start" && tail -15 "$work/server/log"
    failed=$((failed + 1))
  fi
  stop_server
}

# pip_install VERSION installs the Python client, once.
pip_install() {
  local venv=python/.venv-$1
  [[ -e $venv/complete ]] || report "pip install tigerbeetle==$1" bash -c \
    'python3 -m venv "$1" && "$1/bin/pip" install --quiet --no-deps "tigerbeetle==$2" && touch "$1/complete"' - "$venv" "$1"
}

# go_suite NAME SERVER runs the Go client's suite, which starts the server itself, from a fixed place and on
# a fixed port.
go_suite() {
  local suite=$work/suite/src/clients/go client port=$((20000 + RANDOM % 9000))
  rm -rf "$work/suite" && mkdir -p "$suite"
  go mod download github.com/tigerbeetle/tigerbeetle-go
  client=$(go list -m -f '{{.Dir}}' github.com/tigerbeetle/tigerbeetle-go)
  if [[ ! -d $client ]]; then
    echo "FAIL  $1: the client is not to be had"
    failed=$((failed + 1))
    return
  fi
  cp -r "$client/." "$suite" && chmod -R u+w "$work/suite"
  ln -s "$2" "$work/suite/tigerbeetle"
  sed -i "s/\"3000\"/\"$port\"/" "$suite/tb_client_test.go"
  if [[ $2 != "$LEDGER_BIN" ]]; then
    sed -i "s/\[\]string{\"127.0.0.1:\" + TIGERBEETLE_PORT}/[]string{\"127.0.0.1:$port\", \"127.0.0.1:$((port + 1))\", \"127.0.0.1:$((port + 2))\"}/" \
      "$suite/tb_client_test.go"
  fi
  report "$1" bash -c 'cd "$1" && go test -count=1 ./...' - "$suite"
  rm -rf "$work/suite"
}

if [[ $parts == *" go "* ]]; then
  report "go test" bash -c 'go test -p 1 -count=1 $1 $(go list ./... | grep -v /cluster$)' - "$short"
fi
if [[ $parts == *" cluster "* ]]; then
  within=2400
  report "three replicas: kills, pauses, cuts, damaged logs, power cuts" go test -count=1 -timeout=39m ./cluster
  within=600
fi

if [[ $parts == *" node "* || $parts == *" suites "* ]]; then
  report "npm install" npm --prefix node ci --no-audit --no-fund
fi
if [[ $parts == *" node "* ]]; then
  on_server "node 0.17.9" node node/smoke.js
fi

if [[ $parts == *" python "* ]]; then
  for version in 0.17.9 0.16.78 0.16.30; do
    pip_install "$version"
    on_server "python $version" "python/.venv-$version/bin/python" python/smoke.py
  done
fi

if [[ $parts == *" suites "* ]]; then
  on_server "the Node client's own suite" bash -c 'TB_ADDRESS=$1 node node/node_modules/tigerbeetle-node/dist/test.js' -
  stop_server
  go_suite "the Go client's own suite" "$LEDGER_BIN"
fi

if [[ $parts == *" three "* ]]; then
  [[ $parts == *" node "* || $parts == *" suites "* ]] || report "npm install" npm --prefix node ci --no-audit --no-fund
  on_three "three replicas: node 0.17.9" node node/smoke.js
  on_three "three replicas: the Node client's own suite" bash -c 'TB_ADDRESS=$1 node node/node_modules/tigerbeetle-node/dist/test.js' -
  pip_install 0.17.9
  on_three "three replicas: python 0.17.9" python/.venv-0.17.9/bin/python python/smoke.py
  stop_server
  go_suite "three replicas: the Go client's own suite" "$PWD/three.sh"
fi

# install_rabbitmq installs the package without starting its service.
install_rabbitmq() {
  local policy=/usr/sbin/policy-rc.d
  [[ -e $policy ]] || { printf '#!/bin/sh\nexit 101\n' >$policy && chmod +x $policy && trap 'rm -f /usr/sbin/policy-rc.d' EXIT; }
  DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends rabbitmq-server
}
if [[ $parts == *" amqp "* ]]; then
  if [[ ! -e /usr/lib/rabbitmq/bin/rabbitmq-server && $EUID -eq 0 ]] && command -v apt-get >/dev/null; then
    export -f install_rabbitmq
    report "apt-get install rabbitmq-server" bash -c install_rabbitmq
  fi
  if [[ -e /usr/lib/rabbitmq/bin/rabbitmq-server ]]; then # the job under test is built from source
    report "RabbitMQ: messages, progress, TLS, standby, kills" env LEDGER_TEST_RABBIT=1 GOFLAGS=-ldflags=-checklinkname=0 go test -C .. -count=1 ./cmd/ledger -run '^TestRabbit$'
  else
    echo "skip  RabbitMQ is not installed: apt-get install rabbitmq-server"
  fi
fi

rm -f "$work/output"
echo "$passed passed, $failed failed"
[[ $failed -eq 0 ]]
