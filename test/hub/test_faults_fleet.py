"""A fleet whose network, clocks, disks and versions are not as they shall be: real agents, a real hub."""
import datetime
import json
import os
import select
import socket
import ssl
import subprocess
import threading

import pytest

from etcd_words import Gateway
from scratch import eventually
from test_follow_hub import Member, Operator, motd


@pytest.fixture
def operator(tmp_path, hub):
    return Operator(tmp_path / "operator", hub)


# --- the network is cut, without a word


class Wire:
    """Carries connections to port; cut: nothing arrives, in either direction, and nobody is told."""

    def __init__(self, port: int):
        self.target, self.cut, self.ending = port, threading.Event(), threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port, self.pairs = self.listener.getsockname()[1], {}
        self.thread = threading.Thread(target=self.carry)

    def carry(self):
        while not self.ending.is_set():
            if self.cut.is_set():
                self.ending.wait(0.02)
                continue
            for one in select.select([self.listener, *self.pairs], [], [], 0.05)[0]:
                self.accept() if one is self.listener else self.pass_on(one)

    def accept(self):
        near = self.listener.accept()[0]
        far = socket.create_connection(("127.0.0.1", self.target))
        self.pairs.update({near: far, far: near})

    def pass_on(self, one: socket.socket):
        other = self.pairs.get(one)
        if other is None:  # both ended at once
            return
        try:
            data = one.recv(65536)
            other.sendall(data)
        except OSError:
            data = b""
        if not data:
            for end in (one, other):
                del self.pairs[end]
                end.close()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.thread.join()
        for end in [self.listener, *self.pairs]:
            end.close()


class Remote(Member):
    """Knows its hub under the address of a wire."""

    def __init__(self, directory, hub, wire: Wire, *words: str):
        self.wire = wire
        super().__init__(directory, hub, *words)

    def join(self, *words: str) -> str:
        call = self.hub.stead("token", "new", "--host", self.name, "--data", str(self.hub.data)).stdout.split()[1:]
        call = [word.replace(f":{self.hub.port}", f":{self.wire.port}") for word in call]
        done = self.hub.stead(*call, "--state", str(self.state), *words)
        assert done.returncode == 0, done.stderr
        return done.stderr


def test_a_silent_cut_and_its_end(hub, operator, tmp_path):
    """Longer than a call takes, and than what the host says of itself is good for."""
    with Wire(hub.port) as wire:
        site = Remote(tmp_path / "web1", hub, wire, "--deploy-key", operator.public)
        with site.agent("--exchange-ttl", "4") as agent:
            eventually(lambda: site.status("hub").get("connected"), "the hub")
            operator.deploy(motd("one"))
            site.runs(1, good=True)
            wire.cut.set()
            site.path("/etc/motd").write_text("drift")
            eventually(lambda: site.motd() == "one", "the repair")
            operator.deploy(motd("two"), strategy="batch=1,soak=0s,timeout=2s,max-failures=1")
            eventually(lambda: "out of reach since" in site.run("status").out, "the agent to see it")
            assert site.motd() == "one" and agent.process.poll() is None
            wire.cut.clear()
            eventually(lambda: site.motd() == "two", "the deploy that was made meanwhile")
            eventually(lambda: site.status("hub").get("connected"), "the hub, again")
            fleet = eventually(lambda: [row for row in hub.get("/v1/fleet").json["hosts"] if row["state"] == "converged"])
            assert [row["host"] for row in fleet] == ["web1"]
            eventually(lambda: "web1 file '/etc/motd'" in operator.stead("fleet", "drift"), "what was repaired meanwhile to be told")


# --- clocks


def test_clocks_an_hour_apart(hub, tmp_path):
    """What hub and host have of each other is good an hour before it was made, and not for ever before."""
    member, _ = hub.join("web1", tmp_path / "web1")
    server = tmp_path / "server.pem"
    server.write_text(ssl.get_server_certificate(("127.0.0.1", hub.port)))
    now = datetime.datetime.now().timestamp()

    def good(certificate, purpose: str, hours: int) -> bool:
        return subprocess.run(["openssl", "verify", "-attime", str(int(now + hours * 3600)), "-purpose", purpose, "-CAfile",
                               hub.data / "ca.pem", certificate], capture_output=True, check=False).returncode == 0

    for hours, expected in (-1, True), (0, True), (1, True), (-3, False):
        assert good(server, "sslserver", hours) is expected, hours
        assert good(member, "sslclient", hours) is expected, hours
        assert good(hub.data / "ca.pem", "any", hours) is expected, hours


# --- versions


def test_what_a_newer_side_says_is_not_minded(hub, operator, tmp_path):
    """Members, keys, questions and routes that one side does not know."""
    made = hub.ask("POST", "/v1/tokens", {"host": "db1", "of_a_newer_stead": {"x": [1]}})
    assert made.status == 201
    unknown = hub.get("/v2/hosts")
    assert unknown.status == 404 and unknown.json["error"], unknown
    unknown = hub.ask("POST", "/v3/lock/lock", {"name": "x"})
    assert unknown.status == 404, unknown

    site = Member(tmp_path / "web1", hub, "--deploy-key", operator.public)
    admin, key = Gateway(hub), "stead/1/fleet/"
    with site.agent() as agent:
        eventually(lambda: site.status("hub").get("connected"), "the hub")
        operator.deploy(motd("one"))
        site.runs(1, good=True)
        more = {"of_a_newer_hub": {"x": [1]}}
        for name in "desired/web1", "member/web1", "record/000000000001":
            assert admin.put(key + name, json.dumps({**json.loads(admin.get(key + name)), **more}))[0] == 200
        for name in "of_a_newer_hub/web1", "rollout2", "member/web1/more":
            assert admin.put(key + name, json.dumps(more))[0] == 200
        assert admin.put(key + "ask/web1/1", json.dumps({"question": "dance", **more}))[0] == 200
        eventually(lambda: admin.get(key + "answer/web1/1"), "an answer to what it does not understand")
        assert "error" in json.loads(admin.get(key + "answer/web1/1"))
        assert "1 passed" in operator.deploy(motd("two"))
        assert site.motd() == "two" and agent.process.poll() is None

        # What a newer agent says.
        mine = Gateway(hub, *(site.state / "hub" / name for name in ("certificate.pem", "key.pem")))
        lease = mine.grant()
        report = {"digest": "", "state": "dancing", "health": "unchecked", "since": 1, **more}

        def is_not_understood() -> bool:  # again, when the agent has said something of its own meanwhile
            assert mine.put(key + "reported/web1", json.dumps(report), lease)[0] == 200
            return hub.get("/v1/fleet").json["hosts"][0]["state"] == "silent"

        eventually(is_not_understood, "a state that is not known")
        mine.close()
    admin.close()


# --- a full disk


@pytest.fixture
def small_state(tmp_path):
    """What web1 keeps is on a file system of 3 MB."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a small tmpfs")
    where = tmp_path / "small"
    where.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m,mode=700", "tmpfs", where], capture_output=True,
                      check=False).returncode != 0:
        pytest.skip("may not mount a tmpfs here")
    yield where
    subprocess.run(["umount", "-l", where], check=True)


class Small(Member):
    def join(self, *words: str) -> str:
        self.state.parent.mkdir(parents=True)
        self.state.symlink_to(self.directory.parent / "small")
        return super().join(*words)


def test_no_room_for_a_deploy(hub, operator, tmp_path, small_state):
    """It is reported, what ran goes on, and the deploy runs once there is room."""
    site = Small(tmp_path / "web1", hub, "--deploy-key", operator.public)
    quick = "batch=1,soak=0s,timeout=60s"
    with site.agent():
        eventually(lambda: site.status("hub").get("connected"), "the hub")
        operator.deploy(motd("one"))
        site.runs(1, good=True)
        (operator.directory / "site/large").write_bytes(os.urandom(4 << 20))
        said = operator.deploy(motd("two"), strategy=quick)
        assert "No space left on device" in said and operator.code == 4, said
        site.path("/etc/motd").write_text("drift")
        eventually(lambda: site.motd() == "one", "the repair by what ran")
        subprocess.run(["mount", "-o", "remount,size=40m", small_state], check=True)
        assert "1 passed" in operator.deploy(motd("three"), strategy=quick)
        assert site.motd() == "three"
