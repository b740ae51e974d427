#!/usr/bin/env bash
# Runs the linters on all packages and prints the time of each. What a linter leaves
# out is named here or in its configuration, with the reason.
#
#   staticcheck  bugs and simplifications; form of doc comments (staticcheck.conf)
#   errorlint    comparison of errors that may be wrapped
#   gosec        insecure code; what it leaves out is in tools/gosec, with the reasons
#   revive       exported names without a doc comment (tools/revive.toml)
#   misspell     spelling of comments, documents and scripts: British
#
# The test internal/styletest rejects phrases. Why these linters:
# docs/decisions/0014-linters.md.
set -uo pipefail
cd "$(dirname "$0")/.."

bin=$PWD/.cache/tools
mkdir -p "$bin"
failed=0

# run runs a linter. Output or a status other than 0 is a failure.
run() {
  local name=$1 began=$SECONDS out status=0
  shift
  out=$("$@" 2>&1) || status=$?
  if [ -n "$out" ] || [ "$status" -ne 0 ]; then
    printf '%s\n' "$out"
    failed=1
  fi
  printf -- '-- %s: %d s\n' "$name" $((SECONDS - began))
}

# errorlint.errorf=false: some errors hide their cause on purpose, such as those for clients.
errorlint() { go vet -vettool="$bin/errorlint" -errorlint.errorf=false ./...; }

# Words that are right though the locale UK rejects them:
words=organization,organizations # FHIR's resource type and its search parameters
words+=,analyze,materialize,materializes,materializing,materialized # SQL: EXPLAIN ANALYZE, AS MATERIALIZED
words+=,humanize                 # the package, as such packages are called
words+=,pediatrician,orthopedic  # texts of terminologies in the synthetic data
words+=,nmae                     # a misspelt parameter, in tests of refusals

spelling() {
  git ls-files --cached --others --exclude-standard '*.go' '*.md' '*.sh' check .ci/run |
    grep -v /testdata/ | xargs ls -d 2>/dev/null | xargs "$bin/misspell" -locale UK -error -i "$words"
}

began=$SECONDS # the first build downloads modules and prints their names, which is no failure
go -C tools build -o "$bin/" tool ./errorlint ./gosec || exit 1
printf -- '-- build of the linters: %d s\n' $((SECONDS - began))
run staticcheck "$bin/staticcheck" ./...
run errorlint errorlint
run gosec "$bin/gosec" ./...
run revive "$bin/revive" -config tools/revive.toml -set_exit_status ./...
run misspell spelling
exit "$failed"
