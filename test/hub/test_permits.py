"""What a host may do through its hub, and nothing else: over real TLS, as itself."""
import json
import signal
import threading

import pytest

from etcd_words import Gateway, b64, delete, get, put, revision_is, text_of, value_is
from fleet import Hub
from scratch import PATIENCE, eventually

ROOT = "stead/1/"


class World:
    """A hub with web1, who was granted something, and web2."""

    def __init__(self, directory):
        self.hub = Hub(directory / "hub").start()
        self.web1 = Gateway(self.hub, *self.hub.join("web1", directory / "web1"))
        self.web2 = Gateway(self.hub, *self.hub.join("web2", directory / "web2"))
        self.grant("web1", ["web/{host}", "shared/"])
        self.admin = Gateway(self.hub)
        self.who = {"web1": self.web1, "web2": self.web2, "admin": self.admin}

    def grant(self, host: str, grants: list[str]):
        """Below the hub, which is not running meanwhile."""
        self.hub.stop()
        store = f"--store=sqlite={self.hub.data}/state.db"
        record = json.loads(self.hub.stead("state", "get", f"hub/hosts/{host}", store).stdout)
        done = self.hub.stead("state", "put", f"hub/hosts/{host}", json.dumps({**record, "grants": grants}), store)
        assert done.returncode == 0, done.stderr
        self.hub.start()

    def close(self):
        for gateway in self.who.values():
            gateway.close()
        self.hub.stop()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = World(tmp_path_factory.mktemp("permits"))
    try:
        yield world
    finally:
        world.close()


# Below stead/1/: what web1 may do with that key. r: read, w: write.
KEYS = {
    "data/": "r", "data/web2/x@web2": "r", "data/web1@web1": "rw", "data/web1/http@web1": "rw",
    "data/web/web1@web1": "rw", "data/shared/x@web1": "rw", "data/web/web1@web2": "r", "data/web/web2@web1": "r",
    "data/web2@web1": "r", "data/web1": "r", "data/web1x@web1": "r", "data/web1@x@web1": "r", "data/web1@web1@web1": "r",
    "data/shared/x@web2": "r", "data/web1/@web1": "r", "data/@web1": "r",
    "export/": "r", "export/file/web1/a": "rw", "export/file/web1/a/b": "rw", "export/file/web1": "r",
    "export/file/web1/": "r", "export/file/web2/a": "r", "export/web1/a": "r", "export/file/x/web1/a": "r",
    "host/": "r", "host/web1": "rw", "host/web2": "r", "host/web1/x": "r", "host/web10": "r",
    "schedule/": "r", "schedule/s/pool/web1": "rw", "schedule/s/pool/web2": "r", "schedule/s/t/pool/web1": "r",
    "schedule/s/seat/0": "r", "schedule/s/seat/64": "r", "schedule/s/seat/x": "r", "schedule/s": "r",
    "kv/": "r", "kv/web1": "rw", "kv/web1/a": "rw", "kv/shared/a": "rw", "kv/web/web1": "rw", "kv/web/web2": "r",
    "kv/other": "r", "kv/shared": "r",
    "fleet/": "", "fleet/keys": "r", "fleet/keysx": "", "fleet/record/": "r", "fleet/record/000000000001": "r",
    "fleet/member/": "", "fleet/member/web1": "r", "fleet/member/web10": "", "fleet/member/web2": "",
    "fleet/desired/": "", "fleet/desired/web1": "r", "fleet/desired/web10": "", "fleet/desired/web2": "",
    "fleet/reported/web1": "rw", "fleet/reported/web2": "", "fleet/reported/web1/x": "", "fleet/reported/": "",
    "fleet/facts/web1": "rw", "fleet/facts/web2": "", "fleet/run/web1": "rw", "fleet/run/web2": "",
    "fleet/drift/web1/": "rw", "fleet/drift/web1/1": "rw", "fleet/drift/web2/1": "", "fleet/drift/": "",
    "fleet/drift/web1": "", "fleet/drift/web10/1": "",
    "fleet/ask/web1/": "r", "fleet/ask/web1/1": "r", "fleet/ask/web2/1": "", "fleet/answer/web1/": "rw",
    "fleet/answer/web1/1": "rw", "fleet/answer/web2/1": "",
    "fleet/stage/web1": "", "fleet/outcome/000000000001": "", "fleet/rollout": "",
    "fleet/bad/x": "", "fleet/log/": "",
    "bundle/": "", "bundle/head/": "r", "bundle/head/x": "r", "bundle/chunk/": "", "bundle/chunk/x/1/2": "r", "bundle/chunk/x/1": "", "bundle/chunk/x/1/": "", "bundle/upload/x/1": "",
    "other": "", "": "",
}
# What it may read as a whole, or delete.
READS = ("data/", "export/", "schedule/", "host/", "kv/", "fleet/record/", "fleet/drift/web1/", "fleet/ask/web1/",
         "fleet/answer/web1/", "bundle/head/")
DELETES = ("fleet/drift/web1/", "fleet/answer/web1/")
# And of the whole store.
OUTSIDE = ["hub/", "hub/authority", "hub/hosts/web1", "hub/leases/0000000000000001", "stead/", "stead/2/data/web1@web1",
           "stead/1", "a", "\0", "zzz"]


def expect(answer: tuple[int, dict], allowed: bool, what: str):
    status, said = answer
    assert status == (200 if allowed else 403), f"{what}: {said}"
    if not allowed:
        assert said["code"] == 7 and said["error"].startswith("etcdserver: permission denied: host 'web1' may not "), what


def test_what_a_host_may_touch(world):
    ask, lease = world.web1, world.web1.grant()
    for key, rights in KEYS.items():
        full = ROOT + key
        for what, answer, allowed in (
            ("read", ask.range(full), "r" in rights),
            ("compare", ask.txn([value_is(full, "x")]), "r" in rights),
            ("read in a transaction", ask.txn([], [get(full)]), "r" in rights),
            ("read below", ask.range(full, prefix=True), key.startswith(READS)),
            ("put", ask.put(full, lease=lease), "w" in rights),
            ("put otherwise", ask.txn([], [], [put(full, lease=lease)]), "w" in rights),
            ("delete", ask.delete(full), "w" in rights),
            ("delete below", ask.delete(full, prefix=True), key.startswith(DELETES)),
        ):
            expect(answer, allowed, f"{what} '{key}'")
        status, stream = ask.watch(full, prefix=True)
        assert (status == 200) == key.startswith(READS), f"watch '{key}': {stream}"
        if status == 200:
            stream.close()


def test_what_a_host_publishes_ends_with_it(world, tmp_path):
    """Without a lease it would be there when the host is lost, or is revoked because it lies."""
    for key, lasts in {"data/web3@web3": False, "export/file/web3/a": False, "host/web3": False, "schedule/s/pool/web3": False,
                       "fleet/reported/web3": False, "fleet/answer/web3/1": False, "kv/web3": True, "fleet/facts/web3": True,
                       "fleet/run/web3": True, "fleet/drift/web3/1": True}.items():
        if key == "data/web3@web3":
            web3 = Gateway(world.hub, *world.hub.join("web3", tmp_path / "web3"))
        for status, said in (web3.put(ROOT + key), web3.txn([], [], [put(ROOT + key)])):
            assert status == (200 if lasts else 403), key
            assert lasts or said["error"].endswith(f"may not write '{ROOT}{key}': only with a lease, so that it ends with the host")
    status, said = web3.ask("lease/grant", {"TTL": "86401"})
    assert status == 400 and "host 'web3' asks for a lease of more than EXCHANGE_MAX_TTL (86400) seconds" in said["error"]
    assert web3.put(ROOT + "data/web3/http@web3", lease=web3.grant(86400))[0] == 200
    assert world.hub.ask("POST", "/v1/hosts/web3/revoke", {}).status == 200
    web3.close()
    eventually(lambda: world.admin.get(ROOT + "data/web3/http@web3") is None)


def test_nobody_reaches_the_keys_of_the_hub(world):
    for key in OUTSIDE:
        for gateway, name in ((world.web1, "host 'web1'"), (world.admin, "an admin")):
            for answer in (gateway.range(key), gateway.range(key, prefix=True), gateway.put(key), gateway.delete(key),
                           gateway.delete(key, prefix=True), gateway.txn([revision_is(key, 0)]), gateway.txn([], [put(key)]),
                           gateway.txn([], [], [get(key)]), gateway.watch(key), gateway.watch(key, prefix=True)):
                assert answer[0] == 403, f"{name} {key!r}: {answer}"
                assert f"denied: {name} may not " in answer[1]["error"] and "only keys below 'stead/1/'" in answer[1]["error"]
    beyond = {"key": b64(ROOT), "range_end": b64("\0")}  # up to the end of all keys
    for gateway in (world.web1, world.admin):
        for path in ("kv/range", "kv/deleterange"):
            assert gateway.ask(path, beyond)[0] == 403
            assert gateway.ask(path, {"key": b64("zzz"), "range_end": b64(ROOT + "host/")})[0] == 403  # no key at all
    assert world.admin.put(ROOT + "fleet/member/web1", "{}")[0] == 200
    assert world.admin.range(ROOT, prefix=True)[0] == 200
    assert world.admin.delete(ROOT + "fleet/member/", prefix=True)[1]["deleted"] == "2"


def test_a_refused_part_refuses_the_whole(world):
    lease = world.web1.grant()
    status, said = world.web1.txn([], [put(ROOT + "host/web1", "mine", lease), put(ROOT + "host/web2", "theirs")])
    assert status == 403
    assert said["error"] == ("etcdserver: permission denied: host 'web1' may not write 'stead/1/host/web2': only 'host/web1'")
    assert world.admin.get(ROOT + "host/web1") is None
    status, said = world.web1.put(ROOT + "data/web/web2@web1")
    assert "only 'data/{key}@web1', {key} being its name or granted to it" in said["error"]
    status, said = world.web1.put(ROOT + "fleet/rollout")
    assert said["error"].endswith("may not write 'stead/1/fleet/rollout': only 'fleet/reported/web1', 'fleet/facts/web1', "
                                  "'fleet/run/web1', 'fleet/drift/web1/**', 'fleet/answer/web1/**'")
    metrics = world.hub.get("/metrics").body.decode()
    assert int(metrics.split("\nstead_hub_gateway_refused_total ")[1].split()[0]) > 100


def test_grants_count_for_their_host_only(world):
    for key in ("data/web/web2@web2", "data/shared/x@web2", "kv/shared/a", "kv/web/web2"):
        assert world.web2.put(ROOT + key)[0] == 403, key
    assert world.web2.put(ROOT + "kv/web2/a")[0] == 200


def test_seats(world):
    web1, web2, seat = world.web1, world.web2, ROOT + "schedule/s/seat/0"
    assert web1.put(seat, "web1")[0] == 403  # without looking whether it is free
    assert web1.txn([revision_is(ROOT + "schedule/s/seat/1", 0)], [put(seat, "web1")])[0] == 403
    assert web1.txn([revision_is(seat, 0)], [put(seat, "web2")])[0] == 403
    assert web1.txn([revision_is(seat, 0)], [], [put(seat, "web1")])[0] == 403
    assert web1.txn([revision_is(seat, 0)], [put(ROOT + "schedule/s/seat/64", "web1")])[0] == 403
    status, taken = web1.txn([revision_is(seat, 0)], [put(seat, "web1")])
    assert status == 200 and taken["succeeded"]
    held = int(taken["header"]["revision"])
    for compare in (revision_is(seat, held), value_is(seat, "web1")):  # what another knows of it does not help
        for change in (put(seat, "web2"), delete(seat)):
            status, said = web2.txn([compare], [change])
            assert status == 200 and not said.get("succeeded")
    assert not web2.txn([revision_is(seat, 0)], [put(seat, "web2")])[1].get("succeeded")
    assert web2.delete(seat)[0] == 403 and web1.delete(seat)[0] == 403
    assert world.admin.get(seat) == "web1"
    lease = web1.grant()
    status, kept = web1.txn([revision_is(seat, held)], [put(seat, "web1", lease)])  # as an agent that started again
    assert kept["succeeded"]
    assert web1.txn([value_is(seat, "web1")], [delete(seat)])[1]["succeeded"]
    assert web2.txn([revision_is(seat, 0)], [put(seat, "web2")])[1]["succeeded"]
    assert not web1.txn([revision_is(seat, 1)], [delete(seat)])[1].get("succeeded")


def test_leases_are_of_one_host(world):
    web1, web2 = world.web1, world.web2
    lease = web1.grant(30)
    assert web1.put(ROOT + "host/web1", "{}", lease)[0] == 200
    for answer in (web2.put(ROOT + "host/web2", "{}", lease), web2.ask("lease/revoke", {"ID": lease}),
                   web2.ask("lease/keepalive", {"ID": lease}), web2.ask("lease/timetolive", {"ID": lease})):
        assert answer[0] == 403 and "it was granted to another" in answer[1]["error"], answer
    assert web1.ask("lease/keepalive", {"ID": lease})[1]["result"]["TTL"] == "30"

    world.hub.stop(signal.SIGKILL)  # it is known whose they are also when nobody remembers
    for gateway in world.who.values():
        gateway.close()
    world.hub.start()
    assert web2.put(ROOT + "host/web2", "{}", lease)[0] == 403
    assert int(web1.ask("lease/timetolive", {"ID": str(lease)})[1]["TTL"]) <= 30
    assert web1.put(ROOT + "host/web1", "again", lease)[0] == 200

    assert web1.ask("lease/revoke", {"ID": str(lease)})[0] == 200
    assert world.admin.get(ROOT + "host/web1") is None
    assert web1.put(ROOT + "host/web1", "{}", lease)[0] == 404
    assert "TTL" not in web1.ask("lease/keepalive", {"ID": lease})[1]["result"]  # as etcd says it
    assert web1.ask("lease/timetolive", {"ID": lease})[1]["TTL"] == "-1"
    theirs = world.admin.grant()
    assert web1.put(ROOT + "host/web1", "{}", theirs)[0] == 404
    assert web1.ask("kv/compaction", {"revision": "1"})[0] == 403


def test_limits_of_a_host(world):
    leases = [world.web2.grant() for _ in range(64)]
    status, said = world.web2.ask("lease/grant", {"TTL": "60"})
    assert status == 400 and "request is too large: host 'web2' has GATEWAY_LEASES (64) leases" in said["error"]
    assert world.web1.grant()  # others have theirs
    assert world.web2.ask("lease/revoke", {"ID": leases.pop()})[0] == 200
    eventually(lambda: world.web2.ask("lease/grant", {"TTL": "60"})[0] == 200)
    for lease in leases:
        world.web2.ask("lease/revoke", {"ID": lease})

    streams = [world.web2.watch(ROOT + "data/", prefix=True) for _ in range(64)]
    assert all(status == 200 for status, _ in streams)
    status, said = world.web2.watch(ROOT + "data/", prefix=True)
    assert status == 400 and "host 'web2' has GATEWAY_WATCHES (64) watches open" in said["error"]
    streams.pop()[1].close()


    def again():  # the hub looks who is gone whenever one is at its limit
        streams.append(world.web2.watch(ROOT + "data/", prefix=True))
        return streams[-1][0] == 200

    eventually(again)
    for status, stream in streams:
        if status == 200:
            stream.close()
    eventually(again)
    streams[-1][1].close()


def test_answers_that_a_host_does_not_take(world):
    """A host that asks for much, often, and reads none of it: the hub holds so much of it, and serves others."""
    for number in range(30):
        assert world.admin.put(f"{ROOT}kv/web2/{number}", "v" * 1000000)[0] == 200
    ask = world.web2.request("kv/range", {"key": b64(ROOT + "kv/web2/"), "range_end": b64(ROOT + "kv/web20")})

    def start() -> tuple:
        connection = world.hub.connect(*world.web2.certificate)
        connection.send(ask)
        return connection, connection.until(b"\r\n\r\n").split()[1]  # and nothing of the body

    greedy = [start() for _ in range(6)]
    assert [status for _, status in greedy] == [b"200"] * 2 + [b"503"] * 4
    assert world.web1.range(ROOT + "kv/web2/1")[0] == 200
    for connection, _ in greedy:
        connection.close()

    def again() -> bool:
        connection, status = start()
        connection.close()
        return status == b"200"

    eventually(again)
    assert world.admin.delete(ROOT + "kv/web2/", prefix=True)[0] == 200


def test_watch_tells_in_order_and_resumes(world):
    watched = world.web2.watch(ROOT + "kv/web1/", prefix=True)[1]
    created = watched.next()
    assert created["created"]
    for n in range(20):
        assert world.web1.put(f"{ROOT}kv/web1/{n % 3}", str(n))[0] == 200
    told = []
    while len(told) < 20:
        told += [text_of(event["kv"]["value"]) for event in watched.next().get("events", [])]
    assert told == [str(n) for n in range(20)]
    watched.close()
    late = world.web2.watch(ROOT + "kv/web1/", prefix=True, start=int(created["header"]["revision"]) + 1)[1]
    assert late.next()["created"]
    again = []
    while len(again) < 20:
        again += [text_of(event["kv"]["value"]) for event in late.next()["events"]]
    assert again == told
    assert world.web1.delete(ROOT + "kv/web1/0")[0] == 200
    assert late.next()["events"][0]["type"] == "DELETE"
    late.close()


def test_malformed_and_oversized(world):
    web1 = world.web1
    key = b64(ROOT + "host/web1")
    for path, body, part in (
        ("kv/range", b"", "read the request: "), ("kv/range", b"{", "read the request: "), ("kv/range", b"[]", "is no object but of type list"),
        ("kv/range", b"\xff\xfe", "read the request: "), ("kv/range", {"key": b64("")}, "only keys below"),
        ("kv/range", {"key": "!"}, "'key' is no base64"), ("kv/range", {"key": 7}, "'key' is no base64"),
        ("kv/range", {"key": key, "limit": "x"}, "'limit' is no whole number"),
        ("kv/range", {"key": key, "sort_order": "DESCEND"}, "'sort_order' of request_range is not served here; it takes: key "),
        ("kv/range", {"key": key, "keys_only": "yes"}, "'keys_only' is neither true nor false"),
        ("kv/put", {"key": key, "prev_kv": True}, "'prev_kv' of request_put is not served here"),
        ("kv/deleterange", {"key": key, "prev_kv": True}, "is not served here"),
        ("kv/txn", {"compare": {}}, "'compare' is no list"), ("kv/txn", {"success": [7]}, "an operation is no object but of type integer"),
        ("kv/txn", {"success": [{}]}, "an operation is one of"),
        ("kv/txn", {"success": [{"request_txn": {}}]}, "'request_txn' of an operation is not served here"),
        ("kv/txn", {"compare": [{"key": key, "target": "SIZE"}]}, "no such 'result' or 'target'"),
        ("kv/txn", {"compare": [{"key": key, "result": 3}]}, "no such 'result' or 'target'"),
        ("kv/txn", {"compare": [{"key": key, "range_end": key}]}, "'range_end' of a compare is not served here"),
        ("lease/grant", {"TTL": "9223372036854775808"}, "no whole number of 64 bits"), ("lease/grant", {"TTL": 0}, ""),
        ("lease/keepalive", {"ID": None}, "'ID' is no whole number"), ("watch", {"create_request": {"key": key, "range_end": key}}, "a watch is of one key"),
        ("watch", {"create_request": {"key": key, "filters": ["NOPUT"]}}, "'filters' of create_request is not served here"),
        ("watch", {"cancel_request": {"watch_id": 1}}, "'cancel_request' of a watch is not served here"),
        ("watch", {"create_request": {"key": key, "start_revision": -1}}, "no revision below 0"),
    ):
        status, said = web1.ask(path, body)
        assert status in (400, 403, 404) and part in said["error"], (path, body, status, said)
    for path in ("auth/authenticate", "maintenance/status", "cluster/member/list", "kv/lease/revoke"):
        assert world.admin.ask(path, {})[0] == 404, path

    large = "v" * (1024 * 1024)
    assert web1.put(ROOT + "kv/web1", large)[0] == 200
    status, said = web1.put(ROOT + "kv/web1", large + "v")
    assert status == 400 and "STORE_LIMIT_VALUE" in said["error"]
    status, said = web1.txn([], [put(ROOT + "kv/web1", large), put(ROOT + "kv/web1/a", large)])
    assert status == 400 and "STORE_LIMIT_TXN_BYTES" in said["error"] or status == 413
    web1.close()
    assert world.admin.get(ROOT + "kv/web1") == large
    assert world.web1.delete(ROOT + "kv/web1")[1]["deleted"] == "1"


def test_pipelined_requests_are_answered_in_order(world):
    connection = world.hub.connect(*world.web1.certificate)
    keys = [f"{ROOT}kv/web1/p{n}" for n in range(20)]
    connection.send(b"".join(world.web1.request("kv/put", {"key": b64(key), "value": b64("v")}) for key in keys))
    revisions = [int(connection.answer().json["header"]["revision"]) for _ in keys]
    assert revisions == sorted(set(revisions)), revisions  # a lease of another test may end in between
    connection.close()


def test_a_client_that_does_not_read_costs_nothing(world):
    """It gets all of it when it goes on, though it is more than a hub keeps for it."""
    slow = world.web2.watch(ROOT + "kv/web1/", prefix=True)[1]
    assert slow.next()["created"]
    large = "v" * (900 * 1024)
    for n in range(24):
        assert world.web1.put(ROOT + "kv/web1/large", f"{n} {large}")[0] == 200
    told = []
    while len(told) < 24:
        message = slow.next()
        assert message is not None, "it was dropped"
        told += [int(text_of(event["kv"]["value"]).split()[0]) for event in message.get("events", [])]
    assert told == list(range(24))
    slow.close()


def test_revoked_in_the_middle_of_a_watch(world, tmp_path):
    gone = Gateway(world.hub, *world.hub.join("gone", tmp_path / "gone"))
    lease = gone.grant(60)
    assert gone.put(ROOT + "host/gone", "{}", lease)[0] == 200
    stream, ended = gone.watch(ROOT + "host/", prefix=True)[1], threading.Event()
    assert stream.next()["created"]
    threading.Thread(target=lambda: (stream.next(), ended.set()), daemon=True).start()
    assert world.hub.stead("host", "revoke", "gone", "--data", str(world.hub.data)).returncode == 0
    assert ended.wait(PATIENCE)
    status, said = gone.put(ROOT + "host/gone", "still here")
    assert status == 403 and "was revoked" in said["error"]
    assert gone.watch(ROOT + "host/", prefix=True)[0] == 403
    gone.close()
