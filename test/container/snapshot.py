"""What a machine is, as lines of text that two machines, or one at two times, are compared by."""
import difflib
import hashlib
import os
import pathlib
import re
import stat

from machine import Machine, base

# Where tools keep what is theirs, and what no two runs have alike.
OWN = ("/etc/puppet/", "/var/cache/", "/var/lib/puppet/", "/var/lib/stead/", "/var/log/", "/run/", "/tmp/", "/root/",
       "/usr/bin/stead", "/srv/repo/", "/var/lib/systemd/", "/var/lib/apt/lists/", "/var/lib/dpkg/", "/var/tmp/",
       "/etc/machine-id")
PER_RUN = re.compile(r"/etc/(passwd|group|shadow|gshadow|subuid|subgid)-$|/etc/\.pwd\.lock$|/(etc|var)/\.updated$")
# Files of lines that each tool writes with comments and blanks of its own.
TABLES = re.compile(r"/var/spool/cron/crontabs/|/etc/(hosts|fstab)$|/authorized_keys$|/var/lib/apt/extended_states$")
ACCOUNTS = ("passwd", "group", "shadow", "gshadow", "subuid", "subgid")


def table(path: pathlib.Path) -> str:
    """Its lines without comments, blanks and order."""
    text = path.read_text()
    if path.name == "extended_states":
        return "\n".join(sorted(text.split("\n\n")))
    lines = [" ".join((line.split("#")[0] if path.name == "hosts" else line).split())
             for line in text.splitlines() if not line.startswith("#")]
    return "\n".join(sorted(line for line in lines if line))


def describe(path: pathlib.Path, name: str, tables: bool) -> str:
    """Type, mode, owner and content of one file."""
    try:
        info = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return "is not there"
    if stat.S_ISLNK(info.st_mode):
        return f"is a link to {os.readlink(path)}"
    text = f"{stat.filemode(info.st_mode)} {info.st_uid}:{info.st_gid}"
    if not stat.S_ISREG(info.st_mode) or name.removeprefix("/etc/") in ACCOUNTS:
        return text
    if tables and TABLES.search(name):
        return f"{text} {table(path)}"
    return f"{text} {hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"


def changed_paths(machine: Machine) -> set[str]:
    """What the overlay has on top of the tree below it."""
    upper = machine.directory / "upper"
    found = set()
    for directory, subdirectories, files in os.walk(upper):
        inside = directory.removeprefix(str(upper))
        found.update(f"{inside}/{name}" for name in [*subdirectories, *files])
    return {path for path in found if not (path + "/").startswith(OWN) and not PER_RUN.search(path)}


def accounts(machine: Machine, ranges: bool) -> list[str]:
    """The lines of the account files; the order of lines and of a group's members means nothing."""
    lines = []
    for name in ACCOUNTS:
        file = machine.path(f"/etc/{name}")
        for line in file.read_text().splitlines() if file.exists() else []:
            fields = [",".join(sorted(field.split(","))) if name.endswith("group") else field for field in line.split(":")]
            if name.startswith("sub") and not ranges:
                fields[1] = "START"
            lines.append(f"{name} {':'.join(fields)}")
    return sorted(lines)


COMMANDS = {
    "packages": "dpkg-query -W -f '${Package} ${Version} ${Status}\\n'",
    "manual": "apt-mark showmanual",
    "unit files": "systemctl list-unit-files --no-legend --no-pager | awk '{print $1, $2}'",
    "units": "systemctl list-units --all --plain --no-legend --no-pager --type=service,timer,mount,socket,path"
             " | awk '{print $1, $2, $3, $4}'",
    "mounts": "awk '$1 !~ /overlay|stead-/ {print $1, $2, $3, $4}' /proc/mounts",
    "name": "uname -n",
    "settings": "find /proc/sys/net/ipv4 /proc/sys/kernel /proc/sys/vm -maxdepth 1 -type f -perm -u=w -readable"
                " ! -name 'ns_last_pid' ! -name 'random*' ! -name 'drop_caches' -exec grep -H '' {} + 2>/dev/null",
    "links": "! command -v ip >/dev/null || { ip -o link | sed 's/qdisc.*//; s/state.*//'; ip -o addr; ip route; }",
}
# Units that come and go by themselves.
PASSING = re.compile(r"^(apt-daily|dpkg-db-backup|e2scrub|systemd-tmpfiles|systemd-hostnamed|systemd-timedated|fstrim|user@|"
                     r"user-runtime-dir@|session-|run-user-|systemd-update-utmp|run-)")


class Snapshot:
    """tables: files that tools write with comments of their own count by their lines, and which of the free ranges of
    subordinate ids was chosen does not."""

    def __init__(self, machine: Machine, tables: bool = False):
        self.below, self.tables = str(base(machine.packages)), tables
        self.files = {path: describe(machine.path(path), path, tables) for path in changed_paths(machine)}
        self.aspects = {"accounts": accounts(machine, not tables)}
        for name, command in COMMANDS.items():
            lines = machine.run(command, check=False).stdout.splitlines()
            self.aspects[name] = sorted(line for line in lines if not (name == "units" and PASSING.match(line)))

    def file(self, path: str) -> str:
        """As it was; what the overlay did not have is the base tree's."""
        return self.files.get(path) or describe(pathlib.Path(self.below + path), path, self.tables)

    def differences(self, after: "Snapshot") -> list[str]:
        found = []
        for path in sorted(self.files.keys() | after.files.keys()):
            if self.file(path) != after.file(path):
                found += [f"files: -{path} {self.file(path)}", f"files: +{path} {after.file(path)}"]
        for name, lines in self.aspects.items():
            found += [f"{name}: {line}" for line in difflib.unified_diff(lines, after.aspects[name], n=0, lineterm="")
                      if line[:2] not in ("--", "++", "@@")]
        return found
