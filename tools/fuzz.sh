#!/usr/bin/env bash
# Runs every fuzz target of the module for the given time each. New findings land in the package's testdata/fuzz.
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-10s}
output=$(mktemp)
trap 'rm -f "$output"' EXIT

# fuzz FOLDER TARGET. Now and then go test ends a fuzzing run whose time is up with "context deadline exceeded" and no failing input:
# that is its own race with the clock, and says nothing about the code. Such a run is repeated; a finding never is.
fuzz() {
	for _ in 1 2 3; do
		if go test "$1" -run '^$' -fuzz "^$2\$" -fuzztime "$time" -fuzzminimizetime 100x 2>&1 | tee "$output"; then
			return 0
		fi
		if ! grep -q 'context deadline exceeded' "$output" || grep -qE 'Failing input|seed corpus entry|panic' "$output"; then
			return 1
		fi
	done
	return 1
}

grep -rl --include='*_test.go' '^func Fuzz' . | grep -v '^./interop/' | xargs -n1 dirname | sort -u | while read -r folder; do
	grep -ho '^func Fuzz[A-Za-z0-9_]*' "$folder"/*_test.go | awk '{print $2}' | sort -u | while read -r target; do
		echo "fuzz $folder $target"
		fuzz "$folder" "$target" </dev/null
	done
done
