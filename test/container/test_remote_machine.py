"""stead apply --ssh to a booted Debian that has neither stead nor any library of it, through sudo."""
import pathlib
import subprocess
import sys

import pytest

import machine as containers

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "remote"))
from sshd import Desk  # noqa: E402

PACKAGES = ("openssh-server", "sudo")
LIBRARIES = "libarchive13 liblua5.4-0 libyaml-0-2 libjansson4 libsqlite3-0"


@pytest.fixture(scope="module")
def bare(base):
    with containers.Machine("remote", stead=False, packages=PACKAGES) as booted:
        booted.run(f"dpkg --remove --force-depends {LIBRARIES}")
        booted.run("useradd --create-home --shell /bin/bash ada; mkdir -m 700 /home/ada/.ssh; "
                   "echo 'ada ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/ada; mkdir -p /run/sshd")
        yield booted


@pytest.fixture(scope="module")
def desk(bare, tmp_path_factory):
    """An ssh that comes in over a pipe: the machine has no network."""
    place = Desk(tmp_path_factory.mktemp("desk") / "desk")
    key = place.directory / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    bare.write("/home/ada/.ssh/authorized_keys", (place.directory / "key.pub").read_text(), 0o600)
    bare.run("chown -R ada: /home/ada/.ssh")
    (place.directory / "known_hosts").write_text("web1 " + bare.out("cat /etc/ssh/ssh_host_ed25519_key.pub") + "\n")
    proxy = " ".join(bare.command("/usr/sbin/sshd", "-i"))
    (place.directory / "config").write_text(
        f"Host web1\n  ProxyCommand {proxy}\n  User ada\n  IdentityFile {key}\n  IdentitiesOnly yes\n"
        f"  UserKnownHostsFile {place.directory}/known_hosts\n")
    return place


def test_a_bare_machine(bare, desk):
    assert bare.run("ls /usr/lib/x86_64-linux-gnu/liblua5.4.so.0", check=False).returncode != 0
    desk.write('unit "hello.service" { content = "[Service]\\nType=oneshot\\nRemainAfterExit=yes\\nExecStart=/bin/true\\n" }\n'
               'svc "hello" { state = "running" }\n'
               'user "eve" { uid = 3000 }\n'
               'file "/etc/motd" { content = template("motd.tmpl", { host = facts.hostname }), owner = "eve" }\n')
    desk.write("this is {{ host }}\n", "motd.tmpl")
    desk.run("--detailed-exitcode", verb="plan", code=2)
    assert bare.run("id eve", check=False).returncode != 0
    desk.run("--detailed-exitcode", code=2)
    assert bare.out("cat /etc/motd") == "this is " + bare.out("hostname")
    assert bare.out("systemctl is-active hello") == "active" and bare.out("stat -c %U /etc/motd") == "eve"
    desk.run("--detailed-exitcode", code=0)
    assert bare.out("ls -d /run/stead-remote /var/cache/stead /home/ada/.cache 2>/dev/null || :") == ""


def test_a_password_is_asked_for(bare, desk):
    bare.run("echo 'ada ALL=(ALL) ALL' >/etc/sudoers.d/ada")
    text = desk.run(code=1)
    bare.run("echo 'ada ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/ada")
    assert "web1: it takes root, and sudo says: sudo: a password is required; let ada use sudo without" in text
