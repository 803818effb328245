"""What programs do with python3-etcd3, the gRPC client: python3-etcd3.py HOST PORT. Ends with 0 when all is as it should be."""
import queue
import sys

import etcd3

PATIENCE = 30  # seconds for what a healthy server does at once

client = etcd3.client(host=sys.argv[1], port=int(sys.argv[2]), timeout=PATIENCE)


def same(got, want):
    assert got == want, "got %r, want %r" % (got, want)


def keys_and_values(answer):
    return [(metadata.key, value) for value, metadata in answer]


# Keys.
client.put("py/a", "1")
value, metadata = client.get("py/a")
same((value, metadata.key, metadata.version), (b"1", b"py/a", 1))
same(client.get("py/none"), (None, None))
client.put("py/b", "2")
client.put("py/c", "")
same(keys_and_values(client.get_prefix("py/")), [(b"py/a", b"1"), (b"py/b", b"2"), (b"py/c", b"")])
same(keys_and_values(client.get_prefix("py/", sort_order="descend")), [(b"py/c", b""), (b"py/b", b"2"), (b"py/a", b"1")])
same(keys_and_values(client.get_range("py/a", "py/c")), [(b"py/a", b"1"), (b"py/b", b"2")])
same(client.put("py/a", "3", prev_kv=True).prev_kv.value, b"1")
same(client.put_if_not_exists("py/a", "4"), False)
same(client.put_if_not_exists("py/d", "4"), True)
same(client.replace("py/a", "3", "5"), True)
same(client.replace("py/a", "3", "6"), False)
same(client.delete("py/d"), True)
same(client.delete("py/d"), False)
succeeded, responses = client.transaction(
    compare=[client.transactions.value("py/a") == "5", client.transactions.version("py/b") > 0],
    success=[client.transactions.put("py/a", "7"), client.transactions.get("py/b")],
    failure=[client.transactions.delete("py/a")],
)
same(succeeded, True)
same([value for value, _ in responses[1]], [b"2"])
same(client.delete_prefix("py/").deleted, 3)
assert client.status().version.startswith("3.")
assert len(list(client.members)) > 0

# Watches.
events, cancel = client.watch_prefix("pw/")
client.put("pw/a", "1")
client.put("pw/b", "2")
client.delete("pw/a")
seen = [next(events) for _ in range(3)]
cancel()
same([(type(e).__name__, e.key, e.value) for e in seen],
     [("PutEvent", b"pw/a", b"1"), ("PutEvent", b"pw/b", b"2"), ("DeleteEvent", b"pw/a", b"")])
events, cancel = client.watch_prefix("pw/", start_revision=seen[1].mod_revision)
same([next(events).key for _ in range(2)], [b"pw/b", b"pw/a"])
cancel()
called = queue.Queue()
watch_id = client.add_watch_callback("pw/b", called.put)
client.put("pw/b", "3")
answer = called.get(timeout=PATIENCE)
same([e.value for e in getattr(answer, "events", [answer])], [b"3"])
client.cancel_watch(watch_id)
try:
    client.watch_once("pw/none", timeout=0.2)
    raise AssertionError("a watch of a key that does not change returned")
except etcd3.exceptions.WatchTimedOut:
    pass
client.delete_prefix("pw/")

# Leases.
lease = client.lease(60)
client.put("pl/a", "1", lease=lease)
client.put("pl/b", "2", lease=lease)
same(sorted(lease.keys), [b"pl/a", b"pl/b"])
same(lease.granted_ttl, 60)
assert 0 < lease.remaining_ttl <= 60
same([r.TTL for r in lease.refresh()], [60])
lease.revoke()
same(list(client.get_prefix("pl/")), [])
same(client.get_lease_info(lease.id).TTL, -1)
short = client.lease(2)
events, cancel = client.watch("pl/short")
client.put("pl/short", "x", lease=short)
same([type(next(events)).__name__ for _ in range(2)], ["PutEvent", "DeleteEvent"])
cancel()

# Locks. Of a held one no more is asked than whether one has it: how this client waits depends on a version of another module.
first, second = client.lock("py", ttl=60), client.lock("py", ttl=60)
same(first.acquire(), True)
same((first.is_acquired(), second.is_acquired()), (True, False))
same([r.TTL for r in first.refresh()], [60])
same(second.release(), False)
same(first.release(), True)
same(second.acquire(timeout=PATIENCE), True)
same((first.is_acquired(), second.is_acquired()), (False, True))
same(second.release(), True)
with client.lock("py") as third:
    same(third.is_acquired(), True)
same(client.get("/locks/py"), (None, None))
print("ok")
