"""A machine in trouble: locks, disks, limits, memory, clocks, a journal that is down, reboots."""
import os
import pathlib
import re
import shutil
import signal
import subprocess

import pytest

from faults import fails, heard, limited, other, pid_of, recovers, run_limited
from machine import STEAD, children, wait_for

LOCKER = """perl -e 'use Fcntl; open(F, ">>/etc/.pwd.lock"); my $lock = pack("s s l! l! i", F_WRLCK, 0, 0, 0, 0);
fcntl(F, F_SETLK, $lock) or die $!; print "held\\n"; close(STDOUT); sleep 100'"""
SHIM = pathlib.Path(__file__).with_name("clock-shim.c")


def content(machine, path):
    try:
        return machine.path(path).read_text()
    except (FileNotFoundError, NotADirectoryError):
        return None


def ledger_is_whole(machine):
    machine.run("stead ledger list")


# --- files that cannot be written


def test_immutable_file(machine):
    machine.write("/srv/fixed", "old")
    if machine.run("chattr +i /srv/fixed", check=False).returncode != 0:
        pytest.skip("this file system knows no immutable files")
    config = 'file "/srv/fixed" { content = "new" }\n'
    lines = fails(machine, config, "failed file '/srv/fixed' (content): write '/srv/fixed'", "Operation not permitted",
                  "'lsattr -d' on '/srv/fixed' shows it, 'chattr -i' ends it")
    assert content(machine, "/srv/fixed") == "old" and lines[0].count("immutable") == 1
    machine.run("chattr -i /srv/fixed")
    recovers(machine, config)


def test_file_below_a_read_only_mount(machine):
    machine.run("mkdir /srv/ro; echo old > /srv/ro/f; mount --bind /srv/ro /srv/ro; mount -o remount,ro,bind /srv/ro")
    config = 'file "/srv/ro/f" { content = "new" }\nline "ro" { file = "/srv/ro/f", content = "line", needs = file "/srv/ro/f" }\n'
    fails(machine, config, "failed file '/srv/ro/f'", "mounted read-only: see 'findmnt -T /srv/ro/f'")
    machine.run("umount /srv/ro")
    machine.stead("apply", config.split("\n")[0] + "\n")
    assert content(machine, "/srv/ro/f") == "new"


def test_single_file_that_is_a_read_only_mount(machine):
    machine.run("echo old > /srv/one; mount --bind /srv/one /srv/one; mount -o remount,ro,bind /srv/one")
    fails(machine, 'file "/srv/one" { content = "new" }\n', "it is a mount point", "findmnt -T /srv/one")
    machine.run("umount /srv/one")
    recovers(machine, 'file "/srv/one" { content = "new" }\n')


def test_file_system_is_unmounted_below_a_managed_file(machine):
    """The agent makes the file again on what was below, and is right again when the mount is back."""
    machine.run("mkdir /srv/disk; mount -t tmpfs none /srv/disk")
    machine.agent('file "/srv/disk/sub/" {}\nfile "/srv/disk/sub/f" { content = "right" }\n')
    wait_for("the file", lambda: content(machine, "/srv/disk/sub/f") == "right")
    machine.run("umount -l /srv/disk")
    wait_for("the file below", lambda: content(machine, "/srv/disk/sub/f") == "right", 120)
    machine.run("mount -t tmpfs none /srv/disk")
    wait_for("the file on the new disk", lambda: content(machine, "/srv/disk/sub/f") == "right", 120)
    machine.run("echo drift > /srv/disk/sub/f")
    wait_for("the repair", lambda: content(machine, "/srv/disk/sub/f") == "right", 120)
    machine.stop_agents()
    machine.run("umount /srv/disk")


# --- accounts


def test_accounts_are_locked(machine):
    holder = subprocess.Popen(machine.command("sh", "-c", LOCKER), stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == b"held\n"
        lines = fails(machine, 'user "locked" {}\n', "lock the accounts: process", "has held '/etc/.pwd.lock' for 15 s",
                      "try again when it is done")
        pid = int(re.search(r"process (\d+)", lines[0]).group(1))
        assert "perl" in machine.out(f"cat /proc/{pid}/comm")  # it names the culprit
    finally:
        machine.run("kill -9 $(grep -lx perl /proc/[0-9]*/comm | cut -d/ -f3)", check=False)
        holder.wait()
    recovers(machine, 'user "locked" {}\n')


def test_stale_locks(machine):
    """Those of useradd(8) in files, whose process is gone, and a temporary of it."""
    for name in ("passwd", "shadow", "group", "gshadow"):
        machine.write(f"/etc/{name}.lock", "99999")
    machine.write("/etc/passwd+", "half")
    recovers(machine, 'user "stale" { groups = "adm" }\n')
    assert machine.out("id -nG stale").split() == ["stale", "adm"]
    machine.run("rm /etc/*.lock /etc/passwd+; useradd afterwards")


# --- space


def test_etc_is_full(machine):
    machine.run("mkdir /run/etc; mount -t tmpfs -o size=3m none /run/etc; cp -a /etc/. /run/etc; mount --bind /run/etc /etc; "
                "dd if=/dev/zero of=/etc/ballast bs=4k status=none", check=False)
    try:
        before = content(machine, "/etc/passwd")
        config = 'user "crowded" { comment = string.rep("x", 5000) }\nfile "/etc/big" { content = string.rep("x", 20000) }\n'
        fails(machine, config, "failed user 'crowded'", "failed file '/etc/big'", "No space left on device", "df -h /etc")
        assert content(machine, "/etc/passwd") == before and content(machine, "/etc/big") is None
        assert not [path for path in machine.path("/etc").iterdir() if ".stead" in path.name]
        machine.run("rm /etc/ballast")
        recovers(machine, config)
    finally:
        machine.run("umount -l /etc; umount -l /run/etc")


def test_no_more_files_can_be_made(machine):
    machine.run("mkdir /srv/few; mount -t tmpfs -o nr_inodes=12 none /srv/few")
    config = 'for i = 1, 20 do file("/srv/few/" .. i) { content = "x" } end\n'
    lines = fails(machine, config, "No space left on device: see 'df -h /srv/few/", "'df -i'")
    assert 5 < len(lines) < 20 and not [p for p in machine.path("/srv/few").iterdir() if "stead" in p.name]
    machine.run("mount -o remount,nr_inodes=100 /srv/few")
    recovers(machine, config)
    machine.stead("apply", "")
    machine.run("umount /srv/few")


@pytest.mark.parametrize("inodes", [3, 4])
def test_no_more_files_can_be_made_in_the_state_directory(machine, inodes):
    machine.run(f"mkdir -p /run/state; mount -t tmpfs -o nr_inodes={inodes} none /run/state")
    try:
        machine.write("/root/site.lua", 'file "/srv/never" { content = "x" }\n')
        done = machine.run("stead apply --state /run/state /root/site.lua", check=False)
        assert done.returncode == 1 and "No space left on device" in done.stderr, done
        assert "/run/state" in done.stderr and content(machine, "/srv/never") is None
        machine.run("mount -o remount,nr_inodes=100 /run/state; stead apply --state /run/state /root/site.lua")
        assert content(machine, "/srv/never") == "x"
    finally:
        machine.run("rm -f /srv/never; umount /run/state")


def test_state_directory_fills_up_below_the_agent(machine):
    """It does no work that it cannot note, says so, and does it when there is room."""
    machine.run("mkdir -p /run/state; mount -t tmpfs -o size=1m none /run/state")
    machine.write("/root/site.lua", 'file "/srv/noted" { content = "right" }\n')
    log = machine.directory / "agent-full.log"
    with open(log, "wb") as out:
        agent = subprocess.Popen(machine.command("stead", "agent", "--state", "/run/state", "/root/site.lua"),
                                 stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    machine.agents.append(agent)
    wait_for("the file", lambda: content(machine, "/srv/noted") == "right")
    machine.run("dd if=/dev/zero of=/run/state/ballast bs=4k status=none", check=False)
    machine.run("echo drift > /srv/noted")
    wait_for("the complaint", lambda: "No space left on device" in log.read_text(), 120)
    assert content(machine, "/srv/noted") == "drift\n"
    machine.run("rm /run/state/ballast; echo again > /srv/noted")
    wait_for("the repair", lambda: content(machine, "/srv/noted") == "right", 120)
    machine.stop_agents()
    machine.run("stead ledger list --state /run/state; umount /run/state; rm /srv/noted")


# --- limits


MANY = ('for i = 1, 30 do exec("e" .. i) { cmd = "true", nifcmd = "test -e /run/never" } end\n'
        'for i = 1, 30 do file("/srv/many" .. i) { content = "x" .. i } end\n')


def test_limit_of_open_files(machine):
    machine.write("/root/site.lua", MANY)
    machine.run("ulimit -n 64; stead apply /root/site.lua")  # what a careless service has
    machine.run("rm /srv/many*")
    done = machine.run("ulimit -n 20; stead apply /root/site.lua", check=False)
    assert done.returncode == 4, done
    assert "Too many open files: raise this process' limit of open files (ulimit -n, LimitNOFILE=" in done.stdout
    ledger_is_whole(machine)
    machine.stead("apply", MANY)


def test_limit_of_processes(machine):
    machine.write("/root/site.lua", MANY)
    with limited("pids", "pids.max", "7") as prefix:
        done = run_limited(machine, prefix, "exec stead apply --parallel 2 /root/site.lua")
        tight = done
        for room in range(6, 1, -1):  # until commands do not fit any more, while stead itself does
            if "make a process" in tight.stdout:
                break
            path = pathlib.Path(prefix[2].split()[3]).parent / "pids.max"
            path.write_text(str(room))
            tight = run_limited(machine, prefix, "exec stead apply --parallel 2 /root/site.lua")
    print(tight.stdout)
    assert tight.returncode != 0 and "core dumped" not in tight.stdout and tight.stdout.strip()
    ledger_is_whole(machine)
    machine.stead("apply", MANY)


def test_memory_runs_out(machine):
    """Killed by the kernel or not: what was noted is whole, and the next apply ends the work."""
    config = 'for i = 1, 400 do file("/srv/mem/" .. i) { content = string.rep("x", 100000) .. i } end\nfile "/srv/mem/" {}\n'
    machine.write("/root/site.lua", config)
    with limited("memory", "memory.limit_in_bytes", "24M") as prefix:
        done = run_limited(machine, prefix, "exec stead apply /root/site.lua")
    assert done.returncode == 0 or done.returncode in (-9, 137), done
    print("killed" if done.returncode else "got along")
    ledger_is_whole(machine)
    recovers(machine, config)
    machine.stead("apply", "")
    assert content(machine, "/srv/mem/1") is None


# --- others at work


def test_two_applies_at_once(machine):
    machine.write("/root/site.lua", 'exec "slow" { cmd = "touch /tmp/slow; while test -e /tmp/slow; do sleep 0.05; done", '
                  'shell = "/bin/sh" }\n')
    first = subprocess.Popen(machine.command("stead", "apply", "/root/site.lua"), stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    wait_for("the first one at work", lambda: machine.path("/tmp/slow").exists())
    second = machine.run("stead apply /root/site.lua", check=False)
    machine.run("rm /tmp/slow")
    assert second.returncode == 1, second
    pid = children(first.pid)[0]
    inner = [line for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("NSpid")]
    assert f"another stead is at work on this host: 'apply' with pid {inner[0].split()[-1]} since" in \
        second.stderr, second.stderr
    out, _ = first.communicate(timeout=120)
    assert first.returncode == 0, out


def test_agent_is_stopped_and_continued(machine):
    agent = machine.agent('file "/srv/paused" { content = "right" }\nsvc "cron" { state = "running" }\n')
    wait_for("the file", lambda: content(machine, "/srv/paused") == "right")
    os.kill(pid_of(agent), signal.SIGSTOP)
    machine.run("echo drift > /srv/paused; systemctl stop cron")
    done = machine.run("timeout 50 stead status", check=False)
    os.kill(pid_of(agent), signal.SIGCONT)
    os.kill(agent.pid, signal.SIGCONT)  # nsenter stops with its child
    assert done.returncode != 124, "status waits for an agent that does not answer"
    wait_for("the repair", lambda: content(machine, "/srv/paused") == "right", 120)
    wait_for("the service", lambda: machine.run("systemctl is-active cron", check=False).returncode == 0, 120)


def test_journal_is_down(machine):
    """Units of the journal are stopped: the agent goes on, and logs again when it is back."""
    machine.run("systemctl stop systemd-journald.socket systemd-journald-dev-log.socket systemd-journald.service", check=False)
    try:
        machine.agent('file "/srv/unheard" { content = "right" }\n')
        wait_for("the file", lambda: content(machine, "/srv/unheard") == "right")
        machine.run("echo drift > /srv/unheard")
        wait_for("the repair", lambda: content(machine, "/srv/unheard") == "right", 120)
    finally:
        machine.run("systemctl start systemd-journald.socket systemd-journald-dev-log.socket systemd-journald.service")


def test_clock_jumps(machine, tmp_path):
    """A day ahead, two years back: repairs, retries, polls and the journal go on."""
    if not shutil.which("cc"):
        pytest.skip("needs a C compiler")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(tmp_path / "shim.so"), str(SHIM)], check=True)
    shutil.copy(tmp_path / "shim.so", machine.path("/usr/lib/clock-shim.so"))
    offset = "/run/clock-offset"
    machine.write(offset, "0")
    shimmed = f"LD_PRELOAD=/usr/lib/clock-shim.so CLOCK_OFFSET={offset}"
    machine.write("/root/site.lua", """
file "/srv/timely" { content = "right" }
exec "polled" { cmd = "date +%s >> /run/polled", shell = "/bin/sh", nifcmd = "test -e /run/polled.stop", meta = { poll = 1 } }
exec "again" { cmd = "date +%s >> /run/again; test -e /run/good", shell = "/bin/sh", meta = { retry = -1, delay = 300 } }
""")
    log = machine.directory / "agent-clock.log"
    with open(log, "wb") as out:
        machine.agents.append(subprocess.Popen(
            machine.command("sh", "-c", f"{shimmed} exec stead agent --flap 0 /root/site.lua"),
            stdin=subprocess.DEVNULL, stdout=out, stderr=out))

    def count(path):
        return len((content(machine, path) or "").splitlines())

    wait_for("the file", lambda: content(machine, "/srv/timely") == "right")
    for jump in ("86400", "-63072000", "0"):
        machine.write(offset, jump)
        machine.run("echo drift > /srv/timely")
        wait_for(f"the repair after {jump} s", lambda: content(machine, "/srv/timely") == "right", 60)
        polls, tries = count("/run/polled"), count("/run/again")
        wait_for(f"polls after {jump} s", lambda: count("/run/polled") >= polls + 2, 60)
        wait_for(f"tries after {jump} s", lambda: count("/run/again") >= tries + 2, 60)
        drift = machine.run(f"{shimmed} stead drift file /srv/timely", check=False)
        assert drift.returncode == 0 and "/srv/timely" in drift.stdout, drift
        assert machine.run(f"{shimmed} stead status", check=False).returncode in (0, 4)
    machine.write("/run/good", "")
    wait_for("the end of the tries", lambda: machine.run(f"{shimmed} stead why exec again", check=False).returncode == 0)
    machine.stop_agents()
    ledger_is_whole(machine)


# --- last: the machine goes down


def test_reboot_in_the_middle(machine):
    """At once, while a command runs: what was done is kept, and the next apply does the rest."""
    config = ('file "/srv/before" { content = "x", before = exec "middle" }\n'
              'exec "middle" { cmd = "touch /srv/middle; test -e /srv/go || sleep 1000", shell = "/bin/sh", creates = "/srv/go-on" }\n'
              .replace("/srv/go-on", "/srv/done").replace("|| sleep 1000", "|| sleep 1000; touch /srv/done") +
              'file "/srv/after" { content = "x", needs = exec "middle" }\n')
    machine.write("/root/site.lua", config)
    apply = subprocess.Popen(machine.command("stead", "apply", "/root/site.lua"), stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for("the command", lambda: machine.path("/srv/middle").exists())
    machine.reboot("systemctl reboot --force --force")
    apply.wait(60)
    assert content(machine, "/srv/before") == "x" and content(machine, "/srv/after") is None
    ledger_is_whole(machine)
    machine.write("/srv/go", "")
    recovers(machine, config)
    assert content(machine, "/srv/after") == "x"


AFTER = """[Unit]
Requires=srv-data.mount
After=srv-data.mount
[Service]
ExecStart=/bin/sleep infinity
ExecStop=/bin/sleep 3
"""


def test_reboot_while_the_agent_waits_for_systemd(machine):
    """Its job becomes part of the shutdown, which waits for the agent: only the agent can end that."""
    machine.write("/usr/lib/systemd/system/stead-agent.service",
                  (STEAD.parent / "stead-agent.service").read_text().replace("/usr/local/bin/", "/usr/bin/"))
    machine.write("/etc/systemd/system/srv-data.mount", "[Mount]\nWhat=tmpfs\nWhere=/srv/data\nType=tmpfs\n")
    machine.write("/etc/systemd/system/after.service", AFTER)
    machine.write("/etc/default/stead", "STEAD_OPTIONS=--replace\n")
    machine.write("/etc/stead/site.lua", 'svc "srv-data.mount" { state = "stopped" }\n')
    machine.run("systemctl daemon-reload && systemctl start after && systemctl stop dbus.socket dbus.service")
    machine.run("systemctl start stead-agent")
    wait_for("the job", lambda: re.search(r"srv-data.mount +stop waiting", machine.out("systemctl list-jobs")))
    assert machine.reboot() < 100  # systemd would wait 300 s


if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__]))
