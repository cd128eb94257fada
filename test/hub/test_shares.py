"""What a host, or a thief of its key, gets of a hub: a share, also when it asks for everything at once."""
import contextlib
import json
import re
import threading
import time

import pytest

from etcd_words import Gateway, b64, end_of, put
from fleet import Hub
from scratch import eventually

ROOT = "stead/1/"
BYTES, KEYS = 100_000, 40


@pytest.fixture
def thieves(tmp_path):
    """A hub with small shares, and a hundred connections of web1."""
    hub = Hub(tmp_path / "hub", "--host-bytes", str(BYTES), "--host-keys", str(KEYS))
    with hub, contextlib.ExitStack() as stack:
        member = hub.join("web1", tmp_path / "web1")
        hub.join("web2", tmp_path / "web2")
        many = [Gateway(hub, *member) for _ in range(100)]
        for one in many:
            stack.callback(one.close)
            assert one.range(ROOT + "kv/web1")[0] == 200  # connected
        yield many


def at_once(thieves, path, body_of) -> list[int]:
    for number, one in enumerate(thieves):
        one.connection.send(one.request(path, body_of(number)))
    return [one.connection.answer().status for one in thieves]


def test_leases_asked_for_at_once(thieves):
    statuses = at_once(thieves, "lease/grant", lambda number: {"TTL": "60"})
    assert statuses.count(200) == 64 and statuses.count(400) == 36, statuses


def test_no_more_than_its_share(thieves):
    hub, web1 = thieves[0].hub, thieves[0]
    web2 = Gateway(hub, *(hub.data.parent / "web2/hub" / name for name in ("certificate.pem", "key.pem")))
    key = ROOT + "kv/web1/{}"
    large = "v" * 9_000
    statuses = at_once(thieves, "kv/put", lambda number: {"key": b64(key.format(number)), "value": b64(large)})
    assert statuses.count(200) == 11 and statuses.count(400) == 89, statuses
    full = f"of {BYTES} and {KEYS}; delete some, or start the hub with a larger --host-bytes or --host-keys"
    for answer in (web1.put(key.format("more"), large), web1.txn([], [], [put(key.format("more"), large)])):
        assert answer[0] == 400 and "host 'web1' may not write more: it has 99" in answer[1]["error"] and full in answer[1]["error"]

    kept = eventually(lambda: [word for word in range(100) if web1.get(key.format(word)) is not None])
    assert web1.put(key.format(kept[0]), "short")[0] == 200  # what does not grow may change
    assert web1.put(key.format(kept[1]), large)[0] == 200
    lease = web1.grant(3600)  # longer than all of this
    assert web1.put(ROOT + "fleet/reported/web1", "r" * 20_000, lease)[0] == 200  # it can say how it is
    assert web2.put(ROOT + "kv/web2", large)[0] == 200  # others have their own
    told = hub.get("/metrics").body.decode()
    assert f"stead_hub_host_bytes_limit {BYTES}\n" in told and "stead_hub_host_full_total 91\n" in told
    assert 'stead_hub_host_bytes{host="web1"} 11' in told and 'host="web2"' not in told

    for one in (*thieves, web2):
        one.close()
    hub.stop()
    hub.start()  # known again as soon as it has looked
    assert eventually(lambda: 'stead_hub_host_bytes{host="web1"} 11' in hub.get("/metrics").body.decode())
    assert web1.put(key.format("more"), large)[0] == 400
    for word in kept:
        assert web1.delete(key.format(word))[0] == 200
    eventually(lambda: web1.put(key.format("more"), large)[0] == 200)
    statuses = [web1.put(key.format(f"k{number}"), "")[0] for number in range(KEYS)]
    assert statuses.count(200) == KEYS - 2 and statuses[-1] == 400, statuses  # the report and the large one are keys too


class Greedy(threading.Thread):
    """Reads all of kv/ again and again as fast as it gets it, and counts the bytes."""

    def __init__(self, gateway: Gateway):
        super().__init__(daemon=True)
        self.gateway, self.taken, self.stopped = gateway, 0, threading.Event()

    def run(self):
        connection = self.gateway.hub.connect(*self.gateway.certificate)
        request = self.gateway.request("kv/range", {"key": b64(ROOT + "kv/"), "range_end": b64(end_of(ROOT + "kv/"))})
        with connection, contextlib.suppress(OSError):
            while not self.stopped.is_set():
                connection.send(request)
                head = connection.until(b"\r\n\r\n").decode().lower()
                left = int(re.search(r"content-length: (\d+)", head)[1]) - len(connection.heard)
                self.taken += len(connection.heard)
                connection.heard = b""
                while left > 0 and not self.stopped.is_set():
                    data = connection.socket.recv(1 << 20)
                    left, self.taken = left - len(data), self.taken + len(data)


def test_who_reads_as_fast_as_it_can_leaves_room(tmp_path):
    with Hub(tmp_path / "hub") as hub:
        web1, web2 = (Gateway(hub, *hub.join(name, tmp_path / name)) for name in ("web1", "web2"))
        for number in range(6):
            assert web1.put(f"{ROOT}kv/web1/{number}", "v" * 700_000)[0] == 200
        readers = [Greedy(web1) for _ in range(6)]
        begin, others = time.monotonic(), []
        for reader in readers:
            reader.start()
        while time.monotonic() - begin < 4:
            asked = time.monotonic()
            assert web2.get(ROOT + "kv/web2") is None
            others.append(time.monotonic() - asked)
            time.sleep(0.005)  # a pace, not a wait
        eventually(lambda: "stead_hub_gateway_waited_total 0\n" not in hub.get("/metrics").body.decode(), "one to wait")
        taken = sum(reader.taken for reader in readers)
        took = time.monotonic() - begin  # not before: there may be a while between the two
        for reader in readers:
            reader.stopped.set()
        print(json.dumps({"MiB a second": round(taken / took / 2**20), "others, ms": round(sorted(others)[len(others) // 2] * 1000, 1)}))
        # 16 MiB at once and 8 a second, as base64; and one answer of each of two that are under way.
        assert taken <= ((16 + 8 * took) * 4 / 3 + 3 * 6) * 2**20
        assert hub.ask("POST", "/v1/hosts/web1/revoke", {}).status == 200  # while some wait
        for reader in readers:
            reader.join(60)
            assert not reader.is_alive()
        web1.close()
        web2.close()


class Flood(threading.Thread):
    """Overwrites a key of kv/ as fast as it may, and counts how often it did."""

    def __init__(self, gateway: Gateway, key: str):
        super().__init__(daemon=True)
        self.gateway, self.key, self.written, self.last = Gateway(gateway.hub, *gateway.certificate), key, 0, None

    def run(self):
        with contextlib.suppress(OSError, AssertionError):
            while (answer := self.gateway.put(self.key, "v" * 700_000))[0] == 200:
                self.written += 1
            self.last = answer
        self.gateway.close()


def test_who_writes_as_fast_as_it_can_fills_no_disk(tmp_path):
    """What is overwritten stays as history: 32 MiB at once, then 512 KiB a second."""
    with Hub(tmp_path / "hub") as hub:
        web1, web2 = (Gateway(hub, *hub.join(name, tmp_path / name)) for name in ("web1", "web2"))
        writers, begin = [Flood(web1, f"{ROOT}kv/web1/{number}") for number in range(30)], time.monotonic()
        for writer in writers:
            writer.start()

        def written() -> float:
            """As a part of what it may have written by now: at once, since then, and those under way."""
            number = sum(writer.written for writer in writers)
            may = (32 * 2**20 + (time.monotonic() - begin) * 512 * 1024) / 700_000 + 30
            return number / may

        waited = re.compile(r"stead_hub_gateway_writes_waited_total [1-9]")
        eventually(lambda: waited.search(hub.get("/metrics").body.decode()), "the first that waits")
        eventually(lambda: written() > 0.5, "what it may write at once")
        rest = time.monotonic()
        while time.monotonic() - rest < 2:
            assert written() <= 1
            assert web2.put(ROOT + "kv/web2")[0] == 200  # others do not wait
            time.sleep(0.005)  # a pace, not a wait
        refused = eventually(lambda: [writer.last for writer in writers if writer.last], "one that may not even wait")[0]
        assert refused[0] == 503 and "KiB of requests that wait: it may go on at 512 KiB/s" in refused[1]["error"], refused
        assert hub.ask("POST", "/v1/hosts/web1/revoke", {}).status == 200  # while some wait
        for writer in writers:
            writer.join(60)
            assert not writer.is_alive()
        web1.close()
        web2.close()
