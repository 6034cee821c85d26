#!/usr/bin/env bash
# Runs every fuzz target of the module for the given time each. New findings land in the package's testdata/fuzz.
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-10s}
grep -rl --include='*_test.go' '^func Fuzz' . | grep -v '^./interop/' | xargs -n1 dirname | sort -u | while read -r folder; do
	grep -ho '^func Fuzz[A-Za-z0-9_]*' "$folder"/*_test.go | awk '{print $2}' | sort -u | while read -r target; do
		echo "fuzz $folder $target"
		go test "$folder" -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 100x
	done
done
