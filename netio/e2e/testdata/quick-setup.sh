#!/bin/bash
# The first commands of an introduction: start the server with the flags that it shows (SERVER is the program) and use it where everything
# is by default. Nobody else may listen on port 2379. DIR is a directory for its files.
set -u
cd "$DIR" || exit 1
trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT
"$SERVER" --advertise-client-urls http://0.0.0.0:2379 --listen-client-urls http://0.0.0.0:2379 >server.log 2>&1 &
for _ in $(seq 600); do etcdctl put mykey "hello world" >/dev/null 2>&1 && break; sleep 0.05; done
failures=0
same() { [ "$2" = "$3" ] || { failures=$((failures + 1)); printf 'FAIL %s\n  got:  %s\n  want: %s\n' "$1" "$2" "$3"; }; }
same "get" "$(etcdctl get mykey 2>&1)" $'mykey\nhello world'
same "GET health" "$(curl -s http://localhost:2379/health | jq -r .health)" "true"
same "the data directory" "$(stat -c '%F %a' default.etcd 2>&1)" "directory 700"
if [ $failures = 0 ]; then echo "all is as it should be"; else tail -n 5 server.log; fi
[ $failures = 0 ]
