"""kill -9 of stead while apt runs: apt goes on, and the next start waits for it."""
import os
import shutil
import signal
import subprocess

import pytest

import debian
from machine import children, wait_for

HOLD = "/run/hold-apt"
HELD = "/run/held-apt"


@pytest.fixture(scope="module")
def source(machine, tmp_path_factory):
    repo = machine.path("/srv/repo")
    repo.mkdir()
    for version in ("1.0", "2.0"):
        shutil.copy(debian.build(tmp_path_factory.mktemp("debs"), "stead-q", version), repo)
    debian.write_index(repo)
    machine.write("/etc/apt/sources.list.d/test.list", "deb [trusted=yes] file:/srv/repo ./\n")
    machine.write("/etc/apt/apt.conf.d/hold",
                  f'DPkg::Pre-Invoke {{ "while test -e {HOLD}; do touch {HELD}; sleep 0.05; done"; }};\n')
    machine.run("apt-get -qq update")


def config(version):
    return f'pkg "stead-q" {{ version = "{version}", allowdowngrade = true }}\n'


def start(machine, version):
    machine.write("/root/site.lua", config(version))
    return subprocess.Popen(machine.command("stead", "apply", "/root/site.lua"), stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def kill(process):
    for child in children(process.pid):
        os.kill(child, signal.SIGKILL)
    process.communicate()


def apts(machine):
    return machine.run("cat /proc/[0-9]*/comm", check=False).stdout.split().count("apt-get")


def test_orphan_is_waited_for(machine, source):
    machine.stead("apply", config("1.0"))
    machine.write(HOLD, "")
    first = start(machine, "2.0")
    wait_for("apt at work", lambda: machine.path(HELD).exists())
    kill(first)
    assert apts(machine) > 0
    second = start(machine, "1.0")  # as it still is, and will not be in a moment
    with pytest.raises(subprocess.TimeoutExpired):
        second.wait(2)
    machine.path(HOLD).unlink()
    out, _ = second.communicate(timeout=300)
    assert second.returncode == 0 and "waiting for the apt" in out, out
    wait_for("the end of apt", lambda: apts(machine) == 0)
    assert machine.out("dpkg-query --show --showformat='${Status} ${Version}' stead-q") == "install ok installed 1.0"
    machine.settled(config("1.0"))


# As an apt that has lost what fetches for it: it has the locks, no child, and waits for nothing.
STUCK = """use Fcntl ':DEFAULT', ':flock'; $| = 1;
close(STDIN); open(STDIN, "+>", "/run/stead-packages") or die; flock(STDIN, LOCK_EX) or die;
open(my $file, "+>>", "/var/lib/dpkg/lock-frontend") or die;
my $lock = pack("s s x4 q q i x4", F_WRLCK, 0, 0, 0, 0);
fcntl($file, F_SETLK, $lock) or die;
print "stuck\\n"; sleep 600;"""


def test_orphan_that_is_stuck_is_ended(machine, source):
    machine.stead("apply", config("1.0"))
    stuck = subprocess.Popen(machine.command("perl", "-e", STUCK), stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, text=True)
    try:
        assert stuck.stdout.readline() == "stuck\n"
        text = machine.stead("apply", config("2.0"))
        assert "ending apt (process " in text and "it has lost what fetches for it" in text
        assert stuck.wait(60) != 0
    finally:
        stuck.kill()
    machine.settled(config("2.0"))


def test_killed_with_its_apt(machine, source):
    """dpkg is interrupted: the next apply finishes what it left, then its own."""
    machine.stead("apply", config("1.0"))
    machine.write(HOLD, "")
    machine.path(HELD).unlink(missing_ok=True)
    first = start(machine, "2.0")
    wait_for("apt at work", lambda: machine.path(HELD).exists())
    machine.run("pkill -9 apt-get || kill -9 $(grep -l '^apt-get$' /proc/[0-9]*/comm | cut -d/ -f3)")
    machine.path(HOLD).unlink()
    kill(first)
    machine.converge(config("2.0"))
