"""stead lab, for real: containers, networks, and what is left of them, which is nothing."""
import json
import os
import pathlib
import re
import signal
import subprocess
import time

import pytest

from labs import DATA, PATIENCE, PREFIX, ROOT, STEAD, added, command_lines, lab, traces, wait_for, write


@pytest.fixture
def clean():
    """What the test makes is gone at its end, without gc."""
    assert_clean()
    yield
    assert_clean()


def assert_clean(name=PREFIX, data=DATA):
    """But for the lab that several tests share."""
    for what, found in traces(name, data).items():
        if what in ("mounts", "processes", "groups", "directories"):
            assert not [one for one in found if f"{PREFIX}-pair" not in one], what


@pytest.fixture(scope="module")
def pair(base, tmp_path_factory):
    """Two hosts on two networks, and one on the first alone."""
    directory = tmp_path_factory.mktemp("pair")
    (directory / "site").mkdir()
    (directory / "site/it's 100%.lua").write_text('file "/etc/kept" { content = values.word .. values.n }\n')
    path = write(directory, "pair", """
networks: { lan: , side: "fd00:7::/64" }
hosts:
  a: { configuration: "site/it's 100%.lua", values: { word: first, n: 1 } }
  b:
  c: { networks: [lan] }
""")
    lab("up", path)
    yield directory
    lab("down", f"{PREFIX}-pair")


def at(host, *command, code=0, **options):
    return lab("exec", "--lab", f"{PREFIX}-pair", host, *command, code=code, **options)


@pytest.fixture
def healed(pair):
    """Whatever a test cuts, and however it ends."""
    yield
    lab("heal", "--lab", f"{PREFIX}-pair")


def reaches(host, other):
    return at(host, "ping", "-c", "1", "-W", "1", "-q", other, code=None).returncode == 0


def reach(*pairs):
    """What is not cut; a packet may be late on a busy machine."""
    for pair in pairs:
        wait_for(f"{pair} to reach each other", lambda pair=pair: reaches(*pair.split()))


def status():
    return json.loads(lab("status", f"{PREFIX}-pair", "--json").stdout)


# --- the document


def normal(text):
    """Without what differs from run to run."""
    text = re.sub(r"rtt min.*", "rtt", text)
    text = re.sub(r"(\d+\.\d+|\d+) (m?s)\b", r"N \2", text)
    text = re.sub(r"keeps \S*/", "keeps ", re.sub(r"time \d+ms", "time N ms", text))
    return [line.rstrip() for line in re.sub(r"[ \t]+", " ", text).strip().splitlines()]


def test_the_document_does_what_it_says(clean, tmp_path):
    """All its commands in their order; what an agent is about to do may take a moment."""
    text = (ROOT / "doc/lab.md").read_text()
    name = f"{PREFIX}-three"
    for title, content in re.findall(r"^```\w+ title=(\S+)\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        (tmp_path / title.replace("three", name)).write_text(content)
    console = re.findall(r"^    \$ (.*)\n((?:    (?!\$).*\n)*)", text, re.MULTILINE)
    assert len(console) >= 18
    script = f'stead() {{ local v=$2; shift 2; {STEAD} lab "$v" --data {DATA} --lab {name} "$@"; }}\n'
    try:
        for command, expected in console:
            command = re.sub(r"\bthree\b", name, command)

            def run(command=command):
                return subprocess.run(["bash", "-c", script + command], capture_output=True, text=True, cwd=tmp_path,
                                      check=False, timeout=600).stdout.replace(name, "three")

            wanted = normal(re.sub(r"^    ", "", expected, flags=re.MULTILINE))
            if "motd" in command and command.startswith("stead"):
                wait_for(expected, lambda: normal(run()) == wanted)
            else:
                assert normal(run()) == wanted, command
    finally:
        lab("down", name, code=None)


def test_three_hosts_are_up_in_time_and_follow_a_saved_file(clean, tmp_path):
    (tmp_path / "site.lua").write_text('file "/etc/kept" { content = "one" }\n')
    path = write(tmp_path, "quick", "hosts:\n  h[1-3]: { configuration: site.lua }\n")
    start = time.monotonic()
    lab("up", path)
    took = time.monotonic() - start
    try:
        def all_have(text):
            return all(lab("exec", "--lab", f"{PREFIX}-quick", f"h{n}", "cat", "/etc/kept", code=None).stdout == text
                       for n in (1, 2, 3))
        wait_for("the agents", lambda: all_have("one"))
        (tmp_path / "new").write_text('file "/etc/kept" { content = "two" }\n')
        start = time.monotonic()
        (tmp_path / "new").rename(tmp_path / "site.lua")
        wait_for("all to follow", lambda: all_have("two"))
        follow = time.monotonic() - start
    finally:
        lab("down", f"{PREFIX}-quick")
    print(f"\nthree hosts up: {took:.2f} s; a saved file on all: {follow:.2f} s")
    assert took < 30


# --- hosts


def test_exec_passes_codes_words_streams_and_signals(pair):
    assert at("a", "sh", "-c", "exit 7", code=7).stdout == ""
    assert at("a", "ls", "-d", "--", "/etc").stdout == "/etc\n"
    assert at("a", "--", "printf", "%s|", "--json", "-q", "").stdout == "--json|-q||"
    assert at("a", "sh", "-c", "echo out; echo err >&2").stderr == "err\n"
    assert "run 'no-such': No such file" in at("a", "no-such", code=127).stderr
    assert at("a", "sh", "-c", "kill -9 $$", code=137)
    assert at("a", "hostname").stdout == "a\n"
    piped = subprocess.run([STEAD, "lab", "exec", "--data", DATA, "--lab", f"{PREFIX}-pair", "a", "cat"],
                           input="through\n", capture_output=True, text=True, check=True)
    assert piped.stdout == "through\n"
    running = subprocess.Popen([STEAD, "lab", "exec", "--data", DATA, "--lab", f"{PREFIX}-pair", "a", "sh", "-c",
                                "trap 'echo got it; exit 5' TERM; echo ready; while :; do sleep 0.05; done"],
                               stdout=subprocess.PIPE, text=True)
    assert running.stdout.readline() == "ready\n"
    running.send_signal(signal.SIGTERM)
    assert running.communicate(timeout=PATIENCE)[0] == "got it\n" and running.returncode == 5


def test_a_command_ends_with_what_asked_for_it(pair):
    running = subprocess.Popen([STEAD, "lab", "exec", "--data", DATA, "--lab", f"{PREFIX}-pair", "a",
                                "sleep", "7654"], stdin=subprocess.DEVNULL)
    wait_for("the command", lambda: "sleep 7654" in at("a", "ps", "ax").stdout)
    running.kill()
    running.wait()
    wait_for("its end", lambda: "sleep 7654" not in at("a", "ps", "ax").stdout)


def test_shell_is_a_terminal_of_the_host(pair):
    script = f"{STEAD} lab shell --data {DATA} --lab {PREFIX}-pair b"
    with subprocess.Popen(["script", "-qec", script, "/dev/null"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as shell:
        output, _ = shell.communicate("tty; hostname; stty size >/dev/null && echo sized; exit 3\n", timeout=PATIENCE)
    assert shell.returncode == 3, output
    assert "/dev/pts/" in output and "\nb\n" in output and "\nsized\n" in output


def test_hosts_know_each_other(pair):
    hosts = at("a", "cat", "/etc/hosts").stdout
    assert "10.1.0.12\tb b.lan\n" in hosts and "fd00:7::c\tb.side\n" in hosts
    assert at("a", "ip", "-br", "addr", "show", "eth1").stdout.split()[2] == "fd00:7::b/64"
    reach("a b", "a b.side", "c a")
    assert at("c", "ip", "-br", "link").stdout.count("eth") == 1
    assert at("c", "ls", "/sys/class/net").stdout.split() == ["eth0", "lo"]
    at("c", "sysctl", "-w", "net.ipv4.ip_forward=1")
    ids = {at(host, "cat", "/etc/machine-id").stdout for host in "abc"}
    assert len(ids) == 3


def test_agent_keeps_the_host_and_follows_its_file(pair):
    wait_for("the agent", lambda: at("a", "cat", "/etc/kept", code=None).stdout == "first1")
    at("a", "rm", "/etc/kept")
    wait_for("its repair", lambda: at("a", "cat", "/etc/kept", code=None).stdout == "first1")
    assert "Read-only" in at("a", "touch", "/etc/stead/site/x", code=1).stderr
    wait_for("the last of its units", lambda: at("a", "systemctl", "is-system-running", code=None).stdout == "running\n")
    assert at("b", "systemctl", "is-active", "stead-agent", code=None).stdout == "inactive\n"


def test_cut_and_heal(pair, healed):
    name = f"{PREFIX}-pair"
    lab("cut", "a", "b", "--lab", name)
    assert not reaches("a", "b") and not reaches("b", "a") and not reaches("a", "b.side")
    reach("a c", "b c")
    lab("cut", "c", "lan", "--lab", name)
    assert not reaches("a", "c") and not reaches("c", "b")
    assert status()["cuts"] == [["a", "b"], ["c", "lan"]]
    assert "already" in lab("cut", "b", "a", "--lab", name).stdout
    lab("reboot", "b", "--lab", name)  # its interfaces are new, what is cut is not
    assert not reaches("a", "b")
    lab("heal", "b", "a", "--lab", name)
    reach("a b", "a b.side")
    assert not reaches("a", "c")
    lab("heal", "--lab", name)
    reach("a c")
    assert status()["cuts"] == []


def test_broadcasts_are_cut_too(pair, healed):
    """No packet at all: not even those that ask for everybody."""
    def heard():
        names, numbers = re.findall(r"^Icmp: (.*)", at("b", "cat", "/proc/net/snmp").stdout, re.MULTILINE)
        return int(numbers.split()[names.split().index("InEchos")])

    def call():
        at("a", "ping", "-b", "-q", "-c", "3", "-i", "0.05", "-W", "1", "10.1.0.255", code=None)

    lab("cut", "a", "b", "--lab", f"{PREFIX}-pair")
    before = heard()
    call()
    assert heard() == before
    lab("heal", "--lab", f"{PREFIX}-pair")
    call()
    assert heard() == before + 3


def test_files_stay_through_reboot_and_loss_of_power(pair):
    name = f"{PREFIX}-pair"
    at("b", "sh", "-c", "echo kept > /root/file; echo gone > /run/file; ip addr add 10.1.0.77/24 dev eth0")
    boot = at("b", "stat", "-c", "%Y", "/proc/1").stdout
    lab("reboot", "b", "--lab", name)
    assert at("b", "cat", "/root/file").stdout == "kept\n"
    at("b", "cat", "/run/file", code=1)
    assert "10.1.0.77" not in at("b", "ip", "addr").stdout
    assert at("b", "stat", "-c", "%Y", "/proc/1").stdout >= boot
    lab("kill", "b", "--lab", name)
    assert [host["state"] for host in status()["hosts"]] == ["running", "off", "running"]
    assert "host 'b' is off; 'stead lab start b' starts it" in at("b", "true", code=1).stderr
    assert "is off already" in lab("kill", "b", "--lab", name, code=1).stderr
    assert "cannot reboot; 'stead lab start b'" in lab("reboot", "b", "--lab", name, code=1).stderr
    lab("start", "b", "--lab", name)
    assert at("b", "cat", "/root/file").stdout == "kept\n"
    reach("a b")
    assert "running already" in lab("start", "b", "--lab", name, code=1).stderr


def test_reboot_and_poweroff_from_inside(pair):
    def c():
        return status()["hosts"][2]

    since = c()["since"]
    at("c", "systemctl", "reboot", code=None)  # what asks for it may be ended by it
    wait_for("c to go down", lambda: c()["since"] > since)
    at("c", "true")  # waits until it has started far enough
    wait_for("c", lambda: c()["state"] == "running")
    at("c", "systemctl", "poweroff", code=None)
    wait_for("c to be off", lambda: c()["state"] == "off")
    lab("start", "c", "--lab", f"{PREFIX}-pair")
    reach("c a")


def test_copy(pair, tmp_path):
    name = f"{PREFIX}-pair"
    (tmp_path / "tree/deep").mkdir(parents=True)
    (tmp_path / "tree/deep/file").write_bytes(bytes(range(256)) * 9000)
    (tmp_path / "tree/deep/file").chmod(0o750)
    (tmp_path / "tree/link").symlink_to("/etc/passwd")
    lab("copy", "--lab", name, tmp_path / "tree", "a:/srv")
    assert at("a", "stat", "-c", "%a %U", "/srv/tree/deep/file").stdout == "750 root\n"
    lab("copy", "--lab", name, "a:/srv/tree", tmp_path / "back")
    assert (tmp_path / "back/deep/file").read_bytes() == (tmp_path / "tree/deep/file").read_bytes()
    assert (tmp_path / "back/link").readlink() == pathlib.Path("/etc/passwd")
    at("a", "ln", "-s", "/etc", "/root/way")  # a link in the host leads to the host's own
    lab("copy", "--lab", name, "a:/root/way/hostname", tmp_path / "hostname")
    assert (tmp_path / "hostname").read_text() == "a\n"
    lab("copy", "--lab", name, "a:/etc/hostname", "b:/root/other")
    assert at("b", "cat", "/root/other").stdout == "a\n"
    assert "No such file" in lab("copy", "--lab", name, "a:/none", tmp_path, code=1).stderr
    assert "no file, directory or link" in lab("copy", "--lab", name, "a:/dev/null", tmp_path, code=1).stderr
    assert "neither is in a host" in lab("copy", "--lab", name, "x", "y", code=1).stderr


def test_names_that_are_none(pair):
    name = f"{PREFIX}-pair"
    assert f"lab '{name}' has no host 'd'" in lab("exec", "--lab", name, "d", "true", code=1).stderr
    assert "has no host or network 'lam', did you mean 'lan'" in lab("cut", "a", "lam", "--lab", name, code=1).stderr
    assert "host 'c' is not in network 'side'" in lab("cut", "c", "side", "--lab", name, code=1).stderr
    assert "'a' is one host" in lab("cut", "a", "a", "--lab", name, code=1).stderr
    assert "there is no lab 'nope'" in lab("status", "nope", code=1).stderr
    assert "did you mean 'exec'" in lab("exce", "a", code=1).stderr
    assert "usage: stead lab exec HOST COMMAND..." in lab("exec", "a", code=1).stderr
    assert "only 'stead lab up' starts this" in lab("keep", DATA / "labs" / name, code=1).stderr
    refused = lab("up", write(pair, "pair", "hosts: { a: }\n"), code=1).stderr
    assert f"lab '{name}' is up already, and the file has other networks now: only hosts can come and go" in refused


def test_two_labs_at_once(pair, clean_second):
    """The same names and addresses."""
    name = clean_second
    assert lab("exec", "--lab", name, "a", "hostname").stdout == "a\n"
    lab("exec", "--lab", name, "a", "touch", "/root/second")
    at("a", "ls", "/root/second", code=2)
    lab("cut", "a", "b", "--lab", name)
    reach("a b")
    ambiguous = lab("exec", "a", "true", code=1).stderr
    assert "choose one with --lab NAME" in ambiguous and "both have 'a'" in ambiguous
    listed = lab("list").stdout
    assert f"{PREFIX}-pair" in listed and name in listed


@pytest.fixture
def clean_second(pair, tmp_path):
    name = f"{PREFIX}-second"
    lab("up", write(tmp_path, "second", "hosts: { a: , b: }\n"))
    yield name
    lab("down", name)
    assert name not in lab("list").stdout


# --- crashes


def start_up(path, data=DATA):
    return subprocess.Popen([STEAD, "lab", "up", "--data", data, path], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for_record(process, name):
    wait_for("the record", lambda: (DATA / "labs" / name / "record.json").exists())


def wait_for_line(process, part):
    while part not in (line := process.stdout.readline()):
        assert line, f"it ended without '{part}'"


def wait_for_start(process, name):
    wait_for_line(process, "is starting")


def wait_for_first(process, name):
    wait_for_line(process, "is running")


@pytest.mark.parametrize("moment", [wait_for_record, wait_for_start, wait_for_first])
def test_killed_while_setting_up(clean, tmp_path, moment):
    name = f"{PREFIX}-crash"
    before = traces(name)
    process = start_up(write(tmp_path, "crash", "hosts:\n  h[1-3]:\n"))
    moment(process, name)
    process.kill()
    process.wait()
    assert f"removed what was left of lab '{name}'" in lab("gc").stdout
    assert added(before, traces(name)) == []


def test_killed_keeper(clean, tmp_path):
    name = f"{PREFIX}-crash"
    before = traces(name)
    lab("up", write(tmp_path, "crash", "hosts:\n  h[1-2]:\n"))
    keeper = json.loads((DATA / "labs" / name / "record.json").read_text())["keeper"]["pid"]
    assert lab("gc").stdout == "" and "running" in lab("status", name).stdout  # what is up stays
    os.kill(keeper, signal.SIGKILL)
    wait_for("all of it to end", lambda: not command_lines(f"{DATA}/labs/{name}"))
    wait_for("its end to be seen", lambda: f"{name:20} left over" in lab("list").stdout)
    assert "'stead lab gc' removes" in lab("exec", "--lab", name, "h1", "true", code=1).stderr
    assert "was interrupted" in lab("up", tmp_path / f"{name}.yaml", code=1).stderr
    lab("gc")
    assert added(before, traces(name)) == []


def test_gc_leaves_what_is_being_set_up(pair, tmp_path):
    """Also a keeper whose number the record does not say yet; once nobody sets it up, that goes too."""
    place, owner = tmp_path / "data/labs/young", pathlib.Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    record = json.loads((DATA / "labs" / f"{PREFIX}-pair" / "record.json").read_text())
    record.update(up=False, keeper={"pid": 0, "start": 0}, owner={"pid": os.getpid(), "start": int(owner[19])})
    place.mkdir(parents=True)
    (place / "record.json").write_text(json.dumps(record))
    (tmp_path / "lab").write_text("read until_the_end\n")
    keeper = subprocess.Popen(["stead", "lab", "keep", place], executable="/bin/sh", cwd=tmp_path, stdin=subprocess.PIPE)
    try:
        assert lab("gc", data=tmp_path / "data").stdout == ""
        assert keeper.poll() is None and place.exists()
        (place / "record.json").write_text(json.dumps({**record, "owner": {"pid": 0, "start": 0}}))
        assert lab("gc", data=tmp_path / "data").stdout == (
            f"removed what was left of lab 'young'\nended the keeper {keeper.pid}, which had no lab\n")
        assert keeper.wait(PATIENCE) == -signal.SIGKILL and not place.exists()
    finally:
        keeper.kill()
        keeper.communicate()


def test_a_stopped_command_does_not_hold_the_lab_back(clean, tmp_path):
    """As Ctrl-Z does it: who waits for the command is stopped, and cannot wait."""
    name = f"{PREFIX}-crash"
    lab("up", write(tmp_path, "crash", "hosts:\n  h1:\n"))
    running = subprocess.Popen([STEAD, "lab", "exec", "--data", DATA, "--lab", name, "h1", "sleep", "7655"],
                               stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        wait_for("the command", lambda: "sleep 7655" in lab("exec", "--lab", name, "h1", "ps", "ax").stdout)
        running.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        lab("down", name)
        assert time.monotonic() - began < 40
        # Nobody was hung up: that would have continued it.
        assert pathlib.Path(f"/proc/{running.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    finally:
        running.kill()
        running.wait()


def test_killed_nspawn(clean, tmp_path):
    """Its host goes off, the others go on."""
    name = f"{PREFIX}-crash"
    lab("up", write(tmp_path, "crash", "hosts:\n  h[1-2]:\n"))
    nspawn = next(pid for pid, line in command_lines(f"--directory={DATA}/labs/{name}/hosts/h1/").items())
    os.kill(nspawn, signal.SIGKILL)

    def states():
        return [h["state"] for h in json.loads(lab("status", name, "--json").stdout)["hosts"]]

    wait_for("h1 to go off", lambda: states() == ["off", "running"])
    lab("start", "h1", "--lab", name)
    assert states() == ["running", "running"]
    lab("down", name)


def test_interrupted_by_the_user(clean, tmp_path):
    process = start_up(write(tmp_path, "crash", "hosts:\n  h[1-3]:\n"))
    wait_for_start(process, "")
    process.send_signal(signal.SIGINT)
    output = process.communicate(timeout=PATIENCE)[0]
    assert process.returncode == 130 and "interrupted: nothing of the lab is left" in output


def test_what_others_have_mounted_is_not_removed(clean, tmp_path):
    name = f"{PREFIX}-crash"
    process = start_up(write(tmp_path, "crash", "hosts: { h1: }\n"))
    wait_for_record(process, name)
    process.kill()
    process.wait()
    place, precious = DATA / "labs" / name / "hosts/h1/upper/mnt", tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("keep")
    place.mkdir(parents=True)
    subprocess.run(["mount", "--bind", precious, place], check=True)
    try:
        assert "is mounted; unmount it first" in lab("gc", code=1).stderr
        assert (precious / "file").read_text() == "keep"
    finally:
        subprocess.run(["umount", place], check=True)
    lab("gc")
    assert (precious / "file").read_text() == "keep"


# --- building a base, by a stand-in for mmdebstrap: the real one has built ours

STAND_IN = """#!/bin/sh
for word; do case $word in */bases/*) tree=$word;; esac; done
echo "I: stand-in" >&2; echo x >> "$CALLS"
mkdir -p "$tree/etc/apt"
%s
"""


def stand_in(tmp_path, what):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/mmdebstrap").write_text(STAND_IN % what)
    (tmp_path / "bin/mmdebstrap").chmod(0o755)
    return {**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "CALLS": str(tmp_path / "calls")}


def test_killed_while_building_a_base(tmp_path):
    environment = stand_in(tmp_path, 'mount -t tmpfs x "$tree/etc"; touch "$CALLS.mounted"; sleep 7653')
    path = write(tmp_path, "build", "hosts: { a: }\n")
    process = subprocess.Popen([STEAD, "lab", "up", "--data", tmp_path / "data", path], env=environment,
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    wait_for("the build", (tmp_path / "calls.mounted").exists)
    assert lab("gc", data=tmp_path / "data").stdout == ""  # it works: its tree stays
    assert list((tmp_path / "data/bases").glob("*.new"))
    process.kill()
    process.wait()
    wait_for("the build to end", lambda: not command_lines("sleep 7653"))
    assert str(tmp_path) not in pathlib.Path("/proc/self/mountinfo").read_text()
    assert "removed 1 unfinished base\n" == lab("gc", data=tmp_path / "data").stdout
    assert [p.name for p in (tmp_path / "data/bases").iterdir() if p.is_dir()] == []


def test_a_build_that_fails_says_why_and_is_tried_again(tmp_path):
    environment = stand_in(tmp_path, 'echo "E: no such mirror" >&2; exit 25')
    path = write(tmp_path, "build", "hosts: { a: }\n")
    for n in (1, 2):
        done = lab("up", path, data=tmp_path / "data", env=environment, code=1)
        assert "build the base of bookworm: mmdebstrap ended with status 25" in done.stderr
        assert "E: no such mirror" in done.stderr
        assert (tmp_path / "calls").read_text() == "x\n" * n
    assert [p.name for p in (tmp_path / "data/bases").iterdir() if p.is_dir()] == []


def test_two_builders_of_one_base_take_turns(tmp_path):
    """What they build is no system: starting it fails with its words, and leaves nothing."""
    environment = stand_in(tmp_path, 'until test -e "$CALLS.go"; do sleep 0.05; done; mkdir -p $tree/usr; '
                                     'touch $tree/etc/os-release')

    def up(name):
        with (tmp_path / name).open("w") as out:
            return subprocess.Popen([STEAD, "lab", "up", "--data", tmp_path / "data", write(tmp_path, name, "hosts: { a: }\n")],
                                    env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    processes = [up("one")]
    try:
        wait_for("the build", (tmp_path / "calls").exists)
        processes.append(up("two"))
        wait_for("the other to wait", lambda: "waiting for another stead that builds the same base" in (tmp_path / "two").read_text())
    finally:
        (tmp_path / "calls.go").write_text("")
        codes = [process.wait(PATIENCE) for process in processes]
    assert (tmp_path / "calls").read_text() == "x\n" and codes == [1, 1]
    assert "waiting for another" not in (tmp_path / "one").read_text()
    for name in "one", "two":
        assert "host 'a' is off: systemd-nspawn ended with status" in (tmp_path / name).read_text()
    assert list((tmp_path / "data/labs").iterdir()) == []
    assert_clean(PREFIX, tmp_path / "data")


# --- refusals


def cases():
    return sorted((ROOT / "test/lab/errors").glob("*.yaml"))


@pytest.mark.parametrize("path", cases(), ids=lambda path: path.stem)
def test_errors_of_files(path):
    done = lab("up", path.name, code=1, cwd=path.parent, data="/nowhere")
    assert done.stderr == path.with_suffix(".err").read_text()


def test_there_are_cases_of_errors():
    assert len(cases()) >= 20


def test_what_is_missing_is_named(tmp_path):
    path = write(tmp_path, "x", "hosts: { a: }\n")
    (tmp_path / "bin").mkdir()
    environment = {"PATH": str(tmp_path / "bin")}
    done = lab("up", path, data=tmp_path / "data", env=environment, code=1)
    assert done.stderr == "stead: systemd-nspawn is missing: install the package systemd-container\n"
    (tmp_path / "bin/systemd-nspawn").symlink_to("/usr/bin/systemd-nspawn")
    done = lab("up", path, data=tmp_path / "data", env=environment, code=1)
    assert done.stderr == "stead: mmdebstrap is missing: install the package mmdebstrap\n"
    nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    readable = subprocess.run([*nobody, "test", "-x", STEAD], check=False).returncode == 0
    if readable:
        done = subprocess.run([*nobody, STEAD, "lab", "list"], capture_output=True, text=True, check=False)
        assert done.returncode == 1 and "stead lab needs root" in done.stderr


def test_more_hosts_than_the_kernel_has_room_for(tmp_path):
    limit = int(pathlib.Path("/proc/sys/fs/inotify/max_user_instances").read_text())
    if limit // 8 >= 200:
        pytest.skip(f"fs.inotify.max_user_instances is {limit}: enough for any lab")
    done = lab("up", write(tmp_path, "many", f"hosts:\n  h[1-{limit // 8 + 1}]:\n"), code=1)
    assert re.search(rf"hosts need \d+ inotify instances, and the kernel has \d+ left of {limit} for root: "
                     r"allow more by 'sysctl fs.inotify.max_user_instances=\d+'", done.stderr)


def test_a_path_that_an_overlay_cannot_say(tmp_path):
    done = lab("up", write(tmp_path, "x", "hosts: { a: }\n"), data=tmp_path / "a:b", code=1)
    assert "must not have ':'" in done.stderr and not (tmp_path / "a:b").exists()
