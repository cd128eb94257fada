"""The kind sysctl in a container: keys of its own network can be written, all others only read."""
import pytest

from machine import wait_for

FILE = "/etc/sysctl.d/90-stead.conf"
KEY = "/proc/sys/net/ipv4/ip_forward"


def test_value_and_line(machine):
    before = {path: machine.out(f"cat {path}") for path in (KEY, "/proc/sys/net/ipv4/tcp_rmem")}
    config = ('sysctl "net.ipv4.ip_forward" { value = 1 }\n'
              'sysctl "net/ipv4/tcp_rmem" { value = "4096 100000 5000000" }\n')
    machine.converge(config)
    assert machine.out(f"cat {KEY}") == "1"
    assert machine.out("cat /proc/sys/net/ipv4/tcp_rmem") == "4096\t100000\t5000000"
    text = machine.path(FILE).read_text()
    assert sorted(text.splitlines()) == ["net.ipv4.ip_forward = 1", "net.ipv4.tcp_rmem = 4096 100000 5000000"]
    machine.run("/lib/systemd/systemd-sysctl")
    machine.settled(config)
    machine.stead("apply", "", "--detailed-exitcode", code=2)
    for path, found in before.items():
        assert machine.out(f"cat {path}") == found
    assert not machine.path(FILE).exists()


def test_lines_of_others_stay(machine):
    machine.write(FILE, "# ours\n\nnet.ipv4.ip_forward=0\nnet.ipv4.tcp_ecn = 1")
    machine.converge('sysctl "net.ipv4.ip_forward" { value = 1 }\n')
    assert machine.path(FILE).read_text() == "# ours\n\nnet.ipv4.ip_forward = 1\nnet.ipv4.tcp_ecn = 1"
    machine.stead("apply", "", "--detailed-exitcode", code=2)
    assert "ip_forward = 0\n" in machine.path(FILE).read_text()
    machine.run(f"rm {FILE}")


def test_agent_repairs(machine):
    machine.agent('sysctl "net.ipv4.ip_forward" { value = 1 }\n')
    wait_for("the value", lambda: machine.out(f"cat {KEY}") == "1")
    wait_for("its line", lambda: machine.path(FILE).exists(), 45)
    machine.run(f"echo 0 >{KEY}")
    wait_for("its return", lambda: machine.out(f"cat {KEY}") == "1", 45)
    machine.run(f": >{FILE}")
    wait_for("its line again", lambda: "ip_forward = 1" in machine.path(FILE).read_text(), 45)
    wait_for("the report", lambda: machine.agent_log().count("drift repaired in") >= 2)
    print(machine.agent_log())
    machine.stop_agents()
    machine.stead("apply", "")


def test_what_is_refused(machine):
    def failed(config: str) -> str:
        return machine.stead("apply", config, code=4)
    assert "did you mean 'net.ipv4.ip_forward'?" in failed('sysctl "net.ipv4.ip_forwad" { value = 1 }')
    text = failed('sysctl "net.ipv4.conf.lo.forwarding" { value = "maybe" }')
    assert "the kernel refuses 'maybe'; it keeps '" in text
    assert "it can only be read here" in failed('sysctl "vm.swappiness" { value = 77 }')
    assert not machine.path(FILE).exists()
    machine.converge('sysctl "vm.swappiness" { value = 77, live = false }')
    assert machine.path(FILE).read_text() == "vm.swappiness = 77\n"
    machine.stead("apply", "")


def test_another_file_wins(machine):
    machine.write("/etc/sysctl.d/99-theirs.conf", "# theirs\nnet.ipv4.ip_forward = 0\n")
    text = machine.stead("apply", 'sysctl "net.ipv4.ip_forward" { value = 1 }')
    assert "at boot '/etc/sysctl.d/99-theirs.conf:2' wins and makes it '0'" in text
    machine.run("rm /etc/sysctl.d/99-theirs.conf")
    machine.stead("apply", "")


if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__]))
