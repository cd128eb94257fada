"""The kind net in booted containers: all links are in networks of their own, none is this machine's."""
import json
import subprocess
import sys

import pytest

from machine import Machine, wait_for

PACKAGES = ("iproute2",)
EMPTY = 'noop "empty" {}\n'
CONFIG = """
net "eth0" {
  addrs = { "192.0.2.10/24", "2001:db8::10/64" }, gateway = "192.0.2.1", mtu = 1400,
  routes = { "10.9.0.0/16 via 192.0.2.7 metric 5" },
}
net "br0" { type = "bridge", addrs = "10.1.0.1/24" }
net "port0" { type = "veth", peer = "port1", master = "br0" }
"""


@pytest.fixture(autouse=True)
def eth0(machine):
    """A device of sorts, which was set up by hand, and the other end of its wire."""
    machine.run("ip link add eth0 type veth peer name wire; ip link set wire up; ip link set eth0 up; "
                "ip addr add 192.0.2.9/24 dev eth0; ip route add default via 192.0.2.254")
    yield
    machine.stop_agents()
    machine.stead("apply", EMPTY)
    machine.run("ip link del eth0 2>/dev/null || true")


def plan_of(machine, config):
    events = [json.loads(line) for line in machine.stead("plan", config, "--json").splitlines()]
    plan = next(event for event in events if event["event"] == "plan")
    return {r["address"]: r["change"] for r in [*plan["resource_changes"], *plan["resource_drift"]]}


def test_plan_is_what_apply_does(machine):
    planned = plan_of(machine, CONFIG)
    events = [json.loads(line) for line in machine.stead("apply", CONFIG, "--json").splitlines()]
    changed = [event for event in events if event["event"] == "changed"]
    assert len(changed) == len(planned) == 3
    for event in changed:
        change = next(c for address, c in planned.items() if event["name"] in address)
        for one in event["changes"]:
            assert change["before"].get(one["property"]) == one["before"]
            assert change["after"].get(one["property"]) == one["after"]
    machine.settled(CONFIG)
    assert "192.0.2.10/24" in machine.out("ip -br addr show eth0")
    assert "192.0.2.9/24" not in machine.out("ip -br addr show eth0")
    assert machine.out("ip route show default") == "default via 192.0.2.1 dev eth0 proto static"
    assert "master br0" in machine.out("ip link show port0")


def test_left_configuration(machine):
    machine.converge(CONFIG)
    machine.converge(EMPTY)
    assert machine.out("ip -4 -br addr show eth0").split()[2:] == ["192.0.2.9/24"]
    assert machine.out("ip route show default").startswith("default via 192.0.2.254 dev eth0")
    assert "mtu 1500" in machine.out("ip link show eth0")
    for link in ("br0", "port0", "port1"):
        assert machine.run(f"ip link show {link}", check=False).returncode != 0


def repairs(machine):
    events = [json.loads(line) for line in machine.agent_log().splitlines() if line.startswith('{"')]
    return [event for event in events if event["event"] == "changed" and event["corrective"]]


# What somebody does, and what shows that it was put right.
TAMPERS = {
    "ip addr del": ("ip addr del 192.0.2.10/24 dev eth0", "ip -br addr show eth0 | grep -q 192.0.2.10"),
    "ip addr add": ("ip addr add 192.0.2.66/24 dev eth0", "! ip -br addr show eth0 | grep -q 192.0.2.66"),
    "ip link set down": ("ip link set eth0 down",
                         "ip route show default | grep -q 192.0.2.1 && ip -br addr show eth0 | grep -q 2001:db8::10"),
    "ip route del": ("ip route del default", "ip route show default | grep -q 192.0.2.1"),
    "ip link set mtu": ("ip link set eth0 mtu 1300", "ip link show eth0 | grep -q 'mtu 1400'"),
    "ip link set nomaster": ("ip link set port0 nomaster", "ip link show port0 | grep -q 'master br0'"),
    "ip link del": ("ip link del br0", "ip -br addr show br0 | grep -q 10.1.0.1 && ip link show port0 | grep -q br0"),
}


def test_agent_repairs(machine, capsys):
    machine.agent(CONFIG, "--json")
    wait_for("the agent", lambda: '"converged"' in machine.agent_log())
    times = {}
    for name, (tamper, shows) in TAMPERS.items():
        known = len(repairs(machine))
        machine.run(tamper)
        wait_for(f"repair after {name}", lambda: machine.run(shows, check=False).returncode == 0)
        told = wait_for("its event", lambda: repairs(machine)[known:])
        times[name] = told[0]["latency_us"] / 1000
    with capsys.disabled():
        print("\n\nevent to fix: " + ", ".join(f"{name} {time:.1f} ms" for name, time in times.items()))
    assert min(times.values()) < 50
    machine.stop_agents()
    machine.settled(CONFIG)


def test_vanishes_and_returns(machine):
    machine.agent('net "eth0" { addrs = "192.0.2.10/24" }\n', "--json")
    wait_for("the agent", lambda: '"converged"' in machine.agent_log())
    machine.run("ip link del eth0")
    wait_for("the report", lambda: "there is no interface 'eth0'" in machine.agent_log())
    machine.run("ip link add eth0 type veth peer name wire")
    wait_for("its return", lambda: "192.0.2.10/24" in machine.out("ip -br addr show eth0"))


def test_vanishes_during_apply(machine):
    """The plan cannot know it; apply says it, and does the rest."""
    config = """
    exec "pull" { cmd = "/usr/sbin/ip link del eth0" }
    net "eth0" { addrs = "192.0.2.10/24", needs = exec "pull" }
    net "br0" { type = "bridge" }
    """
    machine.stead("plan", config)
    text = machine.stead("apply", config, code=4)
    assert "net 'eth0': there is no interface 'eth0'; it is set up as soon as it appears" in text
    assert "br0" in machine.out("ip link show br0")


def test_own_connection_is_not_cut(machine):
    machine.write("/root/site.lua", 'net "eth0" { addrs = "192.0.2.10/24" }\n')
    refused = machine.run("SSH_CONNECTION='192.0.2.50 999 192.0.2.9 22' sh -c 'env -u SSH_CONNECTION stead apply "
                          "/root/site.lua; exit $?'", check=False)  # as sudo does it
    assert refused.returncode == 4, refused.stdout + refused.stderr
    assert "the ssh connection from 192.0.2.50, in which stead runs, uses it; set force = true" in (
        refused.stdout + refused.stderr)
    assert "192.0.2.9/24" in machine.out("ip -br addr show eth0")
    machine.write("/root/site.lua", 'net "eth0" { addrs = "192.0.2.10/24", force = true }\n')
    machine.run("SSH_CONNECTION='192.0.2.50 999 192.0.2.9 22' stead apply /root/site.lua")
    assert "192.0.2.9/24" not in machine.out("ip -br addr show eth0")


def test_missing_type_is_explained(machine):
    probe = machine.run("ip link add probe type dummy && ip link del probe", check=False)
    if probe.returncode == 0:
        pytest.skip("this kernel has dummy links")
    text = machine.stead("apply", 'net "d0" { type = "dummy" }\n', code=4)
    assert "this kernel makes no links of type 'dummy': it has no dummy; load it (modprobe dummy" in text


def test_networkd_takes_what_is_persisted(machine):
    """As at a boot without stead: the service makes what its files say, and stead finds nothing to do."""
    config = """
    net "br9" { type = "bridge", addrs = "10.9.0.1/24", persist = true }
    net "eth0" { addrs = { "192.0.2.10/24" }, gateway = "192.0.2.1", persist = true,
                 routes = { "10.8.0.0/16 via 192.0.2.7 metric 5" } }
    """
    machine.converge(config)
    machine.run("ip link del br9; ip addr flush dev eth0; ip route flush dev eth0; systemctl start systemd-networkd")
    wait_for("systemd-networkd", lambda: "10.9.0.1/24" in machine.run("ip -br addr show br9", check=False).stdout and
             "10.8.0.0/16 via 192.0.2.7" in machine.out("ip route") and "192.0.2.1" in machine.out("ip route show default"))
    machine.settled(config)
    machine.run("systemctl stop systemd-networkd systemd-networkd.socket")
    machine.converge(EMPTY)
    assert machine.out("ls /etc/systemd/network") == ""


def ping(machine, address: str) -> bool:
    """One ICMP echo from the machine's network; it has no ping(8)."""
    script = f"""
import os, socket, struct
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
s.settimeout(1)
head = struct.pack("!BBHHH", 8, 0, 0, 77, 1)
total = sum(struct.unpack("!4H", head))
s.sendto(struct.pack("!BBHHH", 8, 0, ~(total + (total >> 16)) & 0xffff, 77, 1), ("{address}", 0))
while True:
    packet, sender = s.recvfrom(1500)
    if packet[20] == 0 and sender[0] == "{address}":
        break
"""
    done = subprocess.run(["nsenter", "--target", str(machine.leader), "--net", sys.executable, "-c", script],
                          capture_output=True, text=True)
    return done.returncode == 0


def overlay(own: int, other: int) -> str:
    return f"""
    net "under" {{ addrs = "198.51.100.{own}/24" }}
    net "br0" {{ type = "bridge", addrs = "10.1.0.{own}/24" }}
    net "vx7" {{ type = "vxlan", id = 7, link = "under", local_ip = "198.51.100.{own}",
                remote_ip = "198.51.100.{other}", master = "br0", mtu = 1450 }}
    """


def test_two_hosts_over_bridge_and_vxlan(machine):
    with Machine("net-other", packages=PACKAGES) as other:
        subprocess.run(["nsenter", "--target", str(machine.leader), "--net", "ip", "link", "add", "under", "type", "veth",
                        "peer", "name", "under", "netns", str(other.leader)], check=True)
        machine.converge(overlay(1, 2))
        other.converge(overlay(2, 1))
        wait_for("an answer", lambda: ping(machine, "10.1.0.2"))
        wait_for("an answer to the other", lambda: ping(other, "10.1.0.1"))
        other.converge(EMPTY)
        assert not ping(machine, "10.1.0.2")
        machine.converge(EMPTY)


if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__]))
