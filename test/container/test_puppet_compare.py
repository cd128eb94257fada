"""One manifest, two containers: what puppet makes of one and stead of the other is the same machine."""
import pathlib
import re
import shutil
import time

import pytest

import debian
from machine import ROOT, Machine
from snapshot import Snapshot

PACKAGES = ("puppet-agent", *(f"puppet-module-puppetlabs-{name}-core"
                              for name in ("augeas", "cron", "host", "mount", "sshkeys")))
MANIFEST = ROOT / "test/puppet/machine.pp"
MODULES = ROOT / "test/puppet/modules"
REPO = "/srv/repo"
PUPPET = "puppet apply --color=false --detailed-exitcodes --show_diff "
COMPILE = ("puppet catalog compile node.test --render-as json --manifest /root/site.pp | sed '/Notice: /d' "
           ">/root/site.json")
LEAST_RATIO = 10

# What was there before, for the resources that change or remove something.
SEED = r"""
set -e
mkdir -p /usr/share/stead-seed/sub /etc/shop/goestoo/a /etc/shop/purged/stray
echo a >/usr/share/stead-seed/a; echo b >/usr/share/stead-seed/sub/b; chmod 600 /usr/share/stead-seed/sub/b
echo x >/etc/shop/purged/stray/x; echo x >/etc/shop/purged/y
echo kept >/etc/shop/kept; rm -f /etc/shop/wasfile; echo x >/etc/shop/goes; echo x >/etc/shop/goestoo/a/b
mkdir -p /etc/shop/tree; echo extra >/etc/shop/tree/extra
groupadd -g 1900 oldgroup
useradd -m -u 1901 olduser
useradd -m -u 1902 -s /bin/bash changed; usermod -aG adm changed
printf '# Puppet Name: left\n1 1 1 1 * /bin/true left\n2 2 2 2 * by hand\n' | crontab -u root -
printf '127.0.0.1\tlocalhost\n192.0.2.1 old.example.com\n192.0.2.11 moved.example.com\n' >/etc/hosts
mkdir -p /etc/ssh
printf '# ours\nPort 2222\nPermitRootLogin yes\nAllowUsers ada eve\n' >/etc/ssh/sshd_config
printf '[main]\nsize = 4\n' >/etc/shop.ini
apt-get -qq update
apt-get -qq -y install stead-gone stead-purged >/dev/null
"""
UNIT = ("[Unit]\nDescription=for tests\n[Service]\nExecStart=/bin/sleep infinity\n"
        "ExecReload=/bin/true\n[Install]\nWantedBy=multi-user.target\n")


@pytest.fixture(scope="module")
def pair(base, tmp_path_factory):
    """Two machines alike, one for each tool; stead has the catalog that puppet compiled in the first."""
    directory = tmp_path_factory.mktemp("debs")
    for name in ("shop", "tool", "held"):
        debian.build(directory, f"stead-{name}", "1.0", unit=UNIT)
    for name, version in (("gone", "1.0"), ("purged", "1.0"), ("pinned", "1.0"), ("pinned", "1.1"), ("new", "1.0"),
                          ("new", "1.1")):
        debian.build(directory, f"stead-{name}", version, conffile=True)
    debian.write_index(directory)
    with Machine("puppet", packages=PACKAGES) as one, Machine("stead", packages=PACKAGES) as two:
        for machine in (one, two):
            prepare(machine, directory)
        one.run(COMPILE)
        shutil.copy(one.path("/root/site.json"), two.path("/root/site.json"))
        yield one, two


def prepare(machine: Machine, debs: pathlib.Path) -> None:
    repo = machine.path(REPO)
    repo.mkdir(parents=True)
    for file in [*debs.glob("*.deb"), debs / "Packages"]:
        shutil.copy(file, repo)
    machine.write("/etc/apt/sources.list.d/test.list", f"deb [trusted=yes] file:{REPO} ./\n")
    for place in ("/root", "/etc/puppet/code"):  # where stead and where puppet looks
        shutil.copytree(MODULES, machine.path(f"{place}/modules"))
    machine.write("/root/site.pp", MANIFEST.read_text())
    machine.run(SEED)


def differences(one: Machine, two: Machine) -> list[str]:
    return Snapshot(one, tables=True).differences(Snapshot(two, tables=True))


def test_same_machine(pair):
    one, two = pair
    done = one.run(PUPPET + "/root/site.pp", check=False)
    assert done.returncode == 2, f"puppet: {done.returncode}\n{done.stdout}{done.stderr}"
    done = two.run("stead apply --detailed-exitcode /root/site.json", check=False)
    assert done.returncode == 2, f"stead: {done.returncode}\n{done.stdout}{done.stderr}"
    assert "geheim" not in done.stdout + done.stderr
    assert differences(one, two) == []
    assert one.path("/etc/shop/sites/main.key").read_text() == "geheim"  # it did run


def seconds(machine: Machine, command: str) -> tuple[float, str]:
    """Exit code 2: the manifest has resources with noop, whose changes are pending for ever."""
    start = time.monotonic()
    done = machine.run(command, check=False)
    assert done.returncode == 2, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
    return time.monotonic() - start, done.stdout


def test_ratio_of_runs_that_change_nothing(pair, capsys):
    """In turn, so that load from elsewhere hits both; the best of each."""
    one, two = pair
    puppet, bare, stead = [], [], []
    for _ in range(2):
        took, output = seconds(one, PUPPET + "/root/site.pp")
        puppet.append(took)
        bare.append(float(re.search(r"Applied catalog in ([\d.]+) seconds", output)[1]))
        for _ in range(3):
            took, output = seconds(two, "stead apply --detailed-exitcode /root/site.json")
            assert " changed" not in output.splitlines()[-1], output
            stead.append(took)
    ratio = min(puppet) / min(stead)
    with capsys.disabled():
        print(f"\nno-op run of {MANIFEST.name}: puppet {min(puppet):.2f} s, of these {min(bare):.2f} s after its start "
              f"and compilation; stead {min(stead):.3f} s; ratios {ratio:.0f} and {min(bare) / min(stead):.0f}")
    assert ratio >= LEAST_RATIO
    assert differences(one, two) == []


if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__]))
