#!/usr/bin/env bash
# A PostgreSQL server for tests, as long as somebody holds its standard input:
# makes a cluster in a temporary folder, starts it on a free port of this machine,
# prints its URL, and when the input ends, also because the process that held it
# was killed, stops it and removes the folder. Without PostgreSQL it ends with code
# 69. Lines on the input are orders, each answered with a line: "stop" takes the
# server away as a power cut would, "start" brings it back under the same URL.
set -euo pipefail
export LC_ALL=C PGCTLTIMEOUT=600

bin=$(ls -d /usr/lib/postgresql/*/bin /usr/local/pgsql/bin 2>/dev/null | sort -V | tail -n 1) || true
[ -n "$bin" ] || exit 69
if [ "$(id -u)" = 0 ]; then # initdb refuses to run as root
  id postgres >/dev/null 2>&1 || exit 69
  exec setpriv --reuid=postgres --regid=postgres --init-groups bash -c "${BASH_EXECUTION_STRING:-$(cat "$0")}"
fi

trap '' INT TERM # of the terminal: the end of the input ends this
folder=$(mktemp -d "${TMPDIR:-/tmp}/muster-postgres.XXXXXX")
trap '"$bin/pg_ctl" -D "$folder/data" -m immediate stop >/dev/null 2>&1; rm -rf "$folder"' EXIT
"$bin/initdb" -D "$folder/data" -U postgres -A trust -E UTF8 --locale=C --no-sync >"$folder/initdb.log" 2>&1 ||
  { cat "$folder/initdb.log" >&2; exit 1; }

start() { # a server that is left running must not hold our output open
  "$bin/pg_ctl" -D "$folder/data" -l "$folder/server.log" -w -o "-p $port -h 127.0.0.1 -k $folder -c max_connections=200 \
    -c fsync=off -c full_page_writes=off" start >/dev/null 2>&1
}
for try in 1 2 3 4 5 6 7 8 9 10; do
  port=$((20000 + RANDOM % 12000))
  if start; then break; fi
  [ "$try" -lt 10 ] || { cat "$folder/server.log" >&2; exit 1; }
done
echo "postgres://postgres@127.0.0.1:$port/postgres"

while read -r order; do
  case $order in
  stop) "$bin/pg_ctl" -D "$folder/data" -m immediate -w stop >/dev/null 2>&1 ;;
  start) start ;;
  esac && echo done || echo "failed: $order"
done
