"""Commands that misbehave: each fails in words or is got along with, and all else is done."""
import time

import pytest

from faults import fails, limited, other, recovers, run_limited
from machine import wait_for


def gone(machine, word):
    """No process has that word on its command line."""
    lines = machine.run("cat /proc/[0-9]*/cmdline | tr '\\0' ' '", check=False).stdout
    return word not in lines


def test_hangs(machine):
    begin = time.monotonic()
    fails(machine, 'exec "hang" { cmd = "sleep 4711", meta = { timeout = 500 } }\n',
          "failed exec 'hang'", "take longer than its 'timeout' of 0.5 s")
    assert time.monotonic() - begin < 60
    wait_for("the end of the command", lambda: gone(machine, "sleep 4711"))
    recovers(machine, 'exec "hang" { cmd = "true", nifcmd = "true" }\n')


def test_ignores_termination(machine):
    """It and what it started are killed; the next apply begins again."""
    text = "trap '' TERM; (trap '' TERM; exec sleep 4712) & while :; do sleep 0.05; done"
    fails(machine, f'exec "deaf" {{ cmd = "{text}", shell = "/bin/sh", meta = {{ timeout = 300 }} }}\n',
          "failed exec 'deaf'", "take longer than its 'timeout' of 0.3 s")
    wait_for("the end of the command", lambda: gone(machine, "sleep 4712"))


def test_daemon_keeps_the_pipe(machine):
    begin = time.monotonic()
    text = machine.stead("apply", 'exec "daemon" { cmd = "setsid sleep 4713 & echo started", shell = "/bin/sh" }\n' + other())
    assert "exec 'daemon': started" in text and time.monotonic() - begin < 60
    assert not gone(machine, "sleep 4713")  # it is the command's own, and goes on
    machine.run("kill $(grep -al 'sleep.4713' /proc/[0-9]*/cmdline | cut -d/ -f3)", check=False)


def test_prints_100_megabytes(machine):
    text = machine.stead("apply", 'exec "spew" { cmd = "head -c 100000000 /dev/zero", shell = "/bin/sh" }\n' + other())
    assert "exec 'spew': only the first 16 MB of its output are kept" in text


def test_prints_100_megabytes_and_fails(machine):
    lines = fails(machine, """exec "spew" { cmd = "yes x | head -c 100000000; exit 3", shell = "/bin/sh" }\n""",
                  "failed exec 'spew': cmd failed, exit status 3 (the end of its output was cut off)")
    assert len("".join(lines)) < 4000


def test_reads_standard_input(machine):
    text = machine.stead("apply", 'exec "asks" { cmd = "read answer || echo nobody answers", shell = "/bin/sh" }\n')
    assert "exec 'asks': nobody answers" in text


def test_output_is_no_text(machine):
    """What is no UTF-8, and what would drive a terminal, is shown as what it is."""
    fails(machine, """exec "odd" { cmd = "printf '\\\\377\\\\376 red \\\\033[31m bell \\\\007 end'; exit 1", shell = "/bin/sh" }\n""",
          "failed exec 'odd': cmd failed, exit status 1", "red \\x1b[31m bell \\x07 end")


def test_killed_for_lack_of_memory(machine):
    hog = 'exec "hog" { cmd = [[perl -e "$x = q(a) x 400_000_000; print length $x"]] }\n'
    with limited("memory", "memory.limit_in_bytes", "100M") as prefix:
        rest = other()
        machine.write("/root/site.lua", hog + rest)
        done = run_limited(machine, prefix, "stead apply /root/site.lua")
    assert done.returncode == 4, done.stdout
    assert "cmd failed, ended by signal 9 (Killed); if nobody did that, memory ran out: see journalctl -k" in done.stdout
    assert machine.path(rest.split('"')[1]).exists()
    recovers(machine, 'exec "hog" { cmd = "true", nifcmd = "true" }\n')


def test_user_is_deleted_while_it_runs(machine):
    machine.run("useradd shortlived")
    config = 'exec "as" { cmd = "touch /run/as; sleep 1; id -u", shell = "/bin/sh", user = "shortlived" }\n'
    config = config.replace("touch /run/as; ", "touch /tmp/as; ")
    machine.write("/root/site.lua", config)
    done = machine.run("stead apply /root/site.lua & while ! test -e /tmp/as; do sleep 0.05; done; "
                       "userdel -f shortlived; wait $!", check=False)
    assert done.returncode == 0, done.stdout + done.stderr  # whoever runs goes on
    fails(machine, config, "failed exec 'as': cmd: no such user 'shortlived'; declare user 'shortlived'")
    machine.run("useradd shortlived")
    machine.stead("apply", config)


def test_directory_is_unmounted_while_it_runs(machine):
    config = ('exec "in" { cmd = "touch here; while test -e here; do sleep 0.05; done; echo left", '
              'shell = "/bin/sh", cwd = "/srv/in" }\n')
    machine.run("mkdir -p /srv/in; mount -t tmpfs none /srv/in")
    machine.write("/root/site.lua", config)
    done = machine.run("stead apply /root/site.lua & while ! test -e /srv/in/here; do sleep 0.05; done; "
                       "rm /srv/in/here; umount -l /srv/in; wait $!", check=False)
    assert done.returncode == 0 and "left" in done.stdout, done.stdout + done.stderr
    machine.run("rmdir /srv/in")
    fails(machine, config, "run '/bin/sh': change to directory '/srv/in': No such file or directory")


if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__]))
