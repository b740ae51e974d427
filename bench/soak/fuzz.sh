#!/usr/bin/env bash
# Fuzzes all code that reads untrusted input, each target for the given time with one worker:
# bench/soak/fuzz.sh 10m. Two targets run at the same time; set FUZZ_JOBS=1 to run one. A
# finding ends its target and leads to exit code 1. Its input is stored in testdata/fuzz of the
# package and fails in `go test` until the bug is fixed.
set -uo pipefail
cd "$(dirname "$0")/../.."
duration=${1:?specify the time for each target, such as 10m}
jobs=${FUZZ_JOBS:-2}

targets=(
  "internal/server FuzzKickOff"
  "internal/server FuzzSearchURL"
  "internal/server FuzzPollURL"
  "internal/server FuzzRequestHeaders"
  "internal/server FuzzHeaders"
  "internal/search FuzzExportFilter"
  "internal/search FuzzSearch"
  "internal/search/query FuzzParse"
  "internal/store/searchsql FuzzSearch"
  "internal/searchset FuzzUnpack"
  "internal/export FuzzParseRequest"
  "internal/load FuzzLine"
  "internal/load FuzzInput"
  "internal/load FuzzGzip"
  "internal/load FuzzFindCandidates"
  "internal/strictjson FuzzValidate"
  "internal/auth/scope FuzzScopes"
  "internal/audit FuzzVerify"
  "internal/auth/jwks FuzzParse"
  "internal/part FuzzIndex"
)

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

run() {
  local package=$1 target=$2 log=$3
  if go test "./$package" -run '^$' -fuzz "^$target\$" -fuzztime "$duration" -fuzzminimizetime 20s -parallel 1 >"$log" 2>&1; then
    printf 'ok      %-16s %-20s %s\n' "$package" "$target" "$(grep -o 'execs: [0-9]*' "$log" | tail -1)"
  else
    printf 'FINDING %-16s %-20s\n' "$package" "$target"
    tail -40 "$log" | cut -c1-2000
    touch "$logs/failed"
  fi
}

for t in "${targets[@]}"; do
  read -r package target <<<"$t"
  run "$package" "$target" "$logs/${package//\//-}-$target" &
  while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n || true; done
done
wait
[ ! -e "$logs/failed" ]
