"""A machine with 200 resources of all sorts in two variants, and what is to be seen on it afterwards."""
import collections
import hashlib
import os
import pathlib
import random
import shutil
import signal
import stat
import subprocess
import time

import debian
from machine import STEAD, Machine, children, wait_for

CONFIG = (pathlib.Path(__file__).parent / "mixed.lua").read_text()
SITE = "/etc/stead/site.lua"
REPO = "/srv/repo"
SERVICE = "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n"
TREES = ("/etc", "/srv/mixed", "/home", "/opt", "/usr/local", "/usr/share", "/usr/lib/systemd/system",
         "/var/spool/cron", "/var/lib/stead")
# What depends on the past, or on the clock, on any machine.
HISTORY = ("/etc/passwd-", "/etc/group-", "/etc/shadow-", "/etc/gshadow-", "/etc/subuid-", "/etc/subgid-",
           "/etc/machine-id", "/etc/resolv.conf", "/etc/.pwd.lock", "/etc/.updated", "/etc/localtime",
           "/etc/hostname", "/var/lib/stead/ledger.db", "/var/lib/stead/ledger.db-wal",
           "/var/lib/stead/ledger.db-shm", "/var/lib/stead/lock", "/var/lib/stead/intent.log")
RANGES = ("/etc/subuid", "/etc/subgid")
GROUPS = ("/etc/group", "/etc/gshadow")
UNORDERED = ("/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow", "/etc/subuid", "/etc/subgid",
             "/etc/stead-lines", "/etc/stead.ini", "/etc/fstab", "/etc/cron.d/stead-mixed")
ADOPTED = {f"/etc/stead-adopted{i}": f"by hand {i}\n" for i in range(1, 7)}
LEFT_OVER = (".stead", ".dpkg-new", ".dpkg-tmp", ".dpkg-old", ".lock", "passwd+", "group+", "shadow+")
PATIENCE = 600  # seconds for one apply, under any load
DOWN = 120  # seconds; systemd's own limits, by which it ends what does not stop, are 90 and 300
# as somebody has it who is logged in by ssh: all processes get SIGTERM and SIGHUP
SESSION = f"systemd-run --quiet --collect --property=SendSIGHUP=yes stead apply {SITE}"


def text_of(variant: str) -> str:
    return f'local VARIANT = "{variant}"\n{CONFIG}'


def prepare(machine: Machine, scratch: pathlib.Path) -> None:
    """The package source, and what somebody had made by hand before."""
    repo = machine.path(REPO)
    repo.mkdir(parents=True)
    for i in range(1, 41):
        for version in ("1.0", "2.0") if 25 <= i <= 32 else ("1.0",):
            deb = debian.build(scratch, f"stead-p{i:02}", version, conffile=i in (3, 4, 25),
                               unit=SERVICE if i == 2 else "", depends="stead-p01" if i in (24, 33) else "")
            shutil.copy(deb, repo)
    debian.write_index(repo)
    machine.write("/etc/apt/sources.list.d/test.list", f"deb [trusted=yes] file:{REPO} ./\n")
    machine.write("/etc/dpkg/dpkg.cfg.d/fast", "force-unsafe-io\n")
    for path, text in ADOPTED.items():
        machine.write(path, text, 0o644)
    unit = (STEAD.parent / "stead-agent.service").read_text().replace("/usr/local/bin/", "/usr/bin/")
    machine.write("/usr/lib/systemd/system/stead-agent.service", unit)
    machine.write("/etc/default/stead", "STEAD_OPTIONS=--json\n")
    machine.run("apt-get -qq update; systemctl daemon-reload")


def choose(machine: Machine, variant: str) -> None:
    """Puts the variant in place as an editor would."""
    machine.write(SITE + ".new", text_of(variant))
    machine.path(SITE + ".new").rename(machine.path(SITE))


# --- what is to be seen


def look(root: pathlib.Path, path: str) -> tuple:
    """Sort, mode, owner and content of one file."""
    info = os.lstat(root / path.lstrip("/"))
    if stat.S_ISLNK(info.st_mode):
        return ("link", os.readlink(root / path.lstrip("/")))
    content = ""
    if stat.S_ISREG(info.st_mode):
        data = (root / path.lstrip("/")).read_bytes()
        if path in UNORDERED or path.startswith("/var/spool/cron/crontabs/"):
            content = sorted(data.decode().splitlines())
            if path in RANGES:  # whose comes first is a matter of chance
                content = [":".join(line.split(":")[::2]) for line in content]
            if path in GROUPS:
                content = [":".join(",".join(sorted(field.split(","))) for field in line.split(":")) for line in content]
        else:
            content = hashlib.sha256(data).hexdigest()
    return (stat.filemode(info.st_mode), info.st_uid, info.st_gid, content)


def files(machine: Machine) -> dict[str, tuple]:
    root = machine.path("/")
    found = {}
    for tree in TREES:
        for directory, names, others in os.walk(root / tree.lstrip("/")):
            place = "/" + os.path.relpath(directory, root)
            for name in (*names, *others):
                path = f"{place}/{name}"
                if path not in HISTORY:
                    found[path] = look(root, path)
    return found


def services(machine: Machine) -> dict[str, tuple]:
    """State of each unit of ours, and what its process really runs."""
    names = " ".join([*(f"stead-u{i:02}.service" for i in range(1, 21)), "stead-p02.service",
                      *(f"srv-mixed-m{i}.mount" for i in range(1, 7))])
    shown = machine.out("systemctl show -p Id -p LoadState -p ActiveState -p UnitFileState "
                        f"-p NeedDaemonReload -p MainPID {names}")
    found = {}
    for block in shown.split("\n\n"):
        fields = dict(line.split("=", 1) for line in block.splitlines())
        pid = fields.pop("MainPID", "0")
        runs = machine.path(f"/proc/{pid}/cmdline").read_text() if pid != "0" else ""
        if fields["LoadState"] == "not-found":  # how it ended is history
            fields["ActiveState"] = fields["ActiveState"].replace("failed", "inactive")
        found[fields.pop("Id")] = (*sorted(fields.items()), runs.replace("\0", " "))
    return found


def mounts(machine: Machine) -> list[tuple]:
    """What of which is mounted where, and how; not how the file system below a bind mount is."""
    found = []
    for line in machine.path("/proc/1/mountinfo").read_text().splitlines():
        (_, _, _, source, path, options, *_), (fstype, device, own) = (part.split() for part in line.split(" - "))
        if path.startswith("/srv/mixed"):
            found.append((path, options, fstype, device, own) if fstype == "tmpfs" else (path, options, fstype, source))
    return sorted(found)


def snapshot(machine: Machine) -> dict[str, object]:
    """Everything that a variant determines, by name."""
    seen = {f"file {path}": value for path, value in files(machine).items()}
    seen |= {f"unit {name}": value for name, value in services(machine).items()}
    packages = machine.out("dpkg-query -W -f '${Package} ${Version} ${Status}\\n'")
    # A removal that was killed at its very end leaves a name with nothing behind it in dpkg's database.
    seen |= {f"package {line.split()[0]}": line for line in packages.splitlines()
             if not line.endswith(" config-files") or "conffiles" in machine.out(
                 f"ls /var/lib/dpkg/info | grep '^{line.split()[0]}\\.' || :")}
    seen["packages asked for"] = machine.out("apt-mark showmanual").split()
    seen["packages held"] = machine.out("apt-mark showhold").split()
    # dpkg keeps an empty tmp.i ready for its next note while it works; one that is killed leaves it, and the next takes it.
    seen["packages half done"] = machine.out("dpkg --audit; ls -I tmp.i /var/lib/dpkg/updates /var/cache/apt/archives/*.deb 2>&-; :")
    seen["mounts"] = mounts(machine)
    seen["at work"] = machine.run("ps -e -o comm= 2>&- || cat /proc/[0-9]*/comm", check=False).stdout.split().count("stead")
    return seen


def difference(seen: dict, wanted: dict) -> list[str]:
    return [f"{name}: {short(seen.get(name), wanted.get(name))} instead of {short(wanted.get(name), seen.get(name))}"
            for name in sorted({*seen, *wanted}) if seen.get(name) != wanted.get(name)]


def short(value, other):
    """Of two lists only what differs."""
    if isinstance(value, (list, tuple)) and isinstance(other, (list, tuple)):
        return [item if not isinstance(item, list) else short(item, next((x for x in other if isinstance(x, list)), []))
                for item in value if item not in other]
    return value


def left_over(machine: Machine) -> list[str]:
    """Temporaries of ours, of dpkg and of the account tools."""
    found = machine.out("find / -xdev \\( -path /proc -o -path /sys -o -path /run -o -path /tmp \\) -prune -o -newer "
                        "/etc/apt/sources.list.d/test.list -type f -print").splitlines()
    names = [path for path in found if pathlib.Path(path).name.endswith(LEFT_OVER[1:]) or
             pathlib.Path(path).name.startswith(LEFT_OVER[0])]
    return [path for path in names if path != "/etc/.pwd.lock" and not path.startswith(("/var/lib/dpkg/lock", "/var/lib/apt/"))]


# --- killing


def descendants(pid: int) -> list[int]:
    found = []
    try:
        for thread in pathlib.Path(f"/proc/{pid}/task").iterdir():
            for child in (thread / "children").read_text().split():
                found += [int(child), *descendants(int(child))]
    except OSError:  # it ended meanwhile
        pass
    return found


def end(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


class Mixed:
    """A booted machine, its variant, what each variant looks like, and how long an apply takes."""

    def __init__(self, machine: Machine, scratch: pathlib.Path, chooser: random.Random):
        self.machine, self.chooser = machine, chooser
        self.variant = "b"
        self.wanted: dict[str, dict] = {}
        self.spans: dict[str, collections.deque] = collections.defaultdict(lambda: collections.deque(maxlen=3))
        self.log = scratch / "apply.log"
        self.kills = self.ended = self.reboots = 0
        prepare(machine, scratch)

    def turn(self) -> None:
        self.variant = "b" if self.variant == "a" else "a"
        choose(self.machine, self.variant)

    def start(self) -> subprocess.Popen:
        with open(self.log, "w") as log:
            return subprocess.Popen(self.machine.command("stead", "apply", SITE), stdin=subprocess.DEVNULL,
                                    stdout=log, stderr=log)

    def apply(self) -> float:
        """One that is let finish; its seconds."""
        begin = time.monotonic()
        process = self.start()
        code = process.wait(PATIENCE)
        assert code == 0, f"apply of {self.variant} ends with {code}\n{self.log.read_text()}"
        return time.monotonic() - begin

    def learn(self) -> None:
        """What both variants look like when nothing interferes."""
        for n in range(4):  # the first one starts from nothing and takes longer
            self.turn()
            self.spans[self.variant].append(self.apply())
            if n < 2:
                self.wanted[self.variant] = snapshot(self.machine)
        self.spans["a"].popleft()
        self.check()

    @property
    def span(self) -> float:
        spans = self.spans[self.variant]
        return sum(spans) / len(spans)

    def kill_once(self) -> bool:
        """Starts an apply and kills it within the time that one takes. Whether it was still running."""
        process = self.start()
        begin = time.monotonic()
        (stead,) = wait_for("the apply", lambda: children(process.pid), interval=0.001)
        try:
            process.wait(self.chooser.uniform(0, 1.05 * self.span))
            self.spans[self.variant].append(time.monotonic() - begin)
            self.ended += 1
            return False
        except subprocess.TimeoutExpired:
            pass
        below = descendants(stead)
        how = self.chooser.choice(("alone", "all", "child first"))
        if how == "child first" and below:  # a tool dies, and stead while it wonders
            end(self.chooser.choice(below))
            time.sleep(self.chooser.uniform(0, 0.2))
        end(stead)
        if how == "all":
            for pid in below:
                end(pid)
        process.wait(PATIENCE)
        self.kills += 1
        return True

    def reboot(self) -> str:
        """Starts the agent, or an apply with or without a session that systemd knows, and the machine goes down at some
        moment. How it did."""
        who = self.chooser.choice(("the agent", "the agent", "apply", "apply in a session"))
        how = self.chooser.choice(("crash", "systemctl reboot --force --force", "systemctl reboot"))
        self.machine.run(f"systemctl {'enable' if who == 'the agent' else 'disable'} stead-agent")
        process = None
        if who == "apply":
            process = self.start()
        else:
            self.machine.run("systemctl start --no-block stead-agent" if who == "the agent" else SESSION)
        time.sleep(self.chooser.uniform(0, 1.05 * self.span))
        seconds = self.machine.reboot(how)
        assert seconds < DOWN, f"{how} during {who} took {seconds:.0f} s"
        if process:
            process.wait(PATIENCE)
        self.reboots += 1
        if who == "the agent":
            self.await_agent()
        return f"{how} during {who}"

    def await_agent(self) -> None:
        """It has started with the machine and ends its work by itself."""
        said = "journalctl --boot --unit stead-agent --output cat --no-pager"
        try:
            wait_for("the agent to converge", lambda: '"event":"converged"' in self.machine.out(said), PATIENCE, 0.5)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.machine.out(said)}") from None
        self.machine.run("systemctl disable --now stead-agent")

    def tamper(self) -> str:
        """Somebody else is at work, too."""
        deeds = ("rm -rf /srv/mixed/deep", "systemctl stop stead-u01 stead-u09", "userdel u03", "gpasswd -d u01 g09",
                 "sed -i 1d /etc/stead-lines", "chmod 777 /srv/mixed/fixed*", "rm -f /etc/systemd/system/stead-u02.service",
                 "systemctl disable stead-u03", "umount /srv/mixed/m1", "umount /srv/mixed/m6",
                 "mount -o remount,noexec /srv/mixed/m3", "sed -i /m2/d /etc/fstab", "rm -f /var/spool/cron/crontabs/root",
                 "chown nobody /srv/mixed/fixed* /srv/mixed", "rm -f /srv/mixed/link*; mkdir /srv/mixed/link1")
        deed = self.chooser.choice(deeds)
        self.machine.run(deed, check=False)
        return deed

    def recover(self) -> float:
        """An apply that is let finish: everything is as if nobody had been killed. Its seconds."""
        seconds = self.apply()
        self.check()
        return seconds

    def check(self) -> None:
        told = self.log.read_text()
        wrong = difference(snapshot(self.machine), self.wanted[self.variant])
        assert not wrong, "\n".join([f"variant {self.variant}, {self.kills} kills:", *wrong, told])
        assert not left_over(self.machine), (left_over(self.machine), told)
        again = self.machine.run(f"stead apply --detailed-exitcode {SITE}", check=False)
        assert again.returncode == 0, (again.stdout + again.stderr, told)
        listed = self.machine.run("stead ledger list", check=False)
        assert listed.returncode == 0, listed.stdout + listed.stderr
