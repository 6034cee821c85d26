#!/usr/bin/env bash
# Stands for a server binary, where a client's own suite formats one file and starts one server. It makes
# and starts three replicas instead, on the port that is named and the two behind it. They end with the
# process that the suite has started, which becomes replica 0.
set -euo pipefail
: "${LEDGER_BIN:?the server binary}"
verb=$1 file=${*: -1}
case $verb in
format)
  for i in 0 1 2; do
    "$LEDGER_BIN" format --cluster=0 --replica=$i --replica-count=3 "$file.$i"
  done
  ;;
start)
  for argument in "$@"; do
    case $argument in --addresses=*) port=${argument#--addresses=} ;; esac
  done
  addresses=127.0.0.1:$port,127.0.0.1:$((port + 1)),127.0.0.1:$((port + 2))
  pids=$(dirname "$0")/replicas
  # The suite kills replica 0 and starts the next cluster at once, on the same ports.
  for pid in $(cat "$pids" 2>/dev/null); do
    kill -9 "$pid" 2>/dev/null || true
    while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
  done
  start=("$LEDGER_BIN" start "--addresses=$addresses" --cache-grid=256MiB)
  "${start[@]}" "$file.1" >"$file.1.log" 2>&1 &
  one=$!
  "${start[@]}" "$file.2" >"$file.2.log" 2>&1 &
  two=$!
  echo "$one $two" >"$pids"
  (
    while kill -0 $$ 2>/dev/null; do sleep 0.1; done
    kill -9 "$one" "$two" 2>/dev/null
    rm -f "$file".?
  ) >/dev/null 2>&1 &
  exec "${start[@]}" "$file.0"
  ;;
esac
