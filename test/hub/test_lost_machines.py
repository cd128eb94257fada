"""Machines whose network is cut without a word: both ends notice in a bounded time, not by the next heartbeat."""
import contextlib
import json
import os
import subprocess
import sys
import time

import pytest
from fleet import Hub
from scratch import PATIENCE, STEAD, eventually

EACH = 10  # connections of a kind
BOUND = 35  # seconds: 13, and a busy machine; the first heartbeat comes after 19, and says nothing for a minute more

# Opens connections of three kinds in the clients' namespace, says so, and stays.
CLIENTS = r"""
import base64, json, socket, ssl, sys, time
address, port, ca, token, each = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], int(sys.argv[5])
context = ssl.create_default_context(cafile=ca)
key = base64.b64encode(b"stead/1/kv/quiet").decode()
body = json.dumps({"create_request": {"key": key}})
events = "GET /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n" % token
idle = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
watch = ("POST /v3/watch HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer %s\r\n"
         "Content-Length: %d\r\n\r\n%s" % (token, len(body), body))
kept = []
for request in (events, idle, watch):
    for _ in range(each):
        one = context.wrap_socket(socket.create_connection((address, port)), server_hostname=address)
        one.sendall(request.encode())
        assert b" 200 " in one.recv(65536)
        kept.append(one)
print("open", flush=True)
sys.stdin.read()
"""


def ended(process):
    process.kill()
    process.wait()


@pytest.fixture
def sides():
    """The namespaces of a hub and of its clients, with a wire between them: words that enter each."""
    if os.geteuid() != 0:
        pytest.skip("needs root, for network namespaces")
    with contextlib.ExitStack() as stack:
        enter = []
        for _ in range(2):
            holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"], stderr=subprocess.PIPE)
            stack.callback(ended, holder)
            own = os.readlink("/proc/self/ns/net")
            eventually(lambda holder=holder, own=own: holder.poll() is not None or
                       os.readlink(f"/proc/{holder.pid}/ns/net") != own)
            if holder.poll() is not None:
                pytest.skip("may not make network namespaces here")
            enter.append(("nsenter", "--target", str(holder.pid), "--net"))
        subprocess.run([*enter[0], "ip", "link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", enter[1][2]],
                       check=True)
        for number, side in enumerate(enter, 1):
            for words in (("addr", "add", f"192.0.2.{number}/24", "dev", "wire"), ("link", "set", "lo", "up"),
                          ("link", "set", "wire", "up")):
                subprocess.run([*side, "ip", *words], check=True)
        yield enter


def connections(hub) -> int:
    """As the hub counts them, the one that asks left out."""
    done = subprocess.run([*hub.inside, "curl", "-sS", "--cacert", hub.data / "ca.pem", "-H", f"Authorization: Bearer {hub.token}",
                           f"{hub.url}/metrics"], capture_output=True, text=True, timeout=PATIENCE, check=True)
    return int(next(line.split()[1] for line in done.stdout.splitlines() if line.startswith("stead_hub_connections "))) - 1


def established(side) -> int:
    done = subprocess.run([*side, "ss", "-Htn", "state", "established"], capture_output=True, text=True, timeout=PATIENCE, check=True)
    return len(done.stdout.splitlines())


def cut(side, neighbour: str):
    """What is sent goes to a machine that is none: nobody is told, unlike when the link is down."""
    subprocess.run([*side, "ip", "neigh", "replace", neighbour, "lladdr", "02:00:00:00:00:01", "dev", "wire", "nud", "permanent"],
                   check=True)


def connects(side) -> int:
    """That were begun there."""
    lines = subprocess.run([*side, "cat", "/proc/net/snmp"], capture_output=True, text=True, check=True).stdout.splitlines()
    names, numbers = (line.split() for line in lines if line.startswith("Tcp:"))
    return int(numbers[names.index("ActiveOpens")])


def test_a_cut_is_noticed_at_both_ends(tmp_path, sides):
    with contextlib.ExitStack() as stack:
        hub = stack.enter_context(Hub(tmp_path / "hub", inside=sides[0], address="192.0.2.1"))
        certificate, key = hub.join("web1", tmp_path / "web1")
        clients = subprocess.Popen([*sides[1], sys.executable, "-c", CLIENTS, "192.0.2.1", str(hub.port), hub.data / "ca.pem",
                                    hub.token, str(EACH)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        stack.callback(clients.stdout.close)
        stack.callback(clients.stdin.close)
        stack.callback(ended, clients)
        assert clients.stdout.readline() == "open\n"
        # An agent's watch, as the client of etcd in an agent has it.
        watch = subprocess.Popen([*sides[1], STEAD, "state", "watch", "stead/1/kv/", "--store", f"etcd={hub.url}", "--store-ca",
                                  hub.data / "ca.pem", "--store-cert", certificate, "--store-key", key],
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        stack.callback(ended, watch)
        eventually(lambda: established(sides[1]) == 3 * EACH + 1)
        assert connections(hub) == 3 * EACH + 1

        cut(sides[0], "192.0.2.2")
        cut(sides[1], "192.0.2.1")
        begin = time.monotonic()
        # What is told to all of these is on its way when they are gone: the kernel does not ask then.
        assert hub.stead("token", "new", "ann", "--role", "reader", "--data", str(hub.data)).returncode == 0
        left = eventually(lambda: connections(hub) == 0 and time.monotonic(), "the hub to notice") - begin
        # The sockets of Python ask nobody; the agent's is another.
        eventually(lambda: established(sides[1]) <= 3 * EACH, "the watch to notice", BOUND)
        print(json.dumps({"noticed by the hub after": round(left, 1)}))
        assert left < BOUND
        ended(watch)  # it connects too
        before = connects(sides[1])
        look = subprocess.run([*sides[1], STEAD, "state", "get", "stead/1/kv/x", "--store", f"etcd={hub.url}"], capture_output=True,
                              text=True, timeout=PATIENCE, check=False)
        assert look.returncode == 4 and "unreachable" not in look.stderr, look.stderr
        assert connects(sides[1]) - before == 1  # one connecting, of 5 s, not two


def test_who_ends_a_stream_is_not_counted_on(hub):
    """A stream that has nothing to say rests: its end was seen with the next heartbeat only."""
    streams = [hub.listen() for _ in range(EACH)]
    for stream in streams:
        stream.close()
    begin = time.monotonic()
    eventually(lambda: b"\nstead_hub_streams 0\n" in hub.get("/metrics").body)
    assert time.monotonic() - begin < 15  # the heartbeat comes after 19
