#!/usr/bin/env bash
# Runs a PostgreSQL server for tests until its standard input ends. It creates a
# cluster in a temporary folder, starts it on a free port of this machine and prints
# its URL. The arguments are options of initdb. When the input ends, also because the
# other process was killed, it stops the server and removes the folder. Without
# PostgreSQL it exits with code 69. Each line of the input is a command, answered with
# a line: "stop" stops the server as a power cut does, "shutdown" stops it after it has
# written all pages, "start" starts it again with the same URL.
set -euo pipefail
export LC_ALL=C PGCTLTIMEOUT=600

bin=$(ls -d /usr/lib/postgresql/*/bin /usr/local/pgsql/bin 2>/dev/null | sort -V | tail -n 1) || true
[ -n "$bin" ] || exit 69
if [ "$(id -u)" = 0 ]; then # initdb refuses to run as root
  id postgres >/dev/null 2>&1 || exit 69
  exec setpriv --reuid=postgres --regid=postgres --init-groups bash -c "${BASH_EXECUTION_STRING:-$(cat "$0")}" "$0" "$@"
fi

trap '' INT TERM # from the terminal: only the end of the input stops the server
folder=$(mktemp -d "${TMPDIR:-/tmp}/muster-postgres.XXXXXX")
trap '"$bin/pg_ctl" -D "$folder/data" -m immediate stop >/dev/null 2>&1; rm -rf "$folder"' EXIT
"$bin/initdb" -D "$folder/data" -U postgres -A trust -E UTF8 --locale=C --no-sync "$@" >"$folder/initdb.log" 2>&1 ||
  { cat "$folder/initdb.log" >&2; exit 1; }

start() { # the server must not inherit the output of this script
  "$bin/pg_ctl" -D "$folder/data" -l "$folder/server.log" -w -o "-p $port -h 127.0.0.1 -k $folder -c max_connections=200 \
    -c fsync=off -c full_page_writes=off" start >/dev/null 2>&1
}
for try in 1 2 3 4 5 6 7 8 9 10; do
  port=$((20000 + RANDOM % 12000))
  if start; then break; fi
  [ "$try" -lt 10 ] || { cat "$folder/server.log" >&2; exit 1; }
done
echo "postgres://postgres@127.0.0.1:$port/postgres"

while read -r command; do
  case $command in
  stop) "$bin/pg_ctl" -D "$folder/data" -m immediate -w stop >/dev/null 2>&1 ;;
  shutdown) "$bin/pg_ctl" -D "$folder/data" -m fast -w stop >/dev/null 2>&1 ;;
  start) start ;;
  esac && echo done || echo "failed: $command"
done
