"""The kind svc with the real systemd."""
import pytest

from faults import run_to_failure
from machine import wait_for

UNIT = """[Unit]
Description=counts what is done to it

[Service]
ExecStartPre=/bin/sh -c 'echo start >>/run/NAME.log'
ExecStart=/bin/sleep infinity
RELOAD

[Install]
WantedBy=multi-user.target
"""
RELOAD = "ExecReload=/bin/sh -c 'echo reload >>/run/NAME.log'"


def unit(machine, name, reload=True):
    text = UNIT.replace("RELOAD", RELOAD if reload else "").replace("NAME", name)
    machine.write(f"/etc/systemd/system/{name}.service", text)
    machine.run("systemctl daemon-reload")


def log(machine, name):
    """What was done to the service so far."""
    path = machine.path(f"/run/{name}.log")
    return path.read_text().split() if path.exists() else []


def is_active(machine, name):
    return machine.run(f"systemctl is-active {name}", check=False).stdout.strip() == "active"


def is_enabled(machine, name):
    return machine.run(f"systemctl is-enabled {name}", check=False).stdout.strip()


def test_start_and_enable(machine):
    unit(machine, "one")
    machine.converge('svc "one" { state = "running", enabled = true }\n')
    assert is_active(machine, "one") and is_enabled(machine, "one") == "enabled"
    machine.converge('svc "one" { state = "stopped", startup = "disabled" }\n')
    assert not is_active(machine, "one") and is_enabled(machine, "one") == "disabled"
    assert log(machine, "one") == ["start"]


def test_mask(machine):
    # a mask is a link in /etc, where the unit's own file must not be
    machine.write("/usr/lib/systemd/system/two.service", UNIT.replace("RELOAD", "").replace("NAME", "two"))
    machine.run("systemctl daemon-reload; systemctl start two")
    machine.converge('svc "two" { state = "stopped", masked = true }\n')
    assert is_enabled(machine, "two") == "masked" and not is_active(machine, "two")
    text = machine.stead("apply", 'svc "two" { state = "running" }\n', code=4)
    assert "masked = false" in text
    machine.converge('svc "two" { state = "running", masked = false }\n')
    assert is_active(machine, "two")


def test_notification_reloads_what_runs(machine):
    unit(machine, "three")
    config = """
file "/etc/three.conf" { content = "CONTENT", notify = svc "three" }
svc "three" { state = "running" }
"""
    machine.converge(config.replace("CONTENT", "1"))
    assert log(machine, "three") == ["start"]  # started after the file: no reload as well
    machine.converge(config.replace("CONTENT", "2"))
    assert log(machine, "three") == ["start", "reload"]
    machine.run("systemctl stop three")
    machine.stead("apply", 'file "/etc/three.conf" { content = "3", notify = svc "three" }\n'
                  'svc "three" {}\n')
    assert log(machine, "three") == ["start", "reload"] and not is_active(machine, "three")


def test_reload_that_fails_is_a_failure(machine):
    service(machine, "eight.service", "[Service]\nType=exec\nExecStart=/bin/sleep infinity\n"
            "ExecReload=/bin/sh -c 'echo line 3 makes no sense; exit 7'\n")
    config = 'file "/etc/eight.conf" { content = "CONTENT", notify = svc "eight" }\nsvc "eight" { state = "running" }\n'
    machine.converge(config.replace("CONTENT", "1"))
    for content in ("2", "2"):  # what was not taken is told again
        text = machine.stead("apply", config.replace("CONTENT", content), code=4)
        assert "ExecReload= failed, so it goes on with what it had read before" in text
        assert "journalctl -u eight.service" in text and "    line 3 makes no sense" in text
    assert is_active(machine, "eight")


def test_errors_after_a_reload_are_told(machine):
    """A daemon takes the signal, and finds afterwards that it cannot do what is asked."""
    machine.write("/usr/local/bin/nine", "#!/bin/sh\ntrap 'test -e /etc/nine.good || echo \"<3>bind: port 80 is in use\"' HUP\n"
                  "while :; do sleep 0.05; done\n", mode=0o755)
    service(machine, "nine.service", "[Service]\nType=exec\nExecStart=/usr/local/bin/nine\n"
            "ExecReload=/bin/sh -c 'kill -HUP $MAINPID'\n")
    config = 'file "/etc/nine.conf" { content = "CONTENT", notify = svc "nine" }\nsvc "nine" { state = "running" }\n'
    machine.converge(config.replace("CONTENT", "1"))
    for n in range(2, 12):
        text = machine.stead("apply", config.replace("CONTENT", str(n)))
        if "was reloaded" in text:  # else it got round to that too late for who looks for 0.3 s
            break
    assert "was reloaded and has logged errors since; it may go on with what it had read before" in text
    assert "journalctl -u nine.service\n    bind: port 80 is in use" in text
    assert "reload" in machine.out("stead why svc nine") and "restart" not in machine.out("stead why svc nine")
    machine.write("/etc/nine.good", "")
    assert "has logged errors" not in machine.stead("apply", config.replace("CONTENT", "3"))


def test_notification_rules(machine):
    unit(machine, "four", reload=False)
    config = """
file "/etc/four.conf" { content = "CONTENT", notify = svc "four" }
svc "four" { state = "running"RULE }
"""
    machine.converge(config.replace("CONTENT", "1").replace("RULE", ""))
    machine.converge(config.replace("CONTENT", "2").replace("RULE", ""))
    assert log(machine, "four") == ["start", "start"]  # cannot reload: restarted
    machine.converge(config.replace("CONTENT", "3").replace("RULE", ', on_notify = "none"'))
    assert log(machine, "four") == ["start", "start"]
    text = machine.stead("apply", config.replace("CONTENT", "4").replace("RULE", ', on_notify = "reload"'),
                         code=4)
    assert "ExecReload" in text


def test_changed_unit_file_restarts(machine):
    config = """
file "/etc/systemd/system/five.service" { content = [[TEXT]], notify = svc "five" }
svc "five" { state = "running", enabled = true }
"""
    text = UNIT.replace("RELOAD", RELOAD).replace("NAME", "five")
    machine.converge(config.replace("TEXT", text))
    assert is_active(machine, "five") and log(machine, "five") == ["start"]
    other = text.replace("/bin/sleep infinity", "/bin/sleep 123456")
    machine.converge(config.replace("TEXT", other))
    assert log(machine, "five") == ["start", "start"]
    assert "123456" in machine.out("systemctl show -p ExecStart five")
    assert machine.out("systemctl show -p NeedDaemonReload five") == "NeedDaemonReload=no"


def test_stops_what_has_lost_its_file(machine):
    machine.write("/etc/systemd/system/lost.service", "[Service]\nExecStart=/bin/sleep infinity\n")
    machine.run("systemctl start lost && rm /etc/systemd/system/lost.service && systemctl daemon-reload")
    assert machine.out("systemctl is-active lost") == "active"
    machine.converge('svc "lost" { state = "stopped" }\n')
    assert machine.run("systemctl is-active lost", check=False).stdout == "inactive\n"


def test_missing_unit(machine):
    text = machine.stead("apply", 'svc "nowhere" { state = "running" }\n', code=4)
    assert "no unit 'nowhere.service'" in text
    machine.settled('svc "nowhere" { state = "stopped", enabled = false }\n')


def service(machine, name, text):
    machine.write(f"/etc/systemd/system/{name}", text)
    machine.run("systemctl daemon-reload")


def test_failing_service_says_why(machine):
    service(machine, "bad.service", "[Service]\nType=notify\n"
            "ExecStart=/bin/sh -c 'echo reading bad.conf; echo line 7 makes no sense >&2; exit 3'\n")
    text = machine.stead("apply", 'svc "bad" { state = "running" }\n', code=4)
    assert "start 'bad.service': " in text and "exit status 3" in text and "journalctl -u bad.service" in text
    assert "    reading bad.conf\n    line 7 makes no sense" in text


def test_crash_loop_is_a_failure(machine):
    service(machine, "loop.service", "[Service]\nRestart=always\nRestartSec=500ms\n"
            "ExecStart=/bin/sh -c 'echo out of luck; exit 1'\n")
    machine.write("/root/site.lua", 'svc "loop" { state = "running" }\n')
    for _ in range(2):  # also when it was found so
        done = run_to_failure(machine)
        text = done.stdout + done.stderr
        assert done.returncode == 4 and "did not last" in text and "again and again" in text and "    out of luck" in text
    machine.converge('svc "loop" { state = "stopped" }\n')


def test_given_up_by_systemd_and_mended(machine):
    service(machine, "limit.service", "[Unit]\nStartLimitIntervalSec=1h\nStartLimitBurst=2\n"
            "[Service]\nExecStart=/bin/sh -c 'test -e /run/limit.ok && exec sleep 1000'\n")
    wait_for("its limit to be hit", lambda: machine.run("systemctl start limit", check=False).returncode != 0, interval=0.1)
    machine.run("touch /run/limit.ok")
    machine.converge('svc "limit" { state = "running" }\n')


def test_oneshot(machine):
    service(machine, "once.service", "[Service]\nType=oneshot\nExecStart=/bin/touch /run/once.ran\n")
    for verb in ("plan", "apply"):
        assert "RemainAfterExit=yes" in machine.stead(verb, 'svc "once" { state = "running" }\n', code=4)
    assert not machine.path("/run/once.ran").exists()
    service(machine, "once.service", "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/touch /run/once.ran\n")
    machine.converge('svc "once" { state = "running" }\n')
    assert machine.path("/run/once.ran").exists()


def test_alias_template_and_links(machine):
    service(machine, "real.service", "[Service]\nExecStart=/bin/sleep 1000\n"
            "[Install]\nWantedBy=multi-user.target\nAlias=other.service\n")
    service(machine, "inst@.service", "[Service]\nExecStart=/bin/sleep 100%i\n[Install]\nWantedBy=multi-user.target\n")
    machine.run("systemctl enable real")
    machine.stead("apply", 'noop "empty" {}\n')
    machine.settled('svc "other" { enabled = true }\n')  # by its other name
    machine.converge('svc "other" { state = "running", on_remove = "forget" }\nsvc "inst@1" { state = "running", enabled = true }\n')
    assert is_active(machine, "real") and "sleep 1001" in machine.out("systemctl show -p ExecStart inst@1")
    machine.converge('svc "real" { enabled = false, on_remove = "forget" }\n')
    assert is_enabled(machine, "real") == "disabled"
    # links made by hand, and what is left of a unit that is gone
    wants = "/etc/systemd/system/multi-user.target.wants"
    machine.stead("apply", 'noop "empty" {}\n')
    service(machine, "hand.service", "[Service]\nExecStart=/bin/sleep 1000\n[Install]\nWantedBy=network.target\n")
    machine.run(f"ln -s /etc/systemd/system/hand.service /etc/systemd/system/lost.service {wants}/; systemctl daemon-reload")
    machine.settled('svc "hand" { enabled = true }\n')
    machine.converge('svc "hand" { enabled = false }\nsvc "lost" { enabled = false }\n')
    assert machine.out(f"ls {wants}").find("hand") < 0 and machine.out(f"ls {wants}").find("lost") < 0


def test_unit_whose_file_is_gone_runs_on(machine):
    """systemd still has it loaded, and would start it no more at boot; the link that enabled it is left."""
    service(machine, "left.service", "[Service]\nExecStart=/bin/sleep 1000\n[Install]\nWantedBy=multi-user.target\n")
    machine.run("systemctl enable --now left; rm /etc/systemd/system/left.service")
    text = machine.converge('svc "left" { state = "stopped", enabled = false, on_remove = "forget" }\n')
    assert 'enabled true -> false, state "running" -> "stopped"' in text
    assert not is_active(machine, "left")
    assert machine.run("ls /etc/systemd/system/*.wants/left.service", check=False).returncode != 0


def test_socket_may_start_it_again(machine):
    service(machine, "sock.socket", "[Socket]\nListenStream=/run/sock\n")
    service(machine, "sock.service", "[Service]\nExecStart=/bin/sleep 1000\n")
    machine.run("systemctl start sock.socket sock.service")
    assert "'sock.socket' is active and may start it again" in machine.stead("apply", 'svc "sock" { state = "stopped" }\n')


def test_what_leaves_goes_back(machine):
    unit(machine, "six")
    machine.converge('svc "six" { state = "running", enabled = true }\n')
    machine.converge('noop "empty" {}\n')
    assert not is_active(machine, "six") and is_enabled(machine, "six") == "disabled"


def test_agent_repairs(machine):
    unit(machine, "seven")
    machine.agent('svc "seven" { state = "running", enabled = true }\n')
    wait_for("the service", lambda: is_active(machine, "seven"))
    wait_for("its enabling", lambda: is_enabled(machine, "seven") == "enabled")
    machine.run("systemctl stop seven")
    wait_for("its return", lambda: is_active(machine, "seven"))
    machine.run("systemctl disable seven")
    wait_for("its enabling again", lambda: is_enabled(machine, "seven") == "enabled")


if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__]))
