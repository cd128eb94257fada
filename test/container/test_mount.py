"""The kind mount on a machine of its own: fstab and what is mounted, together and each for itself."""
import re

import pytest

from machine import wait_for

FSTAB = "# mounts of this machine\nproc\t/proc\tproc  defaults 0 0\n\n# the end\n"
TMPFS = ('mount "/srv/cache" { device = "tmpfs", fstype = "tmpfs", '
         'options = { "size=8m", "mode=0750", "nodev", "nofail", "x-systemd.device-timeout=5" } }\n')


def live(machine, point: str, field: str) -> str:
    return machine.run(f"findmnt --noheadings --first-only --mountpoint '{point}' -o {field}",
                       check=False).stdout.strip()


def is_mounted(machine, point: str) -> bool:
    return live(machine, point, "TARGET") != ""


def fstab(machine) -> str:
    return machine.path("/etc/fstab").read_text()


@pytest.fixture(autouse=True)
def clean(machine):
    """Each test begins with nothing of stead's, and an fstab of somebody's."""
    machine.write("/etc/fstab", FSTAB)
    machine.run("systemctl daemon-reload")
    yield
    machine.stop_agents()
    machine.stead("apply", "")


def predicted(machine, config: str) -> None:
    """The plan names the changes that apply then makes, no more and no fewer."""
    def changes(text: str) -> list[str]:
        return sorted(re.findall(r"mount '[^']*' \(([^)]*)\)", text))
    plan = machine.stead("plan", config, "--json", "--detailed-exitcode", code=2)
    text = machine.stead("apply", config, "--detailed-exitcode", code=2)
    for properties in changes(text):
        for name in properties.split(", "):
            assert name.split(" ")[0].split(":")[0] in plan, (name, plan)
    machine.stead("plan", config, "--detailed-exitcode", code=0)
    machine.settled(config)


def test_tmpfs_converges_and_leaves(machine):
    predicted(machine, TMPFS)
    assert live(machine, "/srv/cache", "FSTYPE") == "tmpfs"
    assert {"nodev", "size=8192k", "mode=750"} <= set(live(machine, "/srv/cache", "OPTIONS").split(","))
    line = "tmpfs\t/srv/cache\ttmpfs\tsize=8m,mode=0750,nodev,nofail,x-systemd.device-timeout=5\t0\t0\n"
    assert fstab(machine) == FSTAB + line
    assert machine.out("systemctl show -P FragmentPath srv-cache.mount") == "/run/systemd/generator/srv-cache.mount"
    machine.stead("apply", "", "--detailed-exitcode", code=2)
    assert not is_mounted(machine, "/srv/cache")
    assert fstab(machine) == FSTAB
    assert not machine.path("/srv/cache").exists()
    assert machine.out("systemctl show -P LoadState srv-cache.mount") == "not-found"


def test_what_was_there_comes_back(machine):
    machine.run("mkdir -p /srv/old && mount -t tmpfs -o size=1m,noexec old /srv/old")
    machine.write("/etc/fstab", FSTAB + "old   /srv/old\ttmpfs size=1m,noexec 0 0\n")
    machine.converge('mount "/srv/old" { device = "old", fstype = "tmpfs", options = "size=4m" }\n')
    assert "size=4096k" in live(machine, "/srv/old", "OPTIONS")
    assert "noexec" not in live(machine, "/srv/old", "OPTIONS")
    assert fstab(machine) == FSTAB + "old   /srv/old\ttmpfs size=4m 0 0\n"
    machine.stead("apply", "", "--detailed-exitcode", code=2)
    assert {"size=1024k", "noexec"} <= set(live(machine, "/srv/old", "OPTIONS").split(","))
    assert fstab(machine) == FSTAB + "old   /srv/old\ttmpfs size=1m,noexec 0 0\n"
    machine.run("umount /srv/old")


def test_bind_overlay_and_mounts_below_each_other(machine):
    machine.run("mkdir -p /run/layers/data /run/layers/work")
    config = ('file "/srv/lower/" { state = "exists" }\nfile "/srv/lower/a" { content = "from below\\n" }\n'
              'mount "/srv/top/in side" { device = "/srv/lower", options = "bind,ro" }\n'
              'mount "/srv/top" { device = "top", fstype = "tmpfs", options = "mode=755" }\n'
                            'mount "/srv/merged" { device = "overlay", fstype = "overlay", '
              'options = "lowerdir=/srv/lower,upperdir=/run/layers/data,workdir=/run/layers/work" }\n'
              'file "/srv/merged/b" { content = "above\\n" }\n')
    machine.converge(config)
    assert machine.out("cat '/srv/top/in side/a' /srv/merged/a /run/layers/data/b") == "from below\nfrom below\nabove"
    assert machine.run("touch '/srv/top/in side/x'", check=False).returncode != 0
    assert "/srv/lower\t/srv/top/in\\040side\tnone\tbind,ro\t0\t0\n" in fstab(machine)
    machine.run("umount '/srv/top/in side' && mount --bind /srv/top '/srv/top/in side'")
    assert "drift repaired" in machine.stead("apply", config, "--detailed-exitcode", code=2)
    assert machine.out("cat '/srv/top/in side/a'") == "from below"
    text = machine.stead("apply", "", "--detailed-exitcode", code=2)
    assert not any(is_mounted(machine, point) for point in ("/srv/top", "/srv/top/in side", "/srv/merged")), text
    assert fstab(machine) == FSTAB


def test_agent_repairs(machine):
    machine.agent(TMPFS)
    wait_for("the mount", lambda: is_mounted(machine, "/srv/cache"))
    wait_for("the end of the round", lambda: "created mount" in machine.agent_log(), 45)

    def reports() -> list[str]:
        return re.findall(r".*drift repaired in.*", machine.agent_log())

    def repaired(what: str, tamper: str, check) -> None:
        told = len(reports())
        machine.run(tamper)
        wait_for(f"repair of what was {what}", check, 45)
        wait_for("the report", lambda: len(reports()) > told, 45)
        print(f"{what}: {reports()[-1]}")

    def options() -> set[str]:
        return set(live(machine, "/srv/cache", "OPTIONS").split(","))

    repaired("unmounted by somebody", "umount /srv/cache", lambda: is_mounted(machine, "/srv/cache"))
    repaired("made read-only", "mount -o remount,ro /srv/cache", lambda: {"rw", "nodev"} <= options())
    repaired("made smaller", "mount -o remount,size=1m /srv/cache", lambda: "size=8192k" in options())
    repaired("its line edited", "sed -i s/size=8m/size=9m/ /etc/fstab", lambda: "size=8m" in fstab(machine))
    repaired("its line deleted", "sed -i /cache/d /etc/fstab", lambda: "/srv/cache" in fstab(machine))
    repaired("covered by another", "mount -t ramfs other /srv/cache",
             lambda: machine.out("findmnt -rn -o FSTYPE --mountpoint /srv/cache") == "tmpfs")
    assert is_mounted(machine, "/srv/cache") and fstab(machine).startswith(FSTAB)


def test_states(machine):
    mount = 'mount "/srv/s" {{ device = "s", fstype = "tmpfs", state = "{}" }}\n'
    for state, line, mounted in [("defined", True, False), ("unmounted", True, False), ("mounted", True, True),
                                 ("defined", True, True), ("ephemeral", False, True), ("mounted", True, True),
                                 ("unmounted", True, False), ("absent", False, False)]:
        machine.stead("apply", mount.format(state))
        machine.settled(mount.format(state))
        assert ("/srv/s\t" in fstab(machine), is_mounted(machine, "/srv/s")) == (line, mounted), state


def test_busy(machine):
    machine.converge(TMPFS)
    machine.run("cd /srv/cache && (sleep 1000 >/dev/null 2>&1 & echo $! >/run/sleeper)")
    pid = machine.out("cat /run/sleeper")
    text = machine.stead("apply", "", code=4)
    assert f"unmount '/srv/cache': it is in use by 'sleep' ({pid})" in text
    assert is_mounted(machine, "/srv/cache") and "/srv/cache" in fstab(machine)
    forced = TMPFS.replace("device =", 'state = "absent", force = true, device =')
    machine.stead("apply", forced)
    assert not is_mounted(machine, "/srv/cache") and fstab(machine) == FSTAB
    machine.run(f"kill {pid}")
    assert "the machine needs what is mounted there" in machine.stead("plan", 'mount "/usr" { state = "absent" }', code=1)


def test_a_mount_that_fails_leaves_no_line(machine):
    text = machine.stead("apply", 'mount "/srv/bad" { device = "x", fstype = "tmpfs", options = "size=many" }', code=4)
    assert "mount '/srv/bad': " in text
    assert fstab(machine) == FSTAB and not is_mounted(machine, "/srv/bad")
    text = machine.stead("apply", 'mount "/srv/bad" { device = "/dev/nothing", fstype = "ext4" }', code=4)
    assert "mount '/srv/bad': '/dev/nothing' does not exist" in text or "does not exist" in text
    assert fstab(machine) == FSTAB


def test_reboot(machine):
    config = TMPFS + 'mount "/srv/b" { device = "/usr/share", options = "bind" }\n'
    machine.converge(config)
    machine.reboot()
    assert is_mounted(machine, "/srv/cache") and is_mounted(machine, "/srv/b")
    machine.settled(config)


if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__]))
