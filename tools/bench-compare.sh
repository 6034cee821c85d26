#!/usr/bin/env bash
# Runs the benchmarks of the commit before and of this tree, each with a server of its own, and prints what
# benchstat says of the two. The arguments: pattern, time of each benchmark, number of runs.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'git worktree remove --force "$folder/before"; rm -rf "$folder"' EXIT
git worktree add --detach "$folder/before" HEAD~1
make --no-print-directory -C "$folder/before" bench BENCH="$1" BENCHTIME="$2" COUNT="$3" | tee "$folder/before.txt"
make --no-print-directory bench BENCH="$1" BENCHTIME="$2" COUNT="$3" | tee "$folder/after.txt"
go run golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da "$folder/before.txt" "$folder/after.txt"
