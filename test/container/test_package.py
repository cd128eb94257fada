"""The Debian packages that `make deb` built: installed, upgraded, removed and purged by the real apt and systemd."""
import json
import pathlib
import re
import shutil
import subprocess

import pytest

import debian
from machine import ROOT, Machine, wait_for

PACKAGES = ROOT / "build-deb"
REPO = "/srv/repo"
SITE = "/etc/stead/site.lua"
CONFIG = 'file "/etc/motd" { content = "kept by stead\\n" }\n'


def built(name: str) -> pathlib.Path:
    found = sorted(PACKAGES.glob(f"{name}_*.deb"))
    if not found:
        pytest.skip(f"needs {PACKAGES.name}/{name}_*.deb: run make deb")
    return found[-1]


def field(package: pathlib.Path, name: str) -> str:
    return subprocess.run(["dpkg-deb", "--field", package, name], check=True, capture_output=True, text=True).stdout.strip()


def next_version(package: pathlib.Path, directory: pathlib.Path) -> pathlib.Path:
    """The same package with a higher version: same files, same scripts."""
    tree = directory / "tree"
    subprocess.run(["dpkg-deb", "--raw-extract", package, tree], check=True)
    control = tree / "DEBIAN/control"
    version = field(package, "Version")
    text = control.read_text()
    assert f"Version: {version}\n" in text
    control.write_text(text.replace(f"Version: {version}\n", f"Version: {version}+1\n"))
    target = directory / f"stead_{version}+1.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "--build", tree, target], check=True,
                   stdout=subprocess.DEVNULL)
    shutil.rmtree(tree)
    return target


@pytest.fixture
def fresh(base, request):
    """A fresh one for each test, without a stead of ours."""
    with Machine("package", stead=False) as booted:
        publish(booted, built("stead"))
        assert booted.run("command -v stead", check=False).returncode != 0
        yield booted


def publish(fresh, *packages):
    """Puts packages into the source that apt of the machine knows."""
    repo = fresh.path(REPO)
    repo.mkdir(parents=True, exist_ok=True)
    for package in packages:
        shutil.copy(package, repo)
    debian.write_index(repo)
    fresh.write("/etc/apt/sources.list.d/test.list", f"deb [trusted=yes] file:{REPO} ./\n")
    fresh.run("apt-get -qq update")


def apt(fresh, *arguments):
    return fresh.run("DEBIAN_FRONTEND=noninteractive apt-get -qq -y " + " ".join(arguments))


def show(fresh, name):
    return fresh.out(f"systemctl show --property={name} --value stead-agent")


def pid(fresh) -> int:
    return int(show(fresh, "MainPID"))


def kept(fresh, path="/etc/motd", content="kept by stead\n"):
    target = fresh.path(path)
    return target.exists() and target.read_text() == content


def journal(fresh):
    return fresh.run("journalctl --unit stead-agent --no-pager --output=cat", check=False).stdout[-3000:]


def remembered(fresh) -> dict:
    """What the ledger has of the file: what was there before, and since when it is kept."""
    entries = [json.loads(line) for line in fresh.out("stead ledger list --json").splitlines()]
    return next(({key: entry[key] for key in ("preimage", "since", "created")} for entry in entries
                 if entry.get("name") == "/etc/motd"), {})


def start(fresh, config=CONFIG):
    fresh.write(SITE, config)
    fresh.run("systemctl start stead-agent")
    wait_for(f"the first round\n{journal(fresh)}", lambda: kept(fresh))


def tamper(fresh):
    """Somebody changes what is kept; it is repaired."""
    fresh.write("/etc/motd", "mine\n")
    wait_for(f"the repair\n{journal(fresh)}", lambda: kept(fresh))


def test_nothing_happens_without_a_configuration(fresh):
    apt(fresh, "install", "stead")
    assert fresh.out("stead --version") == "stead " + field(built("stead"), "Version")
    assert show(fresh, "ActiveState") == "inactive" and show(fresh, "ConditionResult") == "no"
    assert show(fresh, "Result") == "success" and show(fresh, "UnitFileState") == "enabled"
    assert not fresh.path("/var/lib/stead").exists()
    assert fresh.run("systemctl is-failed stead-agent", check=False).stdout.strip() == "inactive"
    for name in ("/usr/share/man/man1/stead-agent.1.gz", "/usr/share/bash-completion/completions/stead",
                 "/etc/default/stead"):
        assert fresh.path(name).exists(), name


def test_agent_keeps_its_configuration(fresh):
    apt(fresh, "install", "stead")
    start(fresh)
    tamper(fresh)
    first = pid(fresh)
    # what it remembers is for root alone
    assert fresh.path("/var/lib/stead").stat().st_mode & 0o777 == 0o700
    # SIGHUP: the same process reads everything again
    fresh.write("/etc/default/stead", 'STEAD_OPTIONS="--verbose"\n')
    fresh.write(SITE, CONFIG + 'file "/etc/issue" { content = "also\\n" }\n')
    fresh.run("systemctl reload stead-agent")
    wait_for("the second file", lambda: kept(fresh, "/etc/issue", "also\n"))
    assert pid(fresh) == first
    # options come with a restart
    fresh.run("systemctl restart stead-agent")
    wait_for("the agent", lambda: pid(fresh) not in (0, first))
    assert b"--verbose" in fresh.path(f"/proc/{pid(fresh)}/cmdline").read_bytes()
    tamper(fresh)
    assert fresh.out("stead status --json | grep -c '\"state\":\"ok\"'") == "2"


def test_agent_may_do_what_it_is_for(fresh):
    """The hardening leaves packages, users, commands and modes to the agent."""
    apt(fresh, "install", "stead")
    publish(fresh, debian.build(fresh.directory, "stead-a", "1.0", conffile=True))
    start(fresh, CONFIG + """
pkg "stead-a" {}
user "ada" {}
file "/usr/local/bin/raised" { content = "#!/bin/sh\\n", mode = "4755", owner = "ada", needs = user "ada" }
exec "mount" { cmd = "mount -t tmpfs none /mnt", shell = "/bin/sh", ifcmd = "! mountpoint -q /mnt", ifshell = "/bin/sh" }
exec "host" { cmd = "hostname renamed", shell = "/bin/sh", ifcmd = "! hostname | grep -q renamed", ifshell = "/bin/sh" }
""")
    wait_for("a package, a user, a mode, a mount and a name",
             lambda: fresh.run("dpkg -s stead-a && id ada && test -u /usr/local/bin/raised && mountpoint -q /mnt && "
                                 "test \"$(hostname)\" = renamed", check=False).returncode == 0, timeout=120)
    # what it needs for nothing is refused, without ending who asks
    fresh.write("/etc/stead/site.lua", CONFIG + """
exec "personality" { cmd = "setarch i686 true && echo allowed >/run/done || echo refused >/run/done", shell = "/bin/sh" }
""")
    wait_for("a refusal", lambda: kept(fresh, "/run/done", "refused\n"))


def test_upgrade_restarts_the_agent_and_keeps_its_state(fresh, tmp_path):
    apt(fresh, "install", "stead")
    start(fresh)
    before = pid(fresh)
    since = wait_for("the ledger", lambda: remembered(fresh))
    fresh.write("/etc/default/stead", "STEAD_OPTIONS=--verbose\n")  # the owner's edit of a conffile stays
    publish(fresh, next_version(built("stead"), tmp_path))
    apt(fresh, "install", "--only-upgrade", "stead")
    assert fresh.out("dpkg-query --show --showformat='${Version}' stead").endswith("+1")
    wait_for(f"another process\n{journal(fresh)}", lambda: pid(fresh) not in (0, before))
    wait_for("it to run", lambda: show(fresh, "ActiveState") == "active")
    tamper(fresh)
    assert remembered(fresh) == since
    assert fresh.path("/etc/default/stead").read_text() == "STEAD_OPTIONS=--verbose\n"


def test_upgrade_leaves_a_stopped_agent_alone(fresh, tmp_path):
    apt(fresh, "install", "stead")
    fresh.write(SITE, CONFIG)
    fresh.run("systemctl disable --now stead-agent")
    publish(fresh, next_version(built("stead"), tmp_path))
    apt(fresh, "install", "--only-upgrade", "stead")
    assert show(fresh, "UnitFileState") == "disabled"


def test_agent_upgrades_its_own_package(fresh, tmp_path):
    """The upgrade runs below the agent that it restarts: neither waits for the other."""
    apt(fresh, "install", "stead")
    start(fresh)
    before = pid(fresh)
    publish(fresh, next_version(built("stead"), tmp_path))
    fresh.write(SITE, CONFIG + 'pkg "stead" { state = "newest" }\n')
    wait_for(f"the upgrade\n{journal(fresh)}", lambda: fresh.out(
        "dpkg-query --show --showformat='${db:Status-Status} ${Version}' stead").endswith("+1"), timeout=120)
    wait_for(f"another process\n{journal(fresh)}", lambda: pid(fresh) not in (0, before), timeout=120)
    tamper(fresh)
    assert fresh.out("dpkg-query --show --showformat='${db:Status-Status}' stead") == "installed"
    assert fresh.out("dpkg --audit") == ""


def test_remove_keeps_and_purge_removes(fresh):
    apt(fresh, "install", "stead")
    start(fresh)
    apt(fresh, "remove", "stead")
    assert show(fresh, "ActiveState") == "inactive"
    assert not fresh.path("/usr/bin/stead").exists()
    assert fresh.path(SITE).read_text() == CONFIG
    assert fresh.path("/var/lib/stead/ledger.db").exists() and fresh.path("/etc/default/stead").exists()
    # installed again, it goes on
    apt(fresh, "install", "stead")
    wait_for("the agent", lambda: pid(fresh) != 0)
    tamper(fresh)
    apt(fresh, "purge", "stead")
    for gone in ("/etc/stead", "/var/lib/stead", "/etc/default/stead", "/etc/systemd/system/multi-user.target.wants"
                 "/stead-agent.service"):
        assert not fresh.run(f"ls -d {gone}", check=False).stdout, gone
    assert kept(fresh)  # what it made on the machine stays


def test_library_packages(fresh):
    """libstead0 alone is enough to run what was linked with it."""
    publish(fresh, built("libstead0"))
    apt(fresh, "install", "libstead0")
    assert fresh.run("ldconfig --print-cache | grep libstead.so.0").stdout
    listing = subprocess.run(["dpkg-deb", "--contents", built("libstead-dev")], check=True, capture_output=True,
                             text=True).stdout
    for name in ("usr/include/stead.h", "libstead.a", "libstead.so ->", "pkgconfig/stead.pc", "examples/embed/embed.c"):
        assert name in listing, name


def test_version_is_the_one_of_the_program():
    version = re.match(r"stead \((.*?)\)", (ROOT / "debian/changelog").read_text())[1]
    assert f"version: '{version}'" in (ROOT / "meson.build").read_text()
    assert field(built("stead"), "Version") == version
