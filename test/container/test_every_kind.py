"""Every kind on a booted Debian: what a plan predicts is what apply does, the system's own tools agree, what was
tampered with is repaired, and once the resource is gone the machine is as it was before."""
import json
import shlex
import shutil
from dataclasses import dataclass

import pytest

import debian
from machine import wait_for
from snapshot import Snapshot

PACKAGES = ("iproute2", "libaugeas0")
REPO = "/srv/repo"
REPAIR_TIMEOUT = 60  # seconds; for a loaded machine

# Kinds that leave nothing on a machine that could be tampered with or taken back.
HOLD_NOTHING = {
    "exit": "ends the run",
    "kv": "holds a value in the store of a fleet",
    "msg": "sends a message once",
    "noop": "does nothing",
    "print": "prints",
    "test": "has parameters for tests only",
    "timer": "notifies others while an agent runs",
    "value": "hands a value on",
}


@dataclass
class Row:
    """shows: a shell command and what it prints while the configuration is kept.

    setup: shell commands that make the machine another one before it is looked at for the first time.
    stays: what is right to be different after the removal, as starts of the lines of the comparison.
    undone: whether its removal changes anything.
    """
    config: str
    shows: tuple[str, str]
    tamper: str
    setup: str = "true"
    stays: tuple[str, ...] = ()
    undone: bool = True


KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIKp6g7pQyYnJkEoFrVn0BhLZSuP0MGl3xMXhXzFRCqSP"
SERVICE = "[Service]\\nExecStart=/bin/sleep 1000\\n"

ROWS = {
    "apt_source": Row(
        'apt_source "kept" { uris = "file:/srv/kept", suites = "./", options = { Trusted = "yes" } }',
        ("apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep kept", "file:/srv/kept/"),
        "sed -i s/kept/srv/ /etc/apt/sources.list.d/kept.sources",
        f"cp -r {REPO} /srv/kept",
        stays=("files: -/var/lib/apt/lists", "files: +/var/lib/apt/lists")),
    "augeas": Row(
        """
        augeas "kept" { context = "/files/etc/ssh/sshd_config", lens = "Sshd.lns",
                        changes = { "set PermitRootLogin no", "rm AllowUsers" } }
        augeas "made" { path = "/etc/sysctl.d/kept.conf", changes = "set vm.swappiness 10" }
        """,
        ("cat /etc/ssh/sshd_config /etc/sysctl.d/kept.conf",
         "# ours\nPort 2222\nPermitRootLogin no\nvm.swappiness = 10"),
        "sed -i 's/RootLogin no/RootLogin yes/' /etc/ssh/sshd_config; rm /etc/sysctl.d/kept.conf",
        "mkdir /etc/ssh; printf '# ours\\nPort 2222\\nPermitRootLogin yes\\nAllowUsers ada\\n' >/etc/ssh/sshd_config"),
    "cron": Row(
        'cron "kept" { command = "/bin/true kept", minute = 5, hour = "2-4", weekday = "mon-fri" }',
        ("crontab -l | grep -v ^#", "7 7 7 7 * /bin/true other\n5 2-4 * * 1-5 /bin/true kept"),
        "sed -i s/2-4/9/ /var/spool/cron/crontabs/root",
        "echo '7 7 7 7 * /bin/true other' | crontab -"),
    "exec": Row(
        'exec "made" { cmd = "echo made >/var/lib/made", shell = "/bin/sh", creates = "/var/lib/made" }',
        ("cat /var/lib/made", "made"),
        "rm /var/lib/made",
        stays=("files: -/var/lib/made", "files: +/var/lib/made"), undone=False),
    "file": Row(
        """
        file "/etc/kept" { content = "ours\\n", mode = "0640", owner = "daemon", group = "adm" }
        file "/etc/kept.link" { target = "kept" }
        file "/etc/kept.d/" { mode = "0750" }
        file "/etc/kept.d/one" { content = "one\\n" }
        """,
        ("stat -c '%A %U %G' /etc/kept /etc/kept.d; cat /etc/kept.link /etc/kept.d/one",
         "-rw-r----- daemon adm\ndrwxr-x--- root root\nours\none"),
        "rm -r /etc/kept.d /etc/kept.link; echo theirs >/etc/kept; chmod 666 /etc/kept",
        "echo before >/etc/kept; chmod 600 /etc/kept"),
    "group": Row(
        'group "kept" { gid = 2345, members = { "daemon" } }',
        ("getent group kept", "kept:x:2345:daemon"),
        "gpasswd --delete daemon kept; groupmod --gid 2346 kept"),
    "host": Row(
        'host "db.example.com" { ip = "192.0.2.10", host_aliases = { "db" } }',
        ("getent hosts db", "192.0.2.10      db.example.com db"),
        "sed -i /db.example.com/d /etc/hosts",
        "printf '127.0.0.1\\tlocalhost\\n192.0.2.7 other\\n' >/etc/hosts"),
    "hostname": Row(
        'hostname "kept.example.com" { pretty_hostname = "Kept" }',
        ("uname -n; cat /etc/hostname; hostnamectl --pretty", "kept.example.com\nkept.example.com\nKept"),
        "hostnamectl set-hostname other.example.com",
        "echo before >/etc/hostname; chmod 644 /etc/hostname; hostname before"),
    "ini": Row(
        'ini "size" { path = "/etc/kept.ini", section = "Journal", key = "Size", value = "200M" }',
        ("cat /etc/kept.ini", "# ours\n[Journal]\nOther=1\nSize=200M"),
        "sed -i s/200M/1M/ /etc/kept.ini",
        "printf '# ours\\n[Journal]\\nOther=1\\nSize=100M\\n' >/etc/kept.ini"),
    "line": Row(
        'line "two" { file = "/etc/kept.lines", content = "two" }',
        ("cat /etc/kept.lines", "one\ntwo"),
        "sed -i /two/d /etc/kept.lines",
        "echo one >/etc/kept.lines"),
    "mount": Row(
        'mount "/srv/kept-mount" { device = "tmpfs", fstype = "tmpfs", options = "size=1m" }',
        ("findmnt -rno FSTYPE,SIZE /srv/kept-mount; findmnt --fstab -rno OPTIONS /srv/kept-mount", "tmpfs 1M\nsize=1m"),
        "umount /srv/kept-mount; sed -i /kept-mount/d /etc/fstab"),
    "net": Row(
        'net "kept0" { addrs = "192.0.2.10/24", mtu = 1400 }\nnet "keptbr" { type = "bridge", addrs = "10.1.0.1/24" }',
        ("ip -o -4 addr | awk '$2 ~ /kept/ {print $2, $4}'; cat /sys/class/net/kept0/mtu",
         "kept0 192.0.2.10/24\nkeptbr 10.1.0.1/24\n1400"),
        "ip addr del 192.0.2.10/24 dev kept0; ip link del keptbr",
        "ip link add kept0 type veth peer name kept1; ip addr add 192.0.2.9/24 brd + dev kept0; ip link set kept0 up"),
    "password": Row(
        """
        password "eve" { length = 32 }
        user "eve" { password = out(password "eve", "hash") }
        """,
        ("getent shadow eve | cut -d: -f2 | cut -c1-3", "$y$"),
        "usermod --password x eve"),
    "pkg": Row(
        'pkg "stead-kept" { version = "1.0" }\npkg "stead-gone" { state = "uninstalled", on_remove = "restore" }',
        ("dpkg-query -W -f '${Package} ${db:Status-Status} ${Version}\\n' 'stead-*' | grep ' installed'",
         "stead-kept installed 1.0"),
        "dpkg --remove stead-kept 2>/dev/null >&2; apt-get -qq -y install stead-gone >/dev/null 2>&1",
        "apt-get -qq -y install stead-gone >/dev/null 2>&1; apt-get -qq -y install stead-kept >/dev/null 2>&1; "
        "apt-get -qq -y purge stead-kept >/dev/null 2>&1"),
    "ssh_authorized_key": Row(
        f'ssh_authorized_key "laptop" {{ user = "eve", key = "{KEY}", options = {{ "no-pty" }} }}',
        ("cat /home/eve/.ssh/authorized_keys; stat -c '%a %U' /home/eve/.ssh/authorized_keys",
         f"no-pty ssh-ed25519 {KEY} laptop\n600 eve"),
        "sed -i s/no-pty// /home/eve/.ssh/authorized_keys",
        "useradd --create-home eve"),
    "svc": Row(
        'svc "kept" { state = "running", enabled = true }\nsvc "other" { masked = true }',
        ("systemctl is-active kept; systemctl is-enabled kept other", "active\nenabled\nmasked"),
        "systemctl stop kept; systemctl disable --quiet kept; systemctl unmask --quiet other",
        "printf '[Service]\\nExecStart=/bin/sleep 1000\\n[Install]\\nWantedBy=multi-user.target\\n'"
        " | tee /usr/lib/systemd/system/kept.service >/usr/lib/systemd/system/other.service; systemctl daemon-reload"),
    "sysctl": Row(
        'sysctl "net.ipv4.ip_default_ttl" { value = 77 }',
        ("cat /proc/sys/net/ipv4/ip_default_ttl; cat /etc/sysctl.d/90-stead.conf", "77\nnet.ipv4.ip_default_ttl = 77"),
        "echo 64 >/proc/sys/net/ipv4/ip_default_ttl; rm /etc/sysctl.d/90-stead.conf"),
    "systemd_timer": Row(
        'systemd_timer "kept" { command = "/bin/true", on_calendar = "2031-05-06 04:00", random_delay = "5min" }',
        ("systemctl is-active kept.timer; systemctl is-enabled kept.timer; "
         "systemctl show --value -p RandomizedDelayUSec kept.timer", "active\nenabled\n5min"),
        "systemctl disable --quiet --now kept.timer; sed -i s/5min/6min/ /etc/systemd/system/kept.timer; "
        "systemctl daemon-reload"),
    "tar": Row(
        'tar "/opt/kept/" { source = "/srv/kept.tar" }',
        ("cd /opt/kept && find . -type f | sort | xargs cat", "one\ntwo"),
        "rm -r /opt/kept/sub; echo x >/opt/kept/one",
        "cd /srv && mkdir sub && echo one >one && echo two >sub/two && tar cf kept.tar one sub && rm -r one sub"),
    "unit": Row(
        f'unit "kept.service" {{ content = "{SERVICE}" }}\n'
        'unit "more" { unit = "kept.service", dropin = "more", settings = { Service = { LimitNOFILE = 4321 } } }',
        ("systemctl show -p LoadState,LimitNOFILE,ExecStart --value kept | sed 's/{ path=//; s/ .*//'",
         "/bin/sleep\n4321\nloaded"),
        "rm -r /etc/systemd/system/kept.service.d; echo [Service] >/etc/systemd/system/kept.service; "
        "systemctl daemon-reload"),
    "user": Row(
        'user "kept" { uid = 2345, shell = "/bin/bash", comment = "Kept", groups = { "adm" }, managehome = true }\n'
        'user "known" { shell = "/bin/bash" }',
        ("getent passwd kept known; id -Gn kept; stat -c %U /home/kept",
         "kept:x:2345:2345:Kept:/home/kept:/bin/bash\nknown:x:2400:2400::/home/known:/bin/bash\nkept adm\nkept"),
        "usermod --shell /bin/sh --groups '' kept; usermod --shell /bin/dash known",
        "useradd --uid 2400 --shell /bin/sh known",
        stays=("files: -/home/kept", "files: +/home/kept")),  # a home stays unless purge_home
}


@pytest.fixture(scope="module", autouse=True)
def source(machine, tmp_path_factory):
    """A package source, for pkg."""
    repo = machine.path(REPO)
    repo.mkdir(parents=True)
    directory = tmp_path_factory.mktemp("debs")
    for name in ("kept", "gone"):
        shutil.copy(debian.build(directory, f"stead-{name}", "1.0"), repo)
    debian.write_index(repo)
    machine.write("/etc/apt/sources.list.d/test.list", f"deb [trusted=yes] file:{REPO} ./\n")
    machine.run("apt-get -qq update")


@pytest.fixture(scope="module")
def times(capsys_module):
    table = {}
    yield table
    with capsys_module.disabled():
        print("\n\nrepaired after tampering      by the system's tools   by the agent's events")
        for kind, (seen, told) in sorted(table.items()):
            print(f"  {kind:26} {seen:18.1f} ms {told:20.1f} ms")


@pytest.fixture(scope="module")
def capsys_module(request):
    """capsys lives for one test only."""
    return CaptureOfModule(request.config.pluginmanager.getplugin("capturemanager"))


class CaptureOfModule:
    def __init__(self, manager):
        self.disabled = manager.global_and_fixture_disabled


def test_every_kind_has_a_row_or_a_reason(machine):
    kinds = {json.loads(line)["name"] for line in machine.out("stead kinds --json").splitlines()}
    assert kinds == ROWS.keys() | HOLD_NOTHING.keys()
    assert not ROWS.keys() & HOLD_NOTHING.keys()


def stead(machine, verb, config, *options, code):
    return [json.loads(line) for line in machine.stead(verb, config, "--json", *options, code=code).splitlines()]


def changes_of(plan):
    return [*plan["resource_changes"], *plan["resource_drift"]]


def predicted(machine, config):
    """What a plan says: kind, name and the properties that change, and the plan."""
    plan = next(event for event in stead(machine, "plan", config, "--detailed-exitcode", code=2)
                if event["event"] == "plan")
    found = []
    for resource in changes_of(plan):
        change = resource["change"]
        names = change["before"].keys() | change["after"].keys() | change["after_unknown"].keys()
        found.append((resource["type"], resource["name"], sorted(names)))
    return sorted(found), plan


def done(machine, config):
    """What apply says it did, in the same form."""
    events = stead(machine, "apply", config, "--detailed-exitcode", code=2)
    found = [(event["kind"], event["name"], sorted(change["property"] for change in event["changes"]))
             for event in events if event["event"] == "changed"]
    return sorted(found), events


def values(plan, events):
    """Where what was predicted for a property is not what came of it: both."""
    came = {(event["kind"], event["name"], change["property"]): (change["before"], change["after"])
            for event in events if event["event"] == "changed" for change in event["changes"]}
    wrong = []
    for resource in changes_of(plan):
        change = resource["change"]
        for name in change["before"].keys() | change["after"].keys():
            told = (change["before"].get(name), change["after"].get(name))
            if told != came[resource["type"], resource["name"], name]:
                wrong.append((resource["address"], name, told, came[resource["type"], resource["name"], name]))
    return wrong


def same_as_planned(machine, config):
    promise, plan = predicted(machine, config)
    result, events = done(machine, config)
    assert promise == result
    assert values(plan, events) == []


def shown(machine, row):
    return machine.run(row.shows[0], check=False).stdout.strip()


def wait_repaired(machine, row) -> float:
    """Tampers, and looks without pause until it is as declared: milliseconds."""
    script = f"""
    {row.tamper}
    start=$(date +%s%N)
    until test "$({row.shows[0]})" = {shlex.quote(row.shows[1])}; do
        test $((($(date +%s%N) - start) / 1000000000)) -lt {REPAIR_TIMEOUT} || exit 9
    done 2>/dev/null
    echo "took $((($(date +%s%N) - start) / 1000))"
    """
    result = machine.run(script, check=False)
    assert result.returncode == 0, f"not repaired in {REPAIR_TIMEOUT} s: {shown(machine, row)}\n{result.stderr}"
    return int(result.stdout.rsplit("took ", 1)[1]) / 1000


def repairs(machine):
    """Repairs that the agent tells of: milliseconds each, from the event to the proof."""
    events = [json.loads(line) for line in machine.agent_log().splitlines() if line.startswith('{"')]
    return [event["latency_us"] / 1000 for event in events if event["event"] == "changed" and event["corrective"]]


@pytest.mark.parametrize("kind", sorted(ROWS))
def test_kind(machine, kind, times):
    row = ROWS[kind]
    config = row.config + "\n"
    machine.run(row.setup)
    before = Snapshot(machine)

    same_as_planned(machine, config)
    assert shown(machine, row) == row.shows[1]
    assert [event for event in stead(machine, "apply", config, "--detailed-exitcode", code=0)
            if event["event"] == "changed"] == []

    machine.run(row.tamper)
    assert shown(machine, row) != row.shows[1]
    same_as_planned(machine, config)
    assert shown(machine, row) == row.shows[1]

    machine.agent(config, "--json")
    wait_for("the agent", lambda: '"converged"' in machine.agent_log(), REPAIR_TIMEOUT)
    seen = wait_repaired(machine, row)
    told = wait_for("its event", lambda: repairs(machine), REPAIR_TIMEOUT)
    machine.stop_agents()
    times[kind] = (seen, max(told))

    if row.undone:
        same_as_planned(machine, 'noop "empty" {}\n')
    machine.settled('noop "empty" {}\n')
    left = [line for line in before.differences(Snapshot(machine)) if not line.startswith(row.stays or "\0")]
    assert left == []


if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__]))
