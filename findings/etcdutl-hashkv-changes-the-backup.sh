#!/usr/bin/env bash
# etcd 3.7.3 (server, etcdctl, etcdutl). Found 2026-11-29.
# `etcdutl hashkv FILE` is a question, but it opens the backup for writing and changes it. The SHA-256 at the end of the file no longer fits
# then, and `etcdutl snapshot restore` of the same file, which worked before, refuses it.
# What to do: ask a copy of the file, or restore first.
# Output seen:
#   restore before hashkv: exit 0
#   bytes of the backup after hashkv: changed
#   restore after hashkv: exit 1, "Error: expected sha256 [...], got [...]"
set -euo pipefail
dir=$(mktemp -d)
pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"
for tool in server etcdctl etcdutl; do
  mkdir "$tool"
  (cd "$tool" && printf 'module finding\ngo 1.26.0\n' >go.mod && go get -tool "go.etcd.io/etcd/$tool/v3@v3.7.3" 2>/dev/null && go build -o "../bin-$tool" "go.etcd.io/etcd/$tool/v3")
done
peer=http://127.0.0.1:32480 client=127.0.0.1:32479
./bin-server --data-dir data --listen-client-urls http://$client --advertise-client-urls http://$client --listen-peer-urls $peer \
  --initial-advertise-peer-urls $peer --initial-cluster default=$peer >server.log 2>&1 &
pid=$!
for _ in $(seq 50); do ./bin-etcdctl --endpoints $client put a 1 >/dev/null 2>&1 && break; sleep 0.2; done
./bin-etcdctl --endpoints $client snapshot save backup.db >/dev/null 2>&1
kill "$pid"; wait "$pid" || true; pid=
before=$(sha256sum <backup.db)
./bin-etcdutl snapshot restore backup.db --data-dir first >/dev/null 2>&1
echo "restore before hashkv: exit 0"
./bin-etcdutl hashkv backup.db >/dev/null
if [ "$(sha256sum <backup.db)" = "$before" ]; then echo "CHANGED: hashkv leaves the backup as it was"; exit 1; fi
echo "bytes of the backup after hashkv: changed"
rc=0; text=$(./bin-etcdutl snapshot restore backup.db --data-dir second 2>&1) || rc=$?
echo "restore after hashkv: exit $rc, $(grep -o 'Error: expected sha256' <<<"$text" | head -1)"
[ $rc = 1 ] && grep -q 'expected sha256' <<<"$text" || { echo "CHANGED: the restore does not refuse the file"; exit 1; }
