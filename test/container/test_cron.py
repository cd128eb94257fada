"""The kind cron with Debian's cron."""
import os

import pytest

from machine import wait_for

TABLE = "/var/spool/cron/crontabs/ada"


@pytest.fixture(scope="module", autouse=True)
def ada(machine):
    machine.run("groupadd -g 1500 ada; useradd -m -u 1500 -g ada -s /bin/sh ada")


def test_crontab_accepts_what_we_write(machine):
    config = """
cron "one" { user = "ada", command = "echo one", minute = "*/5", hour = "8-18", weekday = "mon-fri" }
cron "two" { user = "ada", command = "echo two", special = "daily", environment = "MAILTO=\\"\\"" }
"""
    machine.converge(config)
    status = os.stat(machine.path(TABLE))
    group = machine.out("getent group crontab").split(":")[2]
    assert (status.st_mode & 0o7777, status.st_uid, status.st_gid) == (0o600, 1500, int(group))
    listing = machine.out("crontab -l -u ada").splitlines()
    assert listing == ["# stead: one", "*/5 8-18 * * 1-5 echo one", "# stead: two", 'MAILTO=""', "@daily echo two"]
    # Editing by hand, and back: our comments are not taken for crontab's own header.
    machine.run("(crontab -l -u ada; echo '1 1 1 1 * by hand') | crontab -u ada -")
    machine.settled(config)
    machine.run("EDITOR=true crontab -e -u ada")
    machine.settled(config)
    assert "by hand" in machine.out("crontab -l -u ada")
    machine.converge('noop "empty" {}\n')
    assert machine.out("crontab -l -u ada") == "1 1 1 1 * by hand"
    machine.run("crontab -r -u ada")


def test_cron_runs_it(machine):
    """Takes up to a minute: cron looks then."""
    machine.run("systemctl start cron")
    machine.converge("""
cron "table" { user = "ada", command = "id -un >/tmp/table", minute = "*" }
cron "system" { user = "ada", command = "echo $WORD >/tmp/system; id -un >>/tmp/system", minute = "*",
                target = "/etc/cron.d/system", environment = "WORD=here" }
""")
    def written(path):
        return machine.path(path).exists() and machine.path(path).read_text()

    wait_for("cron", lambda: written("/tmp/table") == "ada\n" and written("/tmp/system") == "here\nada\n", 130, 0.5)
    assert "BAD" not in machine.out("journalctl -u cron --no-pager -q || true").upper().replace("BADGE", "")


def test_agent_repairs(machine):
    machine.agent('cron "kept" { user = "ada", command = "echo kept", minute = 7 }\n')
    path = machine.path(TABLE)
    wait_for("the entry", lambda: path.exists() and "7 * * * * echo kept" in path.read_text())
    machine.run("echo '1 1 1 1 * other' | crontab -u ada -")
    wait_for("its return", lambda: "7 * * * * echo kept" in path.read_text())
    assert "1 1 1 1 * other" in path.read_text()
    machine.run(f"chmod 644 {TABLE}")
    wait_for("its mode", lambda: os.stat(path).st_mode & 0o777 == 0o600)


def test_user_and_entry_in_one(machine):
    config = """
user "eve" { managehome = true }
cron "first" { user = "eve", command = "true", special = "weekly" }
"""
    machine.converge(config)
    assert "@weekly true" in machine.out("crontab -l -u eve")
    machine.converge('noop "empty" {}\n')
    assert not machine.path("/var/spool/cron/crontabs/eve").exists()


if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__]))
