"""An sshd that nobody else sees: in a mount namespace with its own /run, /var, /root, /home and users, reached over a
pipe instead of the network."""
import os
import pathlib
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "container"))
from machine import ROOT, STEAD, children, die_with_parent, wait_for  # noqa: E402, F401

# Runs as process 1 of a namespace: what is in it ends with it.
SETUP = """
set -e
mount -t proc proc /proc
for d in /run /var/cache /var/lib /root /home; do mount -t tmpfs -o mode=755 tmpfs $d; done
mkdir -p /run/sshd /home/ada /home/bob /run/users
cp /etc/passwd /etc/shadow /etc/group /run/users
echo 'ada:x:4001:4001::/home/ada:/bin/sh' >>/run/users/passwd
echo 'bob:x:4002:4002::/home/bob:/bin/sh' >>/run/users/passwd
printf 'ada:*:19000::::::\\nbob:*:19000::::::\\n' >>/run/users/shadow
chown 4001 /home/ada; chown 4002 /home/bob
for f in passwd shadow; do mount --bind /run/users/$f /etc/$f; done
echo ready
exec sleep infinity
"""


class Sshd:
    """A target. Its files are below path(). like: another one, that has the program to be copied already."""

    def __init__(self, directory: pathlib.Path, name: str = "web1", like: "Sshd | None" = None):
        self.directory, self.name, self.like = directory, name, like
        self.holder = None

    def __enter__(self):
        self.directory.mkdir(parents=True)
        for key in ("host_key", "host_key.other", "user_key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.directory / key], check=True)
        self.use_host_key("host_key")
        self.known_hosts("host_key")
        self.holder = subprocess.Popen(["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation=private",
                                        "sh", "-c", SETUP], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                                       preexec_fn=die_with_parent)
        assert self.holder.stdout.readline() == "ready\n"
        self.leader = children(self.holder.pid)[0]
        self.path("/run/sshd/authorized").write_text((self.directory / "user_key.pub").read_text())
        if self.like:
            shutil.copytree(self.like.path("/var/cache/stead"), self.path("/var/cache/stead"))
        return self

    def __exit__(self, *unused):
        self.holder.kill()
        self.holder.wait(60)
        self.holder.stdout.close()

    def use_host_key(self, key: str) -> None:
        (self.directory / "sshd_config").write_text(
            f"HostKey {self.directory / key}\nAuthorizedKeysFile /run/sshd/authorized\nStrictModes no\n"
            "UsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\nLogLevel ERROR\n")

    def known_hosts(self, key: str | None) -> None:
        public = (self.directory / f"{key}.pub").read_text() if key else ""
        (self.directory / "known_hosts").write_text(f"{self.name} {public}" if public else "")

    def enter(self, *words: str) -> list[str]:
        return ["nsenter", "--target", str(self.leader), "--mount", "--pid", *words]

    def config(self) -> str:
        """For ssh(1)."""
        proxy = " ".join(self.enter("/usr/sbin/sshd", "-i", "-f", str(self.directory / "sshd_config")))
        return (f"Host {self.name}\n  ProxyCommand {proxy}\n  User root\n  IdentityFile {self.directory / 'user_key'}\n"
                f"  IdentitiesOnly yes\n  UserKnownHostsFile {self.directory / 'known_hosts'}\n"
                "  GlobalKnownHostsFile /dev/null\n")

    def path(self, path: str) -> pathlib.Path:
        """A path of the target as seen from here."""
        return pathlib.Path(f"/proc/{self.leader}/root{path}")

    def run(self, command: str) -> str:
        return subprocess.run(self.enter("sh", "-c", command), check=True, capture_output=True, text=True).stdout

    def left_behind(self) -> list[str]:
        """What a run leaves on the target but for the ledger."""
        return self.run("ls -d /run/stead-remote /var/cache/stead /root/.cache /home/*/.cache 2>/dev/null || :").split()


class Desk:
    """Where stead is called: an ssh of its own that knows the targets."""

    started: "list[subprocess.Popen]" = []  # by all of them

    @classmethod
    def end_all(cls) -> bool:
        """What a test that failed left to run. True: there was something."""
        left = [process for process in cls.started if process.poll() is None]
        for process in cls.started:
            process.kill()
            process.wait()
            for stream in (process.stdout, process.stderr):
                stream.close()
        cls.started.clear()
        return bool(left)

    def __init__(self, directory: pathlib.Path):
        self.directory = directory
        (directory / "bin").mkdir(parents=True)
        (directory / "site").mkdir()
        (directory / "config").write_text("")
        ssh = directory / "bin/ssh"
        ssh.write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F {directory}/config "$@"\n')
        ssh.chmod(0o755)

    def knows(self, *targets: Sshd) -> None:
        (self.directory / "config").write_text("".join(target.config() for target in targets))

    def write(self, text: str, name: str = "site.lua") -> None:
        path = self.directory / "site" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def start(self, *words: str, verb: str = "apply", hosts: str = "web1") -> subprocess.Popen:
        environment = dict(os.environ, PATH=f"{self.directory}/bin:{os.environ['PATH']}")
        self.started.append(subprocess.Popen([STEAD, verb, "--ssh", hosts, *words, "site/site.lua"], cwd=self.directory,
                                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                             text=True, env=environment, preexec_fn=die_with_parent))
        return self.started[-1]

    def run(self, *words: str, code: int = 0, **options) -> str:
        process = self.start(*words, **options)
        out, err = process.communicate(timeout=300)
        assert process.returncode == code, f"exit code {process.returncode}, not {code}\n{out}{err}"
        return out + err
