"""What goes wrong with apt and dpkg, and what stead makes of it."""
import os
import shutil
import signal
import subprocess

import pytest

import debian
from machine import children
from test_pkg import version

# Takes the lock of dpkg as apt does, says so, and keeps it until it is told to end.
HOLD_LOCK = """use Fcntl; $0 = "some-updater"; $| = 1;
open(my $file, "+>>", "/var/lib/dpkg/lock-frontend") or die;
my $lock = pack("s s x4 q q i x4", F_WRLCK, 0, 0, 0, 0);
fcntl($file, F_SETLK, $lock) or die;
print "held\\n"; <STDIN>;"""


# A mirror on port 8080 that has what is in /srv/repo, one request for each connection.
SERVE = r"""use IO::Socket::INET; $| = 1;
my $server = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => 8080, Listen => 9,
                                   ReuseAddr => 1) or die;
print "ready\n";
while (my $client = $server->accept) {
    my ($path) = (<$client> // "") =~ m{^GET (\S+)};
    while (defined(my $line = <$client>)) { last if $line =~ /^\r?\n/ }
    if ($path && open(my $file, "<", "/srv/repo$path")) {
        local $/; my $data = <$file>;
        print $client "HTTP/1.1 200 OK\r\nContent-Length: ", length $data,
                      "\r\nConnection: close\r\n\r\n", $data;
    } else {
        print $client "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    }
    close $client;
}"""


def repo(machine, tmp_path, name, number="1.0", **options):
    """A package in the source, whose lists are there; apt itself may be locked."""
    directory = machine.path("/srv/repo")
    directory.mkdir(parents=True, exist_ok=True)
    shutil.copy(debian.build(tmp_path, name, number, **options), directory)
    debian.write_index(directory)
    machine.write("/etc/apt/sources.list.d/test.list", "deb [trusted=yes] file:/srv/repo ./\n")
    machine.run("apt-get -qq update")


@pytest.fixture
def lock_holder(machine, tmp_path):
    repo(machine, tmp_path, "stead-lock")
    holder = subprocess.Popen(machine.command("perl", "-e", HOLD_LOCK), stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    yield holder
    holder.stdin.close()
    holder.wait(30)


def test_lock_is_waited_for_by_name(machine, lock_holder):
    hasty = 'pkg "stead-lock" { lock_timeout = "2s" }\n'
    text = machine.stead("apply", hasty, code=4)
    assert "wait for process" in text and "waited 2 s for process" in text
    assert "some-updater" in text and "lock-frontend" in text
    machine.write("/root/site.lua", 'pkg "stead-lock" {}\n')
    apply = subprocess.Popen(machine.command("stead", "apply", "/root/site.lua"),
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True)
    line = next(line for line in apply.stdout if "wait for process" in line)
    assert "some-updater" in line
    lock_holder.stdin.write("\n")
    lock_holder.stdin.flush()
    apply.communicate(timeout=120)
    assert apply.returncode == 0 and version(machine, "stead-lock") == "1.0"


def test_interrupted_dpkg_is_finished(machine, tmp_path):
    repo(machine, tmp_path, "stead-int")
    repo(machine, tmp_path, "stead-next")
    machine.run("dpkg --unpack /srv/repo/stead-int_1.0_all.deb")
    # as an interrupted dpkg leaves it: what was changed is not yet part of the database
    machine.run("cp /var/lib/dpkg/status /var/lib/dpkg/updates/0001 && "
                "sed -n '/^Package: stead-int$/,/^$/p' /var/lib/dpkg/status > /var/lib/dpkg/updates/0001")
    text = machine.stead("apply", 'pkg "stead-next" {}\n')
    assert "dpkg --configure -a" in text
    assert (version(machine, "stead-next"), version(machine, "stead-int")) == ("1.0", "1.0")


@pytest.mark.parametrize("state", ("half-installed", "unpacked"))  # dpkg can configure neither
def test_killed_dpkg_is_not_taken_for_done(machine, tmp_path, state):
    """Its database still says that all is well."""
    name = f"stead-{state}"
    repo(machine, tmp_path, name)
    machine.converge(f'pkg "{name}" {{}}\n')
    machine.run(f"sed -n '/^Package: {name}$/,/^$/p' /var/lib/dpkg/status | "
                f"sed 's/^Status:.*/Status: install reinstreq {state}/' > /var/lib/dpkg/updates/0000; "
                f"rm /usr/share/{name}/version")
    assert machine.run("grep -c reinstreq /var/lib/dpkg/status", check=False).stdout == "0\n"
    text = machine.converge(f'pkg "{name}" {{}}\n')
    assert "dpkg --configure -a" in text
    assert machine.path(f"/usr/share/{name}/version").exists()


def test_dpkg_killed_at_its_end_is_finished(machine, tmp_path):
    """All is as it should be, but apt would refuse to work for anybody."""
    repo(machine, tmp_path, "stead-late")
    machine.converge('pkg "stead-late" {}\n')
    stanza = "sed -n '/^Package: stead-late$/,/^$/p' /var/lib/dpkg/status > /var/lib/dpkg/updates/0013"
    machine.run(stanza)
    text = machine.converge('pkg "stead-late" {}\n')
    assert "dpkg --configure -a" in text and not machine.path("/var/lib/dpkg/updates/0013").exists()
    machine.run("dpkg --purge stead-late")
    machine.run("printf 'Package: stead-late\\nStatus: unknown ok not-installed\\n' > /var/lib/dpkg/updates/0002; "
                "rm /srv/repo/stead-late*; cd /srv/repo; : > Packages; apt-get -qq update")
    machine.converge('pkg "stead-late" { state = "uninstalled" }\n')
    assert not machine.path("/var/lib/dpkg/updates/0002").exists()


@pytest.mark.parametrize("state", ["uninstalled", "purged"])
@pytest.mark.parametrize("source", ["there", "gone"])
def test_half_unpacked_package_is_removed(machine, tmp_path, state, source):
    """dpkg refuses that, until it has been installed again; when nobody has it any more, what is known of it goes."""
    name = f"stead-part-{state[0]}-{source}"
    repo(machine, tmp_path, name)
    machine.run(f"apt-get -qq -y install {name}; "
                f"sed -i '/^Package: {name}$/,/^$/s/^Status:.*/Status: install reinstreq half-installed/' /var/lib/dpkg/status")
    if source == "gone":
        machine.run("rm /srv/repo/*.deb; : > /srv/repo/Packages; apt-get -qq update")
    machine.stead("plan", f'pkg "{name}" {{ state = "{state}" }}\n', "--detailed-exitcode", code=2)
    text = machine.stead("apply", f'pkg "{name}" {{ state = "{state}" }}\n', "--detailed-exitcode", code=2)
    assert f"an interrupted dpkg left parts of {name}" in text
    assert ("removing what dpkg knows of" in text) == (source == "gone")
    assert version(machine, name) is None and not machine.path(f"/usr/share/{name}").exists()
    assert machine.out("dpkg --audit") == ""
    machine.settled(f'pkg "{name}" {{ state = "{state}" }}\n')


def test_half_configured_package_is_repaired(machine, tmp_path):
    repo(machine, tmp_path, "stead-half")
    machine.run("dpkg --unpack /srv/repo/stead-half_1.0_all.deb")
    machine.converge('pkg "stead-half" {}\n')
    assert version(machine, "stead-half") == "1.0"


def test_missing_dependency_is_installed(machine, tmp_path):
    repo(machine, tmp_path, "stead-lacks", depends="stead-lacked")
    repo(machine, tmp_path, "stead-lacked")
    repo(machine, tmp_path, "stead-more")
    machine.run("dpkg --install /srv/repo/stead-lacks_1.0_all.deb", check=False)
    text = machine.stead("apply", 'pkg "stead-more" {}\n')
    assert "--fix-broken" in text
    assert [version(machine, f"stead-{x}") for x in ("lacks", "lacked", "more")] == ["1.0"] * 3


def test_failing_script_has_the_last_word(machine, tmp_path):
    repo(machine, tmp_path, "stead-bad", postinst="echo cannot reach the moon; test -e /root/moon")
    repo(machine, tmp_path, "stead-good")
    config = 'pkg "stead-bad" {}\npkg "stead-good" {}\n'
    text = machine.stead("apply", config, code=4)
    assert "'stead-bad': installed stead-bad package post-installation script" in text
    assert "it said: cannot reach the moon" in text
    assert version(machine, "stead-good") == "1.0"
    machine.write("/root/moon", "")
    machine.converge(config)
    assert version(machine, "stead-bad") == "1.0"


def test_missing_packages_are_named_together(machine, tmp_path):
    repo(machine, tmp_path, "stead-there")
    text = machine.stead("apply", 'pkg "stead-ther" {}\npkg "stead-there" {}\npkg "stead-nil" {}\n',
                         code=4)
    line = next(line for line in text.splitlines() if "no source of apt has it" in line)
    assert "'stead-ther'" in line and "did you mean 'stead-there'?" in line and "'stead-nil'" in line
    assert version(machine, "stead-there") == "1.0"


def test_unreachable_mirror(machine, tmp_path):
    repo(machine, tmp_path, "stead-near")
    bad = 'apt_source "far" { uris = "http://127.0.0.1:9/debian", suites = "./" }\n'
    text = machine.stead("apply", bad + 'file "/root/other" { content = "x" }\n', code=4)
    assert "fetch from '127.0.0.1:9'" in text and "Connection refused" in text
    assert machine.path("/root/other").exists()
    assert not machine.path("/etc/apt/sources.list.d/far.sources").exists()
    machine.write("/etc/apt/sources.list.d/far.list", "deb [trusted=yes] http://127.0.0.1:9/x ./\n")
    try:
        machine.stead("apply", 'pkg "stead-near" {}\n')  # what is known is enough
        text = machine.stead("apply", 'pkg "stead-near" {}\npkg "stead-far" {}\n', code=4)
        assert "no source of apt has it" in text and "127.0.0.1:9" in text
        machine.settled('pkg "stead-near" {}\n')
    finally:
        machine.path("/etc/apt/sources.list.d/far.list").unlink()


@pytest.fixture
def mirror(machine):
    server = subprocess.Popen(machine.command("perl", "-e", SERVE), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, text=True)
    assert server.stdout.readline() == "ready\n"
    yield "http://127.0.0.1:8080/"
    for child in children(server.pid):  # nsenter does not pass signals on
        os.kill(child, signal.SIGTERM)
    server.wait(30)


def test_file_that_left_its_mirror(machine, tmp_path, mirror):
    repo(machine, tmp_path, "stead-moved", "1.0")
    machine.write("/etc/apt/sources.list.d/test.list", f"deb [trusted=yes] {mirror} ./\n")
    machine.run("apt-get -qq update")
    machine.path("/srv/repo/stead-moved_1.0_all.deb").unlink()
    shutil.copy(debian.build(tmp_path, "stead-moved", "1.1"), machine.path("/srv/repo"))
    debian.write_index(machine.path("/srv/repo"))  # the lists on the machine are those of before
    text = machine.stead("apply", 'pkg "stead-moved" {}\n')
    assert "running apt-get update first" in text
    assert version(machine, "stead-moved") == "1.1"


def test_full_disk(machine, tmp_path):
    repo(machine, tmp_path, "stead-big", size=4 << 20)
    machine.run("mkdir -p /usr/share/stead-big && mount -t tmpfs -o size=1m tmpfs /usr/share/stead-big")
    config = 'pkg "stead-big" {}\n'
    try:
        text = machine.stead("apply", config, code=4)
        assert "the disk is full" in text and "make room" in text
        machine.run("mount -o remount,size=64m /usr/share/stead-big")
        machine.stead("apply", config)
        machine.settled(config)
        assert version(machine, "stead-big") == "1.0"
    finally:
        machine.run("umount /usr/share/stead-big")


if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__]))
