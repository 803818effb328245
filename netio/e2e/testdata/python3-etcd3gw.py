"""What programs do with python3-etcd3gw, the HTTP client: python3-etcd3gw.py HOST PORT [PATH], PATH being its own choice if not given. Ends
with 0 when all is as it should be."""
import sys
import uuid

from etcd3gw import exceptions
from etcd3gw.client import Etcd3Client
from etcd3gw.client import client as new_client

PATIENCE = 30  # seconds for what a healthy server does at once

host, port = sys.argv[1], int(sys.argv[2])
if len(sys.argv) > 3:
    client = Etcd3Client(host=host, port=port, timeout=PATIENCE, api_path=sys.argv[3])
else:
    client = new_client(host=host, port=port, timeout=PATIENCE)
prefix = "gw-%s/" % uuid.uuid4()


def same(got, want):
    assert got == want, "got %r, want %r" % (got, want)


def key(name):
    return prefix + name


def keys_and_values(answer):
    return [(metadata["key"].decode()[len(prefix):], value) for value, metadata in answer]


# Keys.
same(client.put(key("a"), "1"), True)
same(client.get(key("a")), [b"1"])
same(client.get(key("none")), [])
client.put(key("b"), "2")
client.put(key("c"), "")
same(keys_and_values(client.get_prefix(prefix)), [("a", b"1"), ("b", b"2"), ("c", b"")])
same(keys_and_values(client.get_prefix(prefix, sort_order="descend", sort_target="key")), [("c", b""), ("b", b"2"), ("a", b"1")])
same(client.create(key("a"), "x"), False)
same(client.create(key("d"), "x"), True)
same(client.replace(key("a"), "1", "5"), True)
same(client.replace(key("a"), "1", "6"), False)
same(client.delete(key("d")), True)
same(client.delete(key("d")), False)
same(client.delete_prefix(prefix), True)
assert client.status()["version"].startswith("3.")
assert all(member["clientURLs"] for member in client.members())

# Watches.
start = int(client.status()["header"]["revision"]) + 1
events, cancel = client.watch_prefix(prefix)
client.put(key("a"), "1")
client.put(key("b"), "2")
client.delete(key("a"))
seen = [next(events) for _ in range(3)]
cancel()
same([(e.get("type"), e["kv"]["key"].decode()[len(prefix):], e["kv"].get("value")) for e in seen],
     [(None, "a", b"1"), (None, "b", b"2"), ("DELETE", "a", None)])
event = client.watch_once(key("b"), timeout=PATIENCE, start_revision=start)
same(event["kv"]["value"], b"2")
try:
    client.watch_once(key("none"), timeout=0.2)
    raise AssertionError("a watch of a key that does not change returned")
except exceptions.WatchTimedOut:
    pass

# Leases.
lease = client.lease(60)
client.put(key("l"), "1", lease=lease)
same(lease.keys(), [key("l").encode()])
assert 0 < lease.ttl() <= 60
same(lease.refresh(), 60)
same(lease.revoke(), True)
same(client.get(key("l")), [])
same(lease.refresh(), -1)
same(lease.ttl(), -1)
short = client.lease(2)
events, cancel = client.watch(key("short"))
client.put(key("short"), "x", lease=short)
same([next(events).get("type") for _ in range(2)], [None, "DELETE"])
cancel()

# Locks.
name = str(uuid.uuid4())
first, second = client.lock(name, ttl=60), client.lock(name, ttl=60)
same(first.acquire(), True)
same(first.is_acquired(), True)
same(second.acquire(), False)
same(second.is_acquired(), False)
same(first.refresh(), 60)
same(second.release(), False)
same(first.release(), True)
same(second.acquire(), True)
same(second.release(), True)
with client.lock(name) as third:
    same(third.is_acquired(), True)
same(third.is_acquired(), False)
client.delete_prefix(prefix)
print("ok")
