"""The kind pkg with the real apt and dpkg."""
import shutil

import pytest

import debian
from machine import wait_for

REPO = "/srv/repo"


def packages(machine, tmp_path, *specs, extra=""):
    """Makes a package source of specs (name, version, keywords of debian.build)."""
    repo = machine.path(REPO)
    repo.mkdir(parents=True, exist_ok=True)
    for name, version, *options in specs:
        shutil.copy(debian.build(tmp_path, name, version, **(options[0] if options else {})), repo)
    debian.write_index(repo)
    machine.write("/etc/apt/sources.list.d/test.list", f"deb [trusted=yes] file:{REPO} ./\n")
    machine.run("apt-get -qq update")


def version(machine, name):
    """The installed version, or None."""
    text = machine.run(f"dpkg-query --show --showformat='${{Status}} ${{Version}}' {name}",
                       check=False).stdout
    return text.split()[-1] if text.startswith(("install ok installed", "hold ok installed")) else None


def transactions(machine):
    log = machine.path("/var/log/apt/history.log")
    return log.read_text().count("Start-Date:") if log.exists() else 0


def test_three_packages_are_one_transaction(machine, tmp_path):
    packages(machine, tmp_path, ("stead-a", "1.0"), ("stead-b", "1.0"), ("stead-c", "1.0"))
    config = 'pkg "stead-a" {}\npkg "stead-b" {}\npkg "stead-c" {}\n'
    before = transactions(machine)
    machine.converge(config)
    assert transactions(machine) == before + 1
    assert [version(machine, f"stead-{x}") for x in "abc"] == ["1.0"] * 3
    # what leaves the configuration and came with us goes
    machine.converge('pkg "stead-a" {}\n')
    assert [version(machine, f"stead-{x}") for x in "abc"] == ["1.0", None, None]


def test_newest_follows_the_source(machine, tmp_path):
    packages(machine, tmp_path, ("stead-n", "1.0"))
    config = 'pkg "stead-n" { state = "newest" }\n'
    machine.converge(config)
    packages(machine, tmp_path, ("stead-n", "1.1"))
    plan = machine.stead("plan", config, "--detailed-exitcode", code=2)
    assert "1.0" in plan and "1.1" in plan
    machine.converge(config)
    assert version(machine, "stead-n") == "1.1"
    # any version will do
    packages(machine, tmp_path, ("stead-n", "1.2"))
    machine.settled('pkg "stead-n" {}\n')


def test_version_and_downgrade(machine, tmp_path):
    packages(machine, tmp_path, ("stead-v", "1.0"), ("stead-v", "2.0"))
    machine.converge('pkg "stead-v" { version = "2.0" }\n')
    text = machine.stead("apply", 'pkg "stead-v" { version = "1.0" }\n', code=4)
    assert "allowdowngrade" in text
    machine.converge('pkg "stead-v" { version = "1.*", allowdowngrade = true }\n')
    assert version(machine, "stead-v") == "1.0"
    machine.stead("apply", 'pkg "stead-v" { version = "9.9" }\n', code=4)
    assert version(machine, "stead-v") == "1.0"


def test_hold(machine, tmp_path):
    packages(machine, tmp_path, ("stead-h", "1.0"))
    machine.converge('pkg "stead-h" { state = "held" }\n')
    assert machine.out("apt-mark showhold") == "stead-h"
    packages(machine, tmp_path, ("stead-h", "1.1"))
    text = machine.stead("apply", 'pkg "stead-h" { state = "newest" }\n', code=4)
    assert "it is held at 1.0" in text
    machine.converge('pkg "stead-h" { state = "newest", held = true }\n')
    assert (version(machine, "stead-h"), machine.out("apt-mark showhold")) == ("1.1", "stead-h")
    machine.converge('pkg "stead-h" { held = false }\n')
    assert machine.out("apt-mark showhold") == ""


def test_removal_and_purge(machine, tmp_path):
    packages(machine, tmp_path, ("stead-r", "1.0", {"conffile": True}))
    machine.converge('pkg "stead-r" {}\n')
    machine.converge('pkg "stead-r" { state = "uninstalled" }\n')
    assert version(machine, "stead-r") is None
    assert machine.path("/etc/stead-r.conf").exists()
    machine.converge('pkg "stead-r" { state = "purged" }\n')
    assert not machine.path("/etc/stead-r.conf").exists()


def test_removal_takes_nothing_else_with_it(machine, tmp_path):
    packages(machine, tmp_path, ("stead-lib", "1.0"), ("stead-app", "1.0", {"depends": "stead-lib"}))
    machine.converge('pkg "stead-app" {}\n')
    text = machine.stead("apply", 'pkg "stead-lib" { state = "absent" }\n'
                         'pkg "stead-app" { }\n', code=4)
    assert "stead-app" in text
    assert (version(machine, "stead-lib"), version(machine, "stead-app")) == ("1.0", "1.0")


def test_unknown_package_fails_alone(machine, tmp_path):
    packages(machine, tmp_path, ("stead-k", "1.0"), ("stead-l", "1.0"))
    config = 'pkg "stead-k" {}\npkg "stead-nothing" {}\npkg "stead-l" {}\n'  # one transaction
    text = machine.stead("apply", config, code=4)
    assert "pkg 'stead-nothing': no source of apt has it" in text
    assert (version(machine, "stead-k"), version(machine, "stead-l")) == ("1.0", "1.0")
    text = machine.stead("apply", 'pkg "stead-nothing" { version = "1.0" }\n', code=4)
    assert "stead-nothing" in text


def test_untrusted_source(machine, tmp_path):
    packages(machine, tmp_path, ("stead-u", "1.0"))
    machine.write("/etc/apt/sources.list.d/test.list", f"deb [allow-insecure=yes] file:{REPO} ./\n")
    machine.run("apt-get -qq update --allow-insecure-repositories")
    machine.stead("apply", 'pkg "stead-u" {}\n', code=4)
    assert version(machine, "stead-u") is None
    machine.stead("apply", 'pkg "stead-u" { allowuntrusted = true }\n')
    assert version(machine, "stead-u") == "1.0"


def test_package_with_its_service(machine, tmp_path):
    """A plan of a service whose package is not there yet, and both leaving in the right order."""
    unit = "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n"
    packages(machine, tmp_path, ("stead-s", "1.0", {"unit": unit}))
    config = 'svc "stead-s" { state = "running", enabled = true }\npkg "stead-s" {}\n'
    plan = machine.stead("plan", config, "--detailed-exitcode", code=2)
    assert plan.index("pkg 'stead-s'") < plan.index("svc 'stead-s'")
    machine.converge(config)
    assert machine.out("systemctl is-active stead-s; systemctl is-enabled stead-s").split() == [
        "active", "enabled"]
    machine.converge('noop "empty" {}\n')
    assert version(machine, "stead-s") is None
    assert machine.run("systemctl is-active stead-s", check=False).returncode != 0
    assert not machine.path("/etc/systemd/system/multi-user.target.wants/stead-s.service").is_symlink()


def test_agent_repairs(machine, tmp_path):
    packages(machine, tmp_path, ("stead-g", "1.0"))
    machine.agent('pkg "stead-g" {}\n')
    wait_for("the package", lambda: version(machine, "stead-g") == "1.0")
    machine.run("apt-get -qq -y -o DPkg::Lock::Timeout=30 remove stead-g")
    wait_for("its return", lambda: version(machine, "stead-g") == "1.0")


if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__]))
