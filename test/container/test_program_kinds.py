"""Kinds that programs speak for, on a machine of their own: the two examples, tampered with and killed."""
import json
import os
import pathlib
import shutil
import signal
import time

import pytest

from machine import ROOT, wait_for

CONFIG = ('timezone "Europe/Berlin" {}\n'
          'json_key "level" { file = "/etc/shop.json", key = "log.level", value = "info" }\n')
# What Debian's python3 needs, from this machine, which has the same release as the container.
PYTHON = ["/usr/bin/python3.11", "/usr/lib/python3.11"]


@pytest.fixture(scope="module", autouse=True)
def programs(machine):
    if not all(os.path.exists(path) for path in PYTHON):
        pytest.skip("needs Debian's python3.11 here, to copy it")
    kinds = machine.path("/etc/stead/kinds")
    kinds.mkdir(parents=True)
    kinds.chmod(0o755)
    for name in ("json_key", "timezone"):
        os.chmod(shutil.copy(ROOT / "examples/kinds" / name, kinds / name), 0o755)
    for path in PYTHON:
        target = machine.path(path)
        if os.path.isdir(path):
            shutil.copytree(path, target, symlinks=True, dirs_exist_ok=True,
                            ignore=shutil.ignore_patterns("test", "__pycache__", "config-*", "sitecustomize.py"))
        else:
            shutil.copy2(path, target)
    if not machine.path("/usr/bin/python3").exists():
        machine.path("/usr/bin/python3").symlink_to("python3.11")
    for zone in ("Europe/Berlin", "Etc/UTC"):
        machine.write(f"/usr/share/zoneinfo/{zone}", "TZif2 is all that is looked at here")
    machine.run("ln -sfn /usr/share/zoneinfo/Etc/UTC /etc/localtime; rm -f /etc/timezone")


def shop(machine):
    return json.loads(machine.path("/etc/shop.json").read_text())


def zone(machine):
    return os.readlink(machine.path("/etc/localtime")).removeprefix("/usr/share/zoneinfo/")


def programs_of(machine):
    """Their process ids in the machine."""
    return [entry.name for entry in machine.path("/proc").glob("[0-9]*") if b"/etc/stead/kinds/" in cmdline(entry)]


def cmdline(entry: pathlib.Path) -> bytes:
    try:
        return (entry / "cmdline").read_bytes()
    except OSError:
        return b""


def changes(text: str, *words: str) -> list[str]:
    """The resources that these lines of a plan or an apply are about, with what is done."""
    return sorted(" ".join(line.split()[-2:] if "(" not in line else line.split("(")[0].split()[-2:])
                  for line in text.splitlines() if any(word in line for word in words))


def test_plan_is_what_apply_does_and_all_is_undone(machine):
    machine.write("/etc/shop.json", '{"log": {"level": "debug"}}')
    plan = machine.stead("plan", CONFIG, "--detailed-exitcode", code=2)
    assert zone(machine) == "Etc/UTC" and shop(machine) == {"log": {"level": "debug"}}
    done = machine.stead("apply", CONFIG, "--detailed-exitcode", code=2)
    assert changes(plan, "~ change") == changes(done, "changed json", "changed time") == \
        ["json_key 'level'", "timezone 'Europe/Berlin'"]
    assert zone(machine) == "Europe/Berlin" and machine.path("/etc/timezone").read_text() == "Europe/Berlin\n"
    assert shop(machine) == {"log": {"level": "info"}}
    machine.settled(CONFIG)
    machine.stead("apply", "", "--detailed-exitcode", code=2)
    assert zone(machine) == "Etc/UTC" and shop(machine) == {"log": {"level": "debug"}}
    machine.settled("")


def test_agent_repairs_also_after_its_programs_were_killed(machine):
    machine.agent(CONFIG)
    wait_for("the key", lambda: shop(machine)["log"]["level"] == "info")
    wait_for("the zone", lambda: zone(machine) == "Europe/Berlin")
    start = time.monotonic()
    machine.write("/etc/shop.json", '{"log": {"level": "x"}, "port": 1}')
    wait_for("the repair", lambda: shop(machine) == {"log": {"level": "info"}, "port": 1}, interval=0.005)
    print(f"json_key repaired {1000 * (time.monotonic() - start):.0f} ms after tampering")
    wait_for("nothing but the programs", lambda: len(programs_of(machine)) == 2)  # a shell forks
    machine.run("kill -9 " + " ".join(programs_of(machine)) + " || true")
    machine.write("/etc/shop.json", '{"log": {"level": "y"}}')
    wait_for("the repair by a new process", lambda: shop(machine)["log"]["level"] == "info")
    machine.stop_agents()
    assert not programs_of(machine)


def test_nothing_runs_on_when_stead_is_killed(machine):
    agent = machine.agent(CONFIG)
    wait_for("the programs", lambda: len(programs_of(machine)) == 2)

    def agents():
        return [int(entry.name) for entry in machine.path("/proc").glob("[0-9]*")
                if cmdline(entry).startswith(b"stead\0agent\0")]

    (stead,) = wait_for("it alone", lambda: len(found := agents()) == 1 and found)  # what it starts is it at first
    machine.run(f"kill -{int(signal.SIGKILL)} {stead}")
    agent.wait(60)
    machine.agents.clear()
    wait_for("the end of the programs", lambda: not programs_of(machine))
    machine.write("/etc/shop.json", "{}")
    machine.stead("apply", CONFIG)
    assert shop(machine)["log"]["level"] == "info"


if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__]))
