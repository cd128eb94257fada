"""The kind systemd_timer with the real systemd: the command runs, is changed, repaired and taken back."""
import time

import pytest

from machine import wait_for

TIMER = """
user "backup2" { system = true }
systemd_timer "one" {
  command = "/bin/sh -c 'id -un >>/run/one/ran; echo \\"$$WHAT\\" >>/run/one/ran'", user = "backup2",
  environment = { "WHAT=50% \\"done\\"" }, TIMES, description = "One",
}
file "/run/one/" { owner = "backup2", force = true }
"""


def timer(times):
    return TIMER.replace("TIMES", times)


def show(machine, unit, *properties):
    return machine.out(f"systemctl show --value -p {','.join(properties)} {unit}")


def test_it_runs(machine):
    machine.converge(timer('interval = "1s", accuracy = "50ms"'))
    ran = machine.path("/run/one/ran")
    wait_for("three runs", lambda: ran.exists() and ran.read_text().count("backup2\n") >= 3)
    assert ran.read_text().splitlines()[:2] == ["backup2", '50% "done"']
    assert machine.out("systemctl is-active one.timer") == "active"
    assert machine.out("systemctl is-enabled one.timer") == "enabled"


def test_changed_times_are_taken_up(machine):
    config = timer('on_calendar = { "2031-05-06 04:00", "Mon..Fri 2030-01-02 03:04" }, persistent = true')
    planned = machine.stead("plan", config)
    assert "+OnCalendar=2031-05-06 04:00" in planned and "-OnUnitActiveSec=1s" in planned
    machine.converge(config)
    assert show(machine, "one.timer", "NextElapseUSecRealtime").startswith("Wed 2030-01-02 03:04:00")
    assert show(machine, "one.timer", "Persistent", "NeedDaemonReload").split() == ["yes", "no"]


def test_tampering_is_repaired(machine, capsys):
    config = timer('on_calendar = "2031-05-06 04:00"')
    machine.converge(config)
    machine.agent(config)
    path = machine.path("/etc/systemd/system/one.timer")
    text = path.read_text()
    machine.run("systemctl disable --now one.timer")
    begin = time.monotonic()
    wait_for("the timer", lambda: machine.run("systemctl is-active one.timer", check=False).stdout == "active\n")
    wait_for("its links", lambda: machine.out("systemctl is-enabled one.timer || true") == "enabled")
    with capsys.disabled():
        print(f"\na stopped, disabled timer is repaired within {1000 * (time.monotonic() - begin):.0f} ms")
    machine.write("/etc/systemd/system/one.timer", text.replace("2031", "2032"))
    wait_for("its file", lambda: path.read_text() == text)
    wait_for("its time", lambda: show(machine, "one.timer", "NextElapseUSecRealtime").startswith("Tue 2031-05-06"))
    machine.run("rm /etc/systemd/system/one.service")
    wait_for("the service", lambda: machine.path("/etc/systemd/system/one.service").exists())
    wait_for("systemd", lambda: show(machine, "one.service", "LoadState") == "loaded")


def test_removed(machine):
    machine.converge('noop "empty" {}\n')
    assert show(machine, "one.timer", "LoadState", "ActiveState").split() == ["not-found", "inactive"]
    assert show(machine, "one.service", "LoadState") == "not-found"
    assert machine.out("ls /etc/systemd/system/timers.target.wants") == "" or "one" not in machine.out(
        "ls /etc/systemd/system/timers.target.wants")


def test_what_was_there_is_restored(machine):
    service, times = "[Service]\nExecStart=/bin/true\n", "[Timer]\nOnCalendar=weekly\n[Install]\nWantedBy=timers.target\n"
    machine.write("/etc/systemd/system/two.service", service)
    machine.write("/etc/systemd/system/two.timer", times)
    machine.run("systemctl daemon-reload; systemctl enable --now two.timer")
    machine.converge('systemd_timer "two" { command = "/bin/false", interval = "1d", enabled = false }\n')
    assert machine.out("systemctl is-active two.timer || true") == "inactive"
    machine.converge('noop "empty" {}\n')
    assert machine.path("/etc/systemd/system/two.service").read_text() == service
    assert machine.path("/etc/systemd/system/two.timer").read_text() == times
    assert machine.out("systemctl is-active two.timer; systemctl is-enabled two.timer").split() == ["active", "enabled"]


def test_systemd_has_the_last_word(machine):
    text = machine.stead("apply", 'systemd_timer "three" { command = "/bin/true", on_calendar = "daily No/Where" }\n',
                         code=4)
    assert "systemd-analyze says" in text and "No/Where" in text
    assert not machine.path("/etc/systemd/system/three.timer").exists()


if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__]))
