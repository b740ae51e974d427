#!/usr/bin/env bash
# Reports known vulnerabilities in code that cmd/muster calls. In modules they are errors,
# in the standard library warnings: there the remedy is a newer Go. The data come from vuln.go.dev
# or, where only a module proxy can be reached, from the module golang.org/x/vulndb.
# Without both it prints a line and succeeds.
set -euo pipefail
cd "$(dirname "$0")/.."

if curl -fsS --max-time 10 -o /dev/null https://vuln.go.dev/index/db.json 2>/dev/null; then
  db=https://vuln.go.dev
elif data=$(go mod download -json golang.org/x/vulndb@latest 2>/dev/null); then
  dir=$(sed -n 's/^\t"Dir": "\(.*\)",$/\1/p' <<<"$data")
  db=file://$dir/data/osv
else
  echo "SKIPPED: govulncheck: neither vuln.go.dev nor the module golang.org/x/vulndb can be reached"
  exit
fi
echo "data: $db"
bin=$PWD/.cache/tools
go -C tools build -o "$bin/" tool ./vulncheck
"$bin/govulncheck" -db "$db" -format json ./cmd/muster | "$bin/vulncheck"
