#!/usr/bin/env bash
# etcd 3.7.3 (server, etcdctl, etcdutl). Found 2026-11-29.
# `etcdutl snapshot status FILE` reads the database inside a backup and does not look at the SHA-256 at the end of the file. A backup whose last
# 4 KiB were never written, as after a copy that was interrupted, gets the same status line and exit code as the whole one. Only a restore tells.
# What to do: a backup job that checks with `snapshot status` has checked nothing; compare the size (size mod 512 is 32) and the hash, or restore.
# Output seen (the hash differs from run to run):
#   whole: exit 0, c109356d, 5, 3, 25 kB, 3.7.0
#   cut:   exit 0, the same line
#   restore of the cut one: exit 1, "Error: expected sha256 [...], got [...]"
set -euo pipefail
dir=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"
for tool in server etcdctl etcdutl; do
  mkdir "$tool"
  (cd "$tool" && printf 'module finding\ngo 1.26.0\n' >go.mod && go get -tool "go.etcd.io/etcd/$tool/v3@v3.7.3" 2>/dev/null && go build -o "../bin-$tool" "go.etcd.io/etcd/$tool/v3")
done
peer=http://127.0.0.1:32580 client=127.0.0.1:32579
./bin-server --data-dir data --listen-client-urls http://$client --advertise-client-urls http://$client --listen-peer-urls $peer \
  --initial-advertise-peer-urls $peer --initial-cluster default=$peer >server.log 2>&1 &
pid=$!
for _ in $(seq 50); do ./bin-etcdctl --endpoints $client put a 1 >/dev/null 2>&1 && break; sleep 0.2; done
for k in b c d; do ./bin-etcdctl --endpoints $client put $k 1 >/dev/null; done
./bin-etcdctl --endpoints $client snapshot save whole.db >/dev/null 2>&1
kill "$pid"; wait "$pid" || true; pid=
whole=$(./bin-etcdutl snapshot status whole.db)
echo "whole: exit 0, $whole"
cp whole.db cut.db && truncate -s -4096 cut.db
rc=0; cut=$(./bin-etcdutl snapshot status cut.db 2>&1) || rc=$?
if [ $rc != 0 ] || [ "$cut" != "$whole" ]; then echo "CHANGED: status of the cut file: exit $rc, $cut"; exit 1; fi
echo "cut:   exit 0, the same line"
rc=0; text=$(./bin-etcdutl snapshot restore cut.db --data-dir restored 2>&1) || rc=$?
echo "restore of the cut one: exit $rc, $(grep -o 'Error: expected sha256' <<<"$text" | head -1)"
[ $rc = 1 ] && grep -q 'expected sha256' <<<"$text" || { echo "CHANGED: the restore takes the file"; exit 1; }
