"""Clients that are wrong, slow or greedy, and machines that fail: the others are served meanwhile."""
import base64
import contextlib
import json
import os
import pathlib
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest
from fleet import Connection, Hub, next_event
from scratch import PATIENCE, REPOSITORY, STEAD, eventually, free_ports


def served(hub) -> bool:
    return hub.get("/v1/hosts").status == 200


def test_oversized(hub):
    big = b"x" * 70000
    answer = hub.ask("POST", "/v1/join", big, token=None, headers=["Content-Type: application/json"])
    assert answer.status == 413 and "more than 65536" in answer.json["error"]
    with hub.connect() as connection:
        connection.send(b"POST /v1/join HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
        assert connection.answer().status == 413
    with hub.connect() as connection, contextlib.suppress(OSError):  # it may end while we still send
        connection.send(b"GET /v1/hosts HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 100000 + b"\r\n\r\n")
        answer = connection.answer()
        assert answer is None or answer.status in (413, 431)
    with hub.connect() as connection, contextlib.suppress(OSError):
        connection.send(b"POST /v1/join HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(2000):  # 32 MB: it is not kept, and not read for ever
            connection.send(b"4000\r\n" + b"z" * 0x4000 + b"\r\n")
        assert connection.answer() is None
    metrics = hub.get("/metrics").body.decode()
    resident = int(next(line.split()[1] for line in metrics.splitlines() if line.startswith("stead_hub_resident")))
    assert resident < 64 << 20 or "asan" in str(STEAD)
    assert served(hub)


MALFORMED = {
    "version": b"GET / HTTP/9.9\r\n\r\n", "tls in tls": b"\x16\x03\x01\x00", "no path": b"GET\r\n\r\n",
    "no colon": b"GET /v1/hosts HTTP/1.1\r\nHost x\r\n\r\n", "empty lines": b"\r\n" * 5000, "zeros": b"\x00" * 300,
    "length": b"POST /v1/join HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "chunk": b"POST /v1/join HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n"}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(hub, name):
    with hub.connect() as connection, contextlib.suppress(OSError):
        connection.send(MALFORMED[name])
        connection.socket.settimeout(0.5)  # some may be the start of what is whole: no answer
        answer = connection.answer()
        assert answer is None or answer.status >= 400
    with Connection(hub.port, None) as plain, contextlib.suppress(OSError):  # not even TLS
        plain.send(MALFORMED[name])
        plain.socket.shutdown(socket.SHUT_WR)
        assert plain.ended()
    assert served(hub)


def test_json_that_is_wrong(hub):
    for body in (b"", b"{", b"[]", b'{"a":1,"a":2}', b"\xff\xfe", b"[" * 4000):
        answer = hub.ask("POST", "/v1/tokens", body, headers=["Content-Type: application/json"])
        assert answer.status == 400 and answer.json["error"], body
    assert hub.ask("POST", "/v1/tokens", b"host=x", headers=["Content-Type: text/plain"]).status == 415


def test_pipelined(hub):
    with hub.connect() as connection:
        one = f"GET /v1/hosts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {hub.token}\r\n\r\n".encode()
        bad = b"GET /v1/none HTTP/1.1\r\nHost: x\r\n\r\n"
        connection.send((one + bad) * 20)
        assert [connection.answer().status for _ in range(40)] == [200, 404] * 20


def test_slow_clients_do_not_hold_others_up(hub):
    """Slowloris: many that begin and never end a request. Each is dropped in time."""
    slow = [hub.connect() for _ in range(40)]
    for connection in slow:
        connection.send(b"GET /v1/hosts HTTP/1.1\r\nHost: x\r\nX-")
    start = time.monotonic()
    assert served(hub) and time.monotonic() - start < 15  # they are held for 20 s
    for connection in slow[:20]:  # a byte now and then
        with contextlib.suppress(OSError):
            connection.send(b"a")
    for connection in slow:
        assert connection.ended()
        connection.close()
    assert time.monotonic() - start < 60  # 20 s are allowed
    assert b"\nstead_hub_connections_slow_total 4" in hub.get("/metrics").body


def test_stalled_handshakes_cost_nothing(hub):
    def used():
        fields = pathlib.Path(f"/proc/{hub.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    stalled = [Connection(hub.port, None) for _ in range(8)]
    for connection in stalled[:4]:
        connection.send(b"\x16\x03\x01\x02\x00\x01")
    for connection in stalled[4:]:
        hello, written = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = hub.context().wrap_bio(hello, written, server_hostname="127.0.0.1")
        with contextlib.suppress(ssl.SSLWantReadError):
            client.do_handshake()
        connection.send(written.read())
    before, start = used(), time.monotonic()
    time.sleep(2)  # a span to measure, not a wait
    assert (used() - before) / (time.monotonic() - start) < 0.3
    assert served(hub)
    for connection in stalled:
        connection.close()


def test_too_many_of_one_address(hub):
    many = [Connection(hub.port, None) for _ in range(300)]
    for connection in many:
        connection.socket.setblocking(False)

    def ended() -> int:
        return sum(has_ended(connection.socket) for connection in many)

    eventually(lambda: ended() >= 40)
    assert served_or_none(hub) is None  # of this address nobody more, and by now it has seen all of them
    assert ended() <= 60, ended()
    for connection in many:
        connection.close()
    eventually(lambda: served_or_none(hub))


def has_ended(one: socket.socket) -> bool:
    try:
        return not one.recv(1)
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def served_or_none(hub):
    with contextlib.suppress(OSError):
        return served(hub)
    return None


def test_killed_at_any_time_nothing_is_lost(tmp_path):
    """Writes that were answered are there after kill -9, the others are or are not; the hub starts again."""
    with Hub(tmp_path / "hub") as hub:
        answered, attempts = [], 0
        for round_number in range(5):
            stop = threading.Event()

            def write():
                nonlocal attempts
                while not stop.is_set():
                    attempts += 1
                    with contextlib.suppress(OSError, AttributeError, ValueError):
                        answer = hub.ask("POST", "/v1/tokens", {"host": f"web{attempts}"})
                        if answer.status == 201:
                            answered.append(answer.json["id"])

            writer = threading.Thread(target=write)
            before = len(answered)
            writer.start()
            eventually(lambda: len(answered) > before + 3 * round_number)
            hub.stop(signal.SIGKILL)
            stop.set()
            writer.join()
            hub.start()
        kept = {token["id"] for token in hub.get("/v1/tokens").json["tokens"]}
        assert set(answered) <= kept and len(kept) <= attempts + 1
        assert len(hub.get("/v1/audit").json["records"]) == len(kept) - 1  # each with its record, both or none


def test_killed_during_the_first_start(tmp_path):
    """However far it came: the next start finishes, and the token in its file is the admin's."""
    for index, delay in enumerate([0.005, 0.01, 0.02, 0.03, 0.05, 0.08]):
        data = tmp_path / f"hub{index}"
        process = subprocess.Popen([STEAD, "hub", "--data", data, "--listen", "127.0.0.1:0"], stdout=subprocess.DEVNULL)
        time.sleep(delay)  # the moment does not matter: any must do
        process.kill()
        process.wait()
        with Hub(data) as hub:
            assert served(hub)


def test_two_hubs_over_one_store_need_etcd(tmp_path, hub):
    second = subprocess.run([STEAD, "hub", "--data", hub.data, "--listen", "127.0.0.1:0"], capture_output=True, text=True,
                            timeout=PATIENCE, check=False)
    assert second.returncode == 1 and "state.db" in second.stderr


def test_port_and_directory_that_cannot_be_used(tmp_path, hub):
    taken = hub.stead("hub", "--data", str(tmp_path / "other"), "--listen", f"127.0.0.1:{hub.port}")
    assert taken.returncode == 1 and f"listen on '127.0.0.1', port {hub.port}: Address already in use" in taken.stderr
    wrong = hub.stead("hub", "--data", str(tmp_path / "other"), "--listen", "hub.example:1")
    assert wrong.returncode == 1 and "not an address; write it as" in wrong.stderr
    (tmp_path / "file").write_text("")
    no_directory = hub.stead("hub", "--data", str(tmp_path / "file"))
    assert no_directory.returncode == 1 and "--data DIR names another" in no_directory.stderr


@pytest.fixture
def small_disk(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a small tmpfs")
    where = tmp_path / "disk"
    where.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m,mode=700", "tmpfs", where], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip("may not mount a tmpfs here")
    yield where
    subprocess.run(["umount", "-l", where], check=True)


def test_disk_full(small_disk, tmp_path):
    with Hub(small_disk / "hub") as hub:
        member = hub.join("web1", tmp_path / "web1")
        filler = small_disk / "filler"
        with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)
        refused = None
        for number in range(200):
            answer = hub.ask("POST", "/v1/tokens", {"host": f"host{number}"})
            if answer.status != 201:
                refused = answer
                break
        assert refused and refused.status == 507 and "nothing was changed" in refused.json["hint"], refused
        assert served(hub)  # reading goes on
        hub.listen(*member).close()
        filler.unlink()
        assert eventually(lambda: hub.ask("POST", "/v1/tokens", {"host": "later"}).status == 201)
        tokens, records = hub.get("/v1/tokens").json["tokens"], hub.get("/v1/audit").json["records"]
        assert sum(r["action"] == "token.new" for r in records) - 1 == len(tokens) - 1  # web1's was used up


# --- several hubs over one etcd


@pytest.fixture
def etcd(tmp_path):
    client, peer = (f"http://127.0.0.1:{port}" for port in free_ports(2))
    process = subprocess.Popen(
        ["etcd", "--name", "one", "--data-dir", tmp_path / "etcd", "--listen-client-urls", client, "--advertise-client-urls",
         client, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"one={peer}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    yield client
    process.kill()
    process.wait()


def test_hubs_over_etcd_are_equal(etcd, tmp_path):
    store = ("--store", f"etcd={etcd}")
    eventually(lambda: subprocess.run([STEAD, "state", "range", *store], capture_output=True, check=False).returncode == 0)
    with Hub(tmp_path / "a", *store, "--host-keys", "9") as one, Hub(tmp_path / "b", *store, "--host-keys", "9") as two:
        assert "token" in one.started and "token" not in two.started
        assert one.started["ca_fingerprint"] == two.started["ca_fingerprint"]
        token = one.token
        assert two.get("/v1/hosts", token=token).status == 200
        member = one.join("web1", tmp_path / "web1")
        stream = two.listen(*member)
        # What a host wrote through one counts at the other.
        words = {"key": base64.b64encode(b"stead/1/kv/web1/9").decode(), "value": ""}
        for number in range(9):
            mine = base64.b64encode(b"stead/1/kv/web1/%d" % number).decode()
            assert one.ask("POST", "/v3/kv/put", {"key": mine, "value": ""}, certificate=member).status == 200
        eventually(lambda: two.ask("POST", "/v3/kv/put", words, certificate=member).status == 400)
        # A token that both get at once is good at one of them.
        call = one.stead("token", "new", "--host", "web2", "--data", str(one.data)).stdout.split()
        made = call[call.index("--token") + 1]
        bodies = []
        for number in range(4):  # machines, each with a key of its own
            request = tmp_path / f"request{number}.pem"
            subprocess.run(["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                            "-keyout", tmp_path / "key.pem", "-subj", "/CN=x", "-out", request], check=True, capture_output=True)
            bodies.append({"token": made, "request": request.read_text()})
        statuses = []
        joiners = [threading.Thread(target=lambda hub=hub, body=body: statuses.append(
            hub.ask("POST", "/v1/join", body, token=None).status))
            for hub, some in ((one, bodies[:2]), (two, bodies[2:])) for body in some]
        for joiner in joiners:
            joiner.start()
        for joiner in joiners:
            joiner.join()
        assert statuses.count(201) == 1 and set(statuses) <= {201, 401, 409}, statuses
        # Revoked at one, gone at the other.
        assert one.ask("POST", "/v1/hosts/web1/revoke", {}).status == 200
        assert stream.ended()
        assert two.get("/v1/events", certificate=member).status == 403
        # Events go on at the other hub where the first one ended.
        mine = one.listen(after="1")
        first = next_event(mine)
        mine.close()
        one.stop(signal.SIGKILL)
        (two.data / "admin-token").write_text(token)
        theirs = two.listen(after=first["id"])
        ids = [tuple(map(int, next_event(theirs)["id"].split("-"))) for _ in range(4)]
        assert ids == sorted(set(ids)) and ids[0] > tuple(map(int, first["id"].split("-")))
        theirs.close()


# --- what the page shows


def test_page_is_true(tmp_path):
    """Runs the console blocks of doc/hub.md; what differs by nature is written as in the page's list."""
    page = (REPOSITORY / "doc/hub.md").read_text()
    blocks = [part.split("```")[0] for part in page.split("```console\n")[1:]]
    assert blocks
    script = tmp_path / "bin/stead"
    script.parent.mkdir()
    script.symlink_to(pathlib.Path(STEAD).resolve())
    environment = dict(os.environ, PATH=f"{script.parent}:{os.environ['PATH']}")
    hub = None
    try:
        for line in "".join(blocks).splitlines():
            if not line.startswith("$ "):
                continue
            command = line[2:].replace("192.0.2.1:8440", "127.0.0.1:0").replace("/var/lib/stead-hub", "hub")
            if command.startswith("stead hub "):
                hub = subprocess.Popen(["bash", "-c", f"exec {command}"], cwd=tmp_path, env=environment, stdout=subprocess.PIPE,
                                       text=True)
                assert hub.stdout.readline().startswith("hub at https://127.0.0.1:")
                environment["CALL"] = ""
                continue
            if command.startswith("stead agent join "):
                command = environment["CALL"] + " --state agent"
            done = subprocess.run(["bash", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True,
                                  timeout=PATIENCE, check=False)
            assert done.returncode == 0, f"{command}\n{done.stderr}"
            if done.stdout.startswith("stead agent join "):
                environment["CALL"] = done.stdout.strip()
            if command.startswith("curl"):
                json.loads(done.stdout)
    finally:
        if hub:
            hub.terminate()
            hub.wait()
            hub.stdout.close()
