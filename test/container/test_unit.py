"""The kind unit with the real systemd: files, drop-ins, timers, and what a change makes of services."""
import pytest

from machine import wait_for

SERVICE = """
unit "NAME.service" {
  settings = {
    Unit = { Description = "counts what is done to it" },
    Service = {
      ExecStartPre = "/bin/sh -c 'echo start >>/run/NAME.log'",
      ExecStart = "/bin/sleep SECONDS",
      ExecReload = "/bin/sh -c 'echo reload >>/run/NAME.log'",
    },
    Install = { WantedBy = "multi-user.target" },
  },
  notify = svc "NAME",
}
svc "NAME" { state = "running", enabled = true }
"""


def service(name, seconds=1000):
    return SERVICE.replace("NAME", name).replace("SECONDS", str(seconds))


def log(machine, name):
    path = machine.path(f"/run/{name}.log")
    return path.read_text().split() if path.exists() else []


def show(machine, unit, *properties):
    return machine.out(f"systemctl show --value -p {','.join(properties)} {unit}")


def is_active(machine, name):
    return machine.run(f"systemctl is-active {name}", check=False).stdout.strip() == "active"


def test_service_comes_changes_and_goes(machine):
    machine.converge(service("one"))
    assert is_active(machine, "one") and log(machine, "one") == ["start"]
    machine.converge(service("one", 2000))
    assert log(machine, "one") == ["start", "start"]  # restarted, although it can reload
    assert "sleep 2000" in show(machine, "one", "ExecStart")
    assert show(machine, "one", "NeedDaemonReload") == "no"
    machine.converge('noop "empty" {}\n')
    assert not is_active(machine, "one")
    assert not machine.path("/etc/systemd/system/one.service").exists()
    assert show(machine, "one", "LoadState") == "not-found"


def test_drop_in(machine):
    machine.write("/usr/lib/systemd/system/two.service",
                  "[Service]\nExecStart=/bin/sleep 1000\nExecReload=/bin/sh -c 'echo reload >>/run/two.log'\n")
    machine.run("systemctl daemon-reload; systemctl start two")
    before = show(machine, "two", "MainPID")
    config = """
unit "limits of two" { unit = "two.service", dropin = "10-limits", content = "[Service]\\nLimitNOFILE=NUMBER\\n",
                       notify = svc "two" }
svc "two" { state = "running" }
"""
    machine.converge(config.replace("NUMBER", "1234"))
    assert show(machine, "two", "LimitNOFILE") == "1234"
    after = show(machine, "two", "MainPID")
    assert after != before and log(machine, "two") == []  # what runs was the old definition
    limits = machine.out(f"grep 'open files' /proc/{after}/limits").split()
    assert "1234" in limits
    machine.converge('svc "two" { state = "running" }\n')
    assert not machine.path("/etc/systemd/system/two.service.d").exists()
    assert show(machine, "two", "DropInPaths") == "" and show(machine, "two", "NeedDaemonReload") == "no"


def test_timer_runs_its_service(machine):
    machine.converge("""
unit "three.service" { content = "[Service]\\nType=oneshot\\nExecStart=/bin/touch /run/three.ran\\n" }
unit "three.timer" { settings = { Timer = { OnActiveSec = 1, AccuracySec = "100ms" } } }
svc "three.timer" { state = "running" }
""")
    wait_for("the timer", lambda: machine.path("/run/three.ran").exists())


def test_reload_that_a_kill_prevented(machine):
    machine.converge(service("four"))
    text = machine.path("/etc/systemd/system/four.service").read_text()
    machine.write("/etc/systemd/system/four.service", text)  # another time of change
    assert show(machine, "four", "NeedDaemonReload") == "yes"
    machine.converge(service("four"))
    assert show(machine, "four", "NeedDaemonReload") == "no"
    assert log(machine, "four")[0] == "start"


def test_masked_unit_is_refused(machine):
    machine.run("systemctl mask five.service")
    text = machine.stead("apply", 'unit "five" { content = "[Service]\\nExecStart=/bin/true\\n" }\n', code=4)
    assert "systemctl unmask five.service" in text


def test_agent_repairs(machine):
    machine.agent(service("six"))
    wait_for("the service", lambda: is_active(machine, "six"))
    path = machine.path("/etc/systemd/system/six.service")
    text = path.read_text()
    machine.write("/etc/systemd/system/six.service", text.replace("1000", "1"))
    wait_for("its file", lambda: path.read_text() == text)
    wait_for("systemd", lambda: show(machine, "six", "NeedDaemonReload") == "no")
    machine.run("rm /etc/systemd/system/six.service")
    wait_for("its file again", lambda: path.exists() and path.read_text() == text)


def test_what_systemd_says_of_our_check(machine):
    """What the check lets pass, systemd loads; what it refuses as a whole, systemd refuses too."""
    good = "; c\n# c\n\n[Unit]\n[Service]\n ExecStart = /bin/echo a \\\n # c\n  b\n[X-Own]\nA=\n"
    machine.converge(f'unit "seven" {{ content = [==[{good}]==] }}\n')
    assert show(machine, "seven", "LoadState") == "loaded"
    for name, text in (("eight.service", "[Service]\nNice=1\n"), ("eight.timer", "[Timer]\nUnit=x.service\n"),
                       ("eight.socket", "[Socket]\nBacklog=1\n")):
        machine.write(f"/etc/systemd/system/{name}", text)
        machine.run("systemctl daemon-reload")
        assert show(machine, name, "LoadState") == "bad-setting"
        refused = machine.stead("check", f'unit "{name}" {{ content = [==[{text}]==] }}\n', code=1)
        assert "needs a section" in refused


if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__]))
