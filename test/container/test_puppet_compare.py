"""One manifest, two containers: what puppet makes of one and stead of the other is the same machine."""
import json
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
MANIFESTS = ROOT / "test/puppet"
MANIFEST = MANIFESTS / "machine.pp"
MODULES = ROOT / "test/puppet/modules"
REPO = "/srv/repo"
PUPPET = "puppet apply --color=false --detailed-exitcodes --show_diff "
COMPILE = "puppet catalog compile node.test --render-as rich_data_json --manifest {} | sed '/Notice: /d' >{}"
STEAD_APPLY = "stead apply --detailed-exitcode "
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
cd /srv && mkdir -p m && cd m && mkdir off gone ghost ghostgone bare quiet told 'with space'
cat >/etc/fstab <<'END'
# mounts of this machine
old   /srv/m/off	tmpfs size=1m 0 0

/dev/none /srv/other ext4  noauto 0 2
gone /srv/m/gone tmpfs size=1m 0 0
quiet /srv/m/quiet tmpfs noauto 0 1
# the end
END
for name in off gone ghost ghostgone; do mount -t tmpfs -o size=1m $name /srv/m/$name; done
"""
# Unmounted, mounted, lines lost, changed and added by somebody.
TAMPER_MOUNTS = r"""
set -e
umount /srv/m/kept /srv/m/cache/in
mount -t tmpfs other /srv/m/gone
mount -t tmpfs other /srv/m/bare
sed -i 's/noatime,noauto/sync/; /moved/d; /bare/d; s/^told.*/told \/srv\/m\/told tmpfs size=3m 0 2/; s/# the end/&, nearly/' \
    /etc/fstab
echo 'never /srv/m/never tmpfs defaults 0 0' >>/etc/fstab
"""
# What nasty.pp finds.
SEED_NASTY = r"""
set -e
mkdir -p /n/log /n/purged/stray/deep /n/purged-files /n/was-directory/x /n/no-ensure-absent/x /n/tree
for name in purged/stray/deep/x purged/y purged-files/a purged-files/b.keep was-file emptied tree/extra once backed; do
    echo there >/n/$name
done
ln -s /etc/passwd /n/was-link
for name in once never; do
    printf '[Service]\nExecStartPre=/bin/sh -c "echo start >>/var/lib/%s"\nExecStart=/bin/sleep infinity\n' $name |
        sed '$a [Install]\nWantedBy=multi-user.target' >/etc/systemd/system/stead-$name.service
done
systemctl daemon-reload
"""
TAMPER_NASTY = r"""
set -e
echo changed >/n/source; echo changed >/n/teller; rm /n/aliased /n/inner /n/words /n/realized
chmod 777 /n/sticky /n/work; chown nobody /n/collected; ln -sfn /tmp /n/dirlink; echo keep >/n/once; echo x >/n/emptied
echo more >/n/purged/kept/file; mkdir /n/purged/again; echo x >/n/tree/a; touch /n/tree/more
systemctl disable -q --now stead-once
usermod -G games -c somebody nina; crontab -u nina -r; sed -i 's/192.0.2.50/192.0.2.60/; /six/d' /etc/hosts
echo '# other' >/home/nina/.ssh/authorized_keys
apt-mark -qq unhold stead-held
"""
# Puppet counts a refresh that a guard then stops.
REFRESH_STOPPED = "exec[refresh guarded]"
RECURSED = ("/n/purged", "/n/purged-files", "/n/tree")
REPORT = ("""ruby -ryaml -rjson -e 'puts YAML.load(File.read("/var/cache/puppet/state/last_run_report.yaml")"""
          """.gsub(/!ruby\\S*/, "")).to_json'""")
KINDS = {"pkg": "package", "svc": "service", "print": "notify"}  # that are not called as in Puppet
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
        yield one, two


def prepare(machine: Machine, debs: pathlib.Path) -> None:
    repo = machine.path(REPO)
    repo.mkdir(parents=True)
    for file in [*debs.glob("*.deb"), debs / "Packages"]:
        shutil.copy(file, repo)
    machine.write("/etc/apt/sources.list.d/test.list", f"deb [trusted=yes] file:{REPO} ./\n")
    for place in ("/root", "/etc/puppet/code"):  # where stead and where puppet looks
        shutil.copytree(MODULES, machine.path(f"{place}/modules"))
    machine.run(SEED)


def compile_catalog(pair, manifest: pathlib.Path, name: str = "", facts: str = "") -> tuple[str, str]:
    """Copies the manifest to the one machine and what puppet compiles of it to the other: their paths there."""
    one, two = pair
    source, target = f"/root/{manifest.name}", f"/root/{name or manifest.stem}.json"
    one.write(source, manifest.read_text())
    one.run(facts + COMPILE.format(source, target))
    shutil.copy(one.path(target), two.path(target))
    return source, target


def applied(machine: Machine, command: str, code: int = 2) -> str:
    done = machine.run(command, check=False)
    assert done.returncode == code, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def differences(one: Machine, two: Machine) -> list[str]:
    one.run("systemctl daemon-reload")  # puppet tells systemd nothing of what it writes to fstab
    return Snapshot(one, tables=True).differences(Snapshot(two, tables=True))


def mounts(machine: Machine) -> list[str]:
    """Lines of fstab, what is mounted below /srv/m, and what that shows. Puppet puts a header in front, and makes the
    space between all fields a tab; both add lines in the order in which they come to them."""
    lines = [re.sub(r"[ \t]+", "\t", line) for line in machine.path("/etc/fstab").read_text().splitlines()
             if not line.startswith("# HEADER")]
    for line in machine.out("cat /proc/1/mountinfo").splitlines():
        fields = line.split()
        if fields[4].startswith("/srv/m/"):
            lines.append(" ".join([*fields[3:6], *(re.sub(",lowerdir=.*", "", f) for f in fields[fields.index("-"):])]))
    return sorted(lines) + sorted(machine.out("find /srv/m -printf '%p %y %m %u:%g %s\n'").splitlines())


def test_same_machine(pair):
    one, two = pair
    source, catalog = compile_catalog(pair, MANIFEST)
    applied(one, PUPPET + source)
    assert "geheim" not in applied(two, STEAD_APPLY + catalog)
    assert differences(one, two) == []
    assert mounts(one) == mounts(two)
    assert one.path("/etc/shop/sites/main.key").read_text() == "geheim"  # it did run


def seconds(machine: Machine, command: str) -> tuple[float, str]:
    """Exit code 2: the manifest has resources with noop, whose changes are pending for ever."""
    start = time.monotonic()
    output = applied(machine, command)
    return time.monotonic() - start, output


def test_ratio_of_runs_that_change_nothing(pair, capsys):
    """In turn, so that load from elsewhere hits both; the best of each."""
    one, two = pair
    puppet, bare, stead = [], [], []
    for _ in range(2):
        took, output = seconds(one, f"{PUPPET}/root/{MANIFEST.name}")
        puppet.append(took)
        bare.append(float(re.search(r"Applied catalog in ([\d.]+) seconds", output)[1]))
        for _ in range(3):
            took, output = seconds(two, f"{STEAD_APPLY}/root/{MANIFEST.stem}.json")
            assert " changed" not in output.splitlines()[-1], output
            stead.append(took)
    ratio = min(puppet) / min(stead)
    with capsys.disabled():
        print(f"\nno-op run of {MANIFEST.name}: puppet {min(puppet):.2f} s, of these {min(bare):.2f} s after its start "
              f"and compilation; stead {min(stead):.3f} s; ratios {ratio:.0f} and {min(bare) / min(stead):.0f}")
    assert ratio >= LEAST_RATIO
    assert differences(one, two) == []


def test_mounts(pair):
    """In all states, changed to other values, and after tampering."""
    one, two = pair
    manifest = MANIFESTS / "mounts.pp"
    stead = STEAD_APPLY + "--state /var/lib/stead/mounts "  # a second configuration
    for facts in ("", "FACTER_variant=second "):
        source, catalog = compile_catalog(pair, manifest, facts=facts)
        applied(one, facts + PUPPET + source)
        applied(two, stead + catalog)
        assert mounts(one) == mounts(two)
    for machine in pair:
        machine.run(TAMPER_MOUNTS)
    assert mounts(one) == mounts(two)
    applied(one, facts + PUPPET + source)
    applied(two, stead + catalog)
    assert mounts(one) == mounts(two)
    assert one.path("/srv/m/cache/in/file").read_text() == "inner\n"
    applied(two, stead + catalog, code=0)


def states_of_puppet(machine: Machine, declared: set[str]) -> dict[str, str]:
    """What the last run did to each resource, with its reference in lower case."""
    states, found = {}, []
    for ref, status in json.loads(machine.out(REPORT))["resource_statuses"].items():
        noop = any(event["status"] == "noop" for event in status["events"])
        state = ("skipped" if status["skipped"] else "failed" if status["failed"] else "noop" if noop else
                 "changed" if status["changed"] else "ok")
        states[ref.lower()] = state
        if ref.startswith("File[") and ref.lower() not in declared and state == "changed":
            found.append(ref[len("File["):-1])
    for path in found:  # by recursion: has a status of its own there, and counts for its directory here
        for directory in RECURSED:
            if path.startswith(directory + "/"):
                states[f"file[{directory}]"] = "changed"
    return states


def states_of_stead(output: str) -> dict[str, str]:
    words = {"blocked": "skipped", "pending": "noop"}
    states = {}
    for line in output.splitlines():
        event = json.loads(line)
        if event["event"] in ("ok", "changed", "failed", "blocked", "pending") and event["kind"] != "noop":
            kind = KINDS.get(event["kind"], event["kind"])
            states.setdefault(f"{kind}[{event['name']}]".lower(), words.get(event["event"], event["event"]))
    return states


def test_states_of_resources(pair):
    """Failures and what they stop, refreshes, noop: what each tool says it did, and what it did."""
    one, two = pair
    for machine in pair:
        machine.run(SEED_NASTY)
    source, catalog = compile_catalog(pair, MANIFESTS / "nasty.pp")
    for what in ("first", "second", "after tampering"):
        if what == "after tampering":
            for machine in pair:
                machine.run(TAMPER_NASTY)
        applied(one, PUPPET + source, code=6)  # changes and failures
        done = two.run(f"{STEAD_APPLY} --state /var/lib/stead/nasty --json --verbose {catalog}", check=False)
        stead = states_of_stead(done.stdout)
        puppet = states_of_puppet(one, set(stead))
        expected = {ref: puppet[ref] for ref in stead}
        if expected[REFRESH_STOPPED] == "changed":
            expected[REFRESH_STOPPED] = "ok"
        assert stead == expected, what
        assert differences(one, two) == [], what
        assert len(stead) > 85 and "geheim" not in done.stdout + done.stderr
        if what == "first":
            assert one.out("cat /tmp/tries") == two.out("cat /tmp/tries") == "try\ntry\ntry"
    assert two.out("cat /var/lib/once; ls /var/lib/never || true") == "start\nstart"
    assert two.out("cat /n/log/levels") == "1\n2\n3\n1\n2\n3"


def test_cycle_is_refused_by_both(pair):
    one, two = pair
    source, catalog = compile_catalog(pair, MANIFESTS / "cycle.pp")
    told = one.run(PUPPET + source, check=False)
    assert "(File[/c/a] => Class[One] => Class[Two] => File[/c/b] => File[/c/a])" in told.stderr
    told = applied(two, STEAD_APPLY + "--state /var/lib/stead/cycle " + catalog, code=1)
    assert "dependency cycle of 4" in told
    for name in ("file '/c/a' needs file '/c/b'", "'admitted Class[Two]' needs noop 'completed Class[One]'",
                 "'completed Class[One]' needs file '/c/a'"):
        assert name in told, told


def test_what_cannot_be_kept_is_told_at_once(pair):
    _, two = pair
    _, catalog = compile_catalog(pair, MANIFESTS / "refused.pp")
    told = applied(two, STEAD_APPLY + "--state /var/lib/stead/refused " + catalog, code=1)
    assert told == (MANIFESTS / "refused.err").read_text()
    assert not two.path("/r").exists()


if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__]))
