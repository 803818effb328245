#!/bin/bash
# The commands that an introduction to etcd shows, as a newcomer types them: a server at localhost:2379, an etcdctl in the PATH, curl and jq.
# Prints a line for every check that fails, and how many there were. DIR is a directory for its files, PYTHON a Python with etcd3, if any.
set -u
cd "$DIR" || exit 1
touch watch.out watch.json alive.out elect.out listen.out example.out
trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT
checks=0 failures=0

fail() { failures=$((failures + 1)); printf 'FAIL %s\n  got:  %s\n  want: %s\n' "$1" "$2" "$3"; }
# same NAME GOT WANT
same() { checks=$((checks + 1)); [ "$2" = "$3" ] || fail "$1" "$2" "$3"; }
# like NAME GOT EXPRESSION
like() { checks=$((checks + 1)); [[ $2 =~ $3 ]] || fail "$1" "$2" "$3"; }
# holds NAME JSON FILTER
holds() { checks=$((checks + 1)); jq -e "$3" <<<"$2" >/dev/null 2>&1 || fail "$1" "$2" "$3"; }
# await NAME COMMAND: until the command succeeds, for at most half a minute
await() {
  checks=$((checks + 1))
  for _ in $(seq 600); do eval "$2" && return; sleep 0.05; done
  fail "$1" "still not" "$2"
}
post() { curl -s -m 20 -X POST "http://localhost:2379$1" -d "$2"; }
b64() { echo -n "$1" | base64; }

etcdctl del "" --from-key >/dev/null

# Keys and values.
same "put" "$(etcdctl put mykey "hello world" 2>&1)" "OK"
same "get" "$(etcdctl get mykey 2>&1)" $'mykey\nhello world'
same "get --print-value-only" "$(etcdctl get mykey --print-value-only 2>&1)" "hello world"
before=$(etcdctl get mykey -w json | jq -r .header.revision)
answer=$(post /v3/kv/put '{"key": "'$(b64 mykey)'", "value": "'$(b64 "hello world")'"}')
holds "POST put: a header, and in it numbers as strings" "$answer" \
  'keys == ["header"] and (.header | keys == ["cluster_id","member_id","raft_term","revision"] and all(.[]; type == "string" and test("^[0-9]+$")))'
same "POST put: one revision more" "$(jq -r .header.revision <<<"$answer")" "$((before + 1))"
answer=$(post /v3/kv/range '{"key": "'$(b64 mykey)'"}')
same "POST range" "$(jq -c '.kvs[] | {key: (.key | @base64d), value: (.value | @base64d)}' <<<"$answer")" '{"key":"mykey","value":"hello world"}'
holds "POST range: its fields" "$answer" '.count == "1" and (has("more") | not) and (.kvs[0] | keys == ["create_revision","key","mod_revision","value","version"])'
for pair in app=no app/a=1 app/b=2 app0=no; do etcdctl put "${pair%=*}" "${pair#*=}" >/dev/null; done
same "get --prefix" "$(etcdctl get --prefix "app/" 2>&1)" $'app/a\n1\napp/b\n2'
same "get of a range" "$(etcdctl get app/a app0 --keys-only 2>&1)" $'app/a\n\napp/b'
answer=$(post /v3/kv/range '{"key": "'$(b64 app/)'", "range_end": "'$(b64 app0)'"}')
same "POST range of a prefix" "$(jq -c '[.count, (.kvs[] | (.key | @base64d) + "=" + (.value | @base64d))]' <<<"$answer")" '["2","app/a=1","app/b=2"]'
same "del" "$(etcdctl del mykey 2>&1)" "1"
same "get of nothing" "$(etcdctl get mykey 2>&1)" ""
same "del of nothing" "$(etcdctl del mykey 2>&1)" "0"
etcdctl put mykey again >/dev/null
holds "POST deleterange" "$(post /v3/kv/deleterange '{"key": "'$(b64 mykey)'"}')" '.deleted == "1" and keys == ["deleted","header"]'
holds "POST deleterange of nothing" "$(post /v3/kv/deleterange '{"key": "'$(b64 mykey)'"}')" 'keys == ["header"]'
same "txn" "$(printf 'value("app/a") = "1"\n\nput app/a 3\nget app/b\n\nget app\n\n' | etcdctl txn 2>&1)" $'SUCCESS\n\nOK\n\napp/b\n2'

# Watches, by both doors. A first put is repeated until both are seen to be there.
etcdctl watch --prefix "config/" >watch.out 2>&1 &
curl -s -N -X POST http://localhost:2379/v3/watch \
  -d '{"create_request": {"key": "'$(b64 config/)'", "range_end": "'$(b64 config0)'"}}' >watch.json 2>&1 &
await "both watches are there" 'etcdctl put config/ready yes >/dev/null; grep -q config/ready watch.out && grep -q '"$(b64 config/ready)"' watch.json'
etcdctl put config/mark now >/dev/null
same "put, twice" "$(etcdctl put config/db_host "postgres.internal"; etcdctl put config/cache_ttl "300")" $'OK\nOK'
etcdctl del config/cache_ttl >/dev/null
await "watch sees the delete" '[ "$(tail -n 3 watch.out | head -n 1)" = DELETE ]'
same "watch" "$(sed '1,/^now$/d' watch.out)" $'PUT\nconfig/db_host\npostgres.internal\nPUT\nconfig/cache_ttl\n300\nDELETE\nconfig/cache_ttl'
await "POST watch sees the delete" 'tail -n 1 watch.json | grep -q DELETE'
holds "POST watch: created comes alone" "$(head -n 1 watch.json)" '.result.created and (.result | has("events") | not)'
same "POST watch: the events" \
  "$(jq -c '.result.events[]? | [.type, (.kv.key | @base64d), (.kv.value // "" | @base64d)]' watch.json | tail -n 3 | tr '\n' ' ')" \
  '[null,"config/db_host","postgres.internal"] [null,"config/cache_ttl","300"] ["DELETE","config/cache_ttl",""] '
holds "POST watch: what a delete tells of the key" "$(tail -n 1 watch.json)" '.result.events[0].kv | keys == ["key","mod_revision"]'
kill $(jobs -p) 2>/dev/null; wait

# Leases.
said=$(etcdctl lease grant 60 2>&1)
like "lease grant" "$said" '^lease [0-9a-f]{10,16} granted with TTL\(60s\)'
LEASE=$(grep -oP 'lease \K[a-f0-9]+' <<<"$said")
if command -v detcdctl >/dev/null; then # then etcdctl is a link to it, and says it in both forms that introductions look for
  like "lease grant, for those who look for an ID" "$(etcdctl lease grant 60 | grep -oP 'ID \K[a-f0-9]+')" '^[0-9a-f]{10,16}$'
fi
same "put --lease" "$(etcdctl put --lease=$LEASE "service/worker-1" "alive" 2>&1)" "OK"
etcdctl lease keep-alive $LEASE >alive.out 2>&1 &
await "lease keep-alive" "grep -qx 'lease $LEASE keepalived with TTL(60)' alive.out"
kill $(jobs -p) 2>/dev/null; wait
like "lease timetolive" "$(etcdctl lease timetolive --keys $LEASE 2>&1)" \
  "^lease $LEASE granted with TTL\(60s\), remaining\([56][0-9]s\), attached keys\(\[service/worker-1\]\)$"
same "lease list" "$(etcdctl lease list 2>&1 | grep -c "^$LEASE$")" "1"
answer=$(post /v3/lease/grant '{"TTL": 60}')
holds "POST grant" "$answer" 'keys == ["ID","TTL","header"] and .TTL == "60" and (.ID | test("^[0-9]+$"))'
ID=$(jq -r .ID <<<"$answer")
holds "POST keepalive" "$(post /v3/lease/keepalive '{"ID": "'$ID'"}')" ".result.ID == \"$ID\" and .result.TTL == \"60\""
holds "POST keepalive, the id as a number" "$(post /v3/lease/keepalive '{"ID": '$ID'}')" ".result.ID == \"$ID\""
holds "POST keepalive of nothing" "$(post /v3/lease/keepalive '{"ID": "123456"}')" '.result | has("TTL") | not'
holds "POST revoke" "$(post /v3/lease/revoke '{"ID": "'$ID'"}')" 'keys == ["header"]'
SHORT=$(etcdctl lease grant 2 | grep -oP 'lease \K[a-f0-9]+')
etcdctl put --lease=$SHORT service/short x >/dev/null
await "a key on a lease of 2 s ends" '[ -z "$(etcdctl get service/short)" ]'
same "lease revoke" "$(etcdctl lease revoke $LEASE 2>&1)" "lease $LEASE revoked"
same "get of a key whose lease is revoked" "$(etcdctl get service/worker-1 2>&1)" ""

# Locks and elections.
same "lock with a command" "$(etcdctl lock mutex -- echo held 2>&1)" "held"
etcdctl elect office me >elect.out 2>&1 &
await "elect" 'grep -q "^office/[0-9a-f]*$" elect.out && grep -qx me elect.out'
etcdctl elect --listen office >listen.out 2>&1 &
await "elect --listen" '[ "$(tail -n 1 listen.out)" = me ]'
kill $(jobs -p) 2>/dev/null; wait

# The cluster.
like "endpoint health" "$(etcdctl endpoint health 2>&1)" '^127.0.0.1:2379 is healthy: successfully committed proposal: took = '
table=$(etcdctl endpoint status --write-out=table 2>&1)
like "endpoint status" "$table" '127\.0\.0\.1:2379 │ +[0-9a-f]+ │ +3\.'
same "endpoint status: its lines" "$(wc -l <<<"$table")" "5"
like "member list" "$(etcdctl member list 2>&1)" 'started, m0, http://'
same "GET health" "$(curl -s http://localhost:2379/health | jq -c)" '{"health":"true","reason":""}'
holds "POST status" "$(post /v3/maintenance/status '{}')" \
  '(.version | test("^3\\.[0-9]+\\.[0-9]+$")) and all(.dbSize, .dbSizeInUse, .leader, .raftIndex, .raftTerm, .raftAppliedIndex; test("^[0-9]+$"))'

# Python: puts, gets, and a watch without an end.
if [ -n "${PYTHON:-}" ]; then
  cat >example.py <<'END'
import etcd3

client = etcd3.client(host='localhost', port=2379)
client.put('py/app_name', 'Example')
value, metadata = client.get('py/app_name')
print(f"Value: {value.decode()}")
for value, metadata in client.get_prefix('py/'):
    print(f"{metadata.key.decode()} = {value.decode()}")
watch_iter, cancel = client.watch_prefix('py/')
print("watching")
for event in watch_iter:
    print(f"Changed: {event.key.decode()} = {event.value.decode()}")
END
  etcdctl put py/other o >/dev/null
  "$PYTHON" -u -W ignore example.py >example.out 2>&1 &
  await "the Python example watches" 'grep -q "^watching" example.out'
  etcdctl put py/app_name 'Changed it' >/dev/null
  await "the Python example sees a change" 'grep -q "^Changed:" example.out'
  same "the Python example" "$(grep -v ^watching example.out)" \
    $'Value: Example\npy/app_name = Example\npy/other = o\nChanged: py/app_name = Changed it'
  kill $(jobs -p) 2>/dev/null; wait
fi

echo "$checks checks, $failures failures"
[ $failures = 0 ]
