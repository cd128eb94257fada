"""Services that do not start, and a systemd that is away: with the real one."""
import time

import pytest

from faults import fails, heard, recovers
from machine import wait_for

RUNS = 'unit "NAME" { settings = { Service = { ExecStart = "/bin/sleep infinity" } } }\nsvc "NAME" { state = "running" }\n'


def runs(name):
    return RUNS.replace("NAME", name)


def service(name, *settings, unit=""):
    lines = ", ".join(settings)
    return (f'unit "{name}" {{ settings = {{ Unit = {{ {unit} }}, Service = {{ {lines} }} }} }}\n'
            f'svc "{name}" {{ state = "running" }}\n')


def is_active(machine, name):
    return machine.run(f"systemctl is-active {name}", check=False).stdout.strip() == "active"


def test_never_ready(machine):
    config = service("never", 'Type = "notify"', 'ExecStart = "/bin/sleep infinity"', "TimeoutStartSec = 1")
    fails(machine, config, "failed svc 'never'", "start 'never.service': it took longer than it may (TimeoutStartSec=",
          "journalctl -u never.service")
    recovers(machine, runs("never"))


def test_crashes_in_a_loop(machine):
    config = service("loop", 'ExecStart = "/bin/false"', 'Restart = "always"', 'RestartSec = "50ms"',
                     unit="StartLimitIntervalSec = 0")
    fails(machine, config, "start 'loop.service': it was started and did not last: it ended with exit status 1, and "
          "systemd starts it again and again; see: journalctl -u loop.service", tries=5)
    machine.converge(config.replace('"running"', '"stopped"'))  # what crashes does not count as stopped either
    assert machine.run("systemctl is-active loop", check=False).stdout.strip() in ("inactive", "failed")
    recovers(machine, runs("loop"))


def test_ends_at_once(machine):
    config = service("brief", 'ExecStart = "/bin/true"')
    fails(machine, config, "start 'brief.service': it was started and did not last: it ended with success",
          "RemainAfterExit=yes", tries=5)
    recovers(machine, config.replace("ExecStart", 'Type = "oneshot", RemainAfterExit = true, ExecStart'))


def test_program_is_missing(machine):
    config = service("nothing", 'ExecStart = "/usr/bin/no-such-program"')
    fails(machine, config, "start 'nothing.service'", "the program of its ExecStart= cannot be run",
          "journalctl -u nothing.service")
    recovers(machine, runs("nothing"))


def test_user_is_missing(machine):
    config = service("orphan", 'ExecStart = "/bin/sleep infinity"', 'User = "nobody-knows"')
    fails(machine, config, "start 'orphan.service'", "its User= does not exist")
    machine.run("useradd nobody-knows")
    recovers(machine, config)


def test_killed_by_a_signal(machine):
    config = service("shot", '''ExecStart = "/bin/sh -c 'kill -SEGV $$$$'"''')
    fails(machine, config, "start 'shot.service'", "it was ended by signal 11 (Segmentation fault)", tries=5)
    recovers(machine, runs("shot"))


def test_cycle(machine):
    def half(one, two, edge):
        return (f'unit "{one}" {{ settings = {{ Unit = {{ {edge} }}, '
                f'Service = {{ ExecStart = "/bin/sleep infinity" }} }} }}\n'
                f'svc "{one}" {{ state = "running", needs = {{ unit "one", unit "two" }} }}\n')

    edge = 'Requires = "OTHER.service", After = "OTHER.service"'
    config = half("one", "two", edge.replace("OTHER", "two")) + half("two", "one", edge.replace("OTHER", "one"))
    fails(machine, config, "failed svc 'one'", "failed svc 'two'", "Transaction order is cyclic",
          "where: systemd-analyze verify one.service")
    assert "ordering cycle" in machine.run("systemd-analyze verify one.service", check=False).stderr
    recovers(machine, half("one", "two", edge.replace("OTHER", "two")) + half("two", "one", ""))


def test_needed_unit_fails(machine):
    config = (service("floor", 'Type = "oneshot"', 'ExecStart = "/bin/false"').replace('state = "running"', "") +
              service("house", 'ExecStart = "/bin/sleep infinity"', unit='Requires = "floor.service", After = "floor.service"')
              .replace('"running" }', '"running", needs = unit "floor" }'))
    fails(machine, config, "start 'house.service': a unit that it needs failed", "journalctl -u house.service")
    recovers(machine, config.replace("/bin/false", "/bin/true"))


def test_unit_without_command(machine):
    machine.write("/etc/systemd/system/empty.service", "[Service]\nType=simple\n")
    machine.run("systemctl daemon-reload")
    config = 'svc "empty" { state = "running" }\n'
    fails(machine, config, "start 'empty.service': systemd says: Unit empty.service has a bad unit file setting",
          "where: systemd-analyze verify empty.service")
    text = machine.stead("check", 'unit "empty" { content = "[Service]\\nType=simple\\n" }\n', code=1)
    assert "site.lua:1" in text and "ExecStart" in text, text
    machine.write("/etc/systemd/system/empty.service", "[Service]\nExecStart=/bin/sleep infinity\n")
    recovers(machine, config)


def test_masked_by_hand(machine):
    recovers(machine, runs("hidden"))
    machine.run("systemctl stop hidden; rm /etc/systemd/system/hidden.service; systemctl mask hidden")
    fails(machine, runs("hidden"), "unit 'hidden': refuse to replace the link", "first: systemctl unmask hidden.service")
    fails(machine, 'svc "hidden" { state = "running" }\n', "somebody has masked it; set masked = false to unmask it")
    machine.run("systemctl unmask hidden")
    recovers(machine, runs("hidden"))


def test_no_message_bus(machine):
    """root asks systemd itself; without that either, it is said what is missing."""
    machine.run("systemctl stop dbus.socket dbus.service")
    try:
        recovers(machine, runs("alone"))
        assert is_active(machine, "alone")
        machine.run("mv /run/systemd/private /run/systemd/private.away")
        fails(machine, runs("alone"), "failed svc 'alone': query unit 'alone.service': no systemd can be reached here",
              "start it: systemctl start dbus.socket")
    finally:
        machine.run("mv /run/systemd/private.away /run/systemd/private", check=False)
        machine.run("systemctl start dbus.socket")
    recovers(machine, runs("alone"))


@pytest.fixture(scope="module")
def watched(machine):
    """An agent that keeps a service; the tests below share it."""
    def start():
        config = runs("kept")
        machine.agent(config)
        wait_for("the service", lambda: is_active(machine, "kept"))

    return start


def repaired(machine):
    machine.run("systemctl stop kept")
    wait_for("the repair", lambda: is_active(machine, "kept"), 120)


def test_message_bus_is_restarted_below_the_agent(machine, watched):
    watched()
    machine.run("systemctl restart dbus.service")
    repaired(machine)
    machine.run("systemctl stop dbus.socket dbus.service; sleep 0.3; systemctl start dbus.socket")
    repaired(machine)


def test_systemd_is_executed_again_below_the_agent(machine, watched):
    watched()
    machine.run("systemctl daemon-reexec")
    repaired(machine)


def test_storm_of_reloads(machine, watched):
    watched()
    machine.run("for i in 1 2 3 4 5 6 7 8 9 10; do systemctl daemon-reload & done; systemctl stop kept; wait; "
                "systemctl daemon-reload", check=False)
    wait_for("the repair", lambda: is_active(machine, "kept"), 120)
    repaired(machine)


def test_agent_tells_of_a_crash_loop(machine, watched):
    """What ran well and then crashes: the agent says so, and it is right again when it is mended."""
    machine.write("/usr/local/bin/moody", "#!/bin/sh\ntest -e /run/bad && exit 3\nexec sleep infinity\n", 0o755)
    machine.agent(service("moody", 'ExecStart = "/usr/local/bin/moody"', 'Restart = "always"', 'RestartSec = "100ms"',
                          unit="StartLimitIntervalSec = 0"))
    wait_for("the service", lambda: is_active(machine, "moody"))
    machine.run("touch /run/bad; systemctl kill moody")
    wait_for("the complaint", lambda: heard(machine, "svc 'moody'", "did not last: it ended with exit status 3"), 120)
    machine.run("rm /run/bad")
    wait_for("the service", lambda: is_active(machine, "moody"))


if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__]))
