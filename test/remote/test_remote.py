"""stead apply --ssh: a real ssh and a real sshd, whose machine is this one below other /run, /var and /home."""
import json
import os
import pathlib
import re
import shlex
import signal
import threading
import time

import pytest

from sshd import ROOT, Desk, Sshd, children, wait_for

MOTD = 'file "/run/motd" { content = "hello\\n" }\n'


def ssh_of(process) -> int:
    """The ssh that this stead started."""
    def found():
        return [child for child in children(process.pid) if open(f"/proc/{child}/comm").read().strip() == "ssh"]
    return wait_for("ssh", found)[0]


def sockets_of(process) -> set:
    """Those on the targets, whose /tmp is ours, that its ssh lead back here."""
    lines = [pathlib.Path(f"/proc/{child}/cmdline").read_text() for child in children(process.pid)]
    return {pathlib.Path(path) for line in lines for path in re.findall(r"/tmp/stead-[0-9a-f]{8}(?:-[0-9a-f]+){4}", line)}


def slow_until(target, path: str) -> str:
    """Says that it began, and ends when path is there."""
    return f'''exec "sh -c 'touch /run/began; until test -e {path}; do sleep 0.05; done'" {{}}\n'''


def line_of(process, *parts: str) -> str:
    """Its next line of errors with these parts."""
    too_late = threading.Timer(120, process.kill)
    too_late.start()
    try:
        while line := process.stderr.readline():
            if all(part in line for part in parts):
                return line
    finally:
        too_late.cancel()
    raise AssertionError(f"it said nothing with {parts}")


def begins(target) -> None:
    wait_for("the command to begin", target.path("/run/began").exists)


@pytest.fixture(autouse=True)
def clean(target):
    target.run("rm -f /run/began /run/go /run/motd")
    yield
    if Desk.end_all():  # one that held the target would make those after it wait
        target.run("touch /run/go")
        wait_for("the target to be free", lambda: not target.path("/run/stead-remote").exists())


def test_plan_apply_and_again(desk, target):
    desk.write(MOTD)
    assert "web1:" in desk.run("--detailed-exitcode", verb="plan", code=2)
    assert not target.path("/run/motd").exists()
    text = desk.run("--detailed-exitcode", code=2)
    assert re.search(r"^web1: .*'/run/motd'", text, re.MULTILINE), text
    assert target.path("/run/motd").read_text() == "hello\n"
    desk.run("--detailed-exitcode", code=0)
    desk.write("")  # the ledger is there: what left the configuration goes
    desk.run("--detailed-exitcode", code=2)
    assert not target.path("/run/motd").exists()


def test_everything_beside_it_goes_along(desk, target):
    desk.write('file "/run/a b" { content = template("parts/a.tmpl", { who = values.who }) }\n'
               'file "/run/secret" { content = secret "token" }\n')
    desk.write("for {{ who }}\n", "parts/a.tmpl")
    (desk.directory / "values.yaml").write_text("who: ada\n")
    (desk.directory / "secrets.json").write_text('{"token": "hush"}')
    desk.run("--values", "values.yaml", "--secrets", "secrets.json")
    assert target.path("/run/a b").read_text() == "for ada\n"
    assert target.path("/run/secret").read_text() == "hush"
    assert target.run("ls /run/stead-remote 2>/dev/null || :") == ""


def test_it_leaves_nothing_unless_asked(tmp_path):
    with Sshd(tmp_path / "web1") as target:
        desk = Desk(tmp_path / "desk")
        desk.knows(target)
        desk.write(MOTD)
        desk.run()
        assert target.left_behind() == []
        assert target.path("/var/lib/stead/ledger.db").exists()
        desk.run("--keep")
        assert target.left_behind() == ["/var/cache/stead"]
        program = next(target.path("/var/cache/stead/remote").iterdir())
        before = (program / "stead").stat()
        desk.run()  # finds it, and leaves it to whoever kept it
        after = (program / "stead").stat()
        assert (before.st_ino, before.st_ctime_ns) == (after.st_ino, after.st_ctime_ns)


def test_several_hosts(desk, target, tmp_path):
    with Sshd(tmp_path / "db1", "db1", target) as other:
        desk.knows(target, other)
        desk.write(MOTD)
        text = desk.run(hosts="web1,root@db1")
        assert "web1: created file '/run/motd'" in text and "root@db1: created file '/run/motd'" in text
        assert text.strip().endswith("2 hosts: 2 done, 0 failed")
        assert other.left_behind() == ["/var/cache/stead"]
        text = desk.run("--parallel", "1", hosts="web1,gone,db1", code=4)
        assert "gone: nobody knows this name" in text and "3 hosts: 2 done, 0 failed, 1 not touched" in text
        desk.write('exec "sh -c \'test -e /run/flag\'" {}\n')
        target.path("/run/flag").write_text("")
        assert "2 hosts: 1 done, 1 failed" in desk.run("--replace", hosts="web1,db1", code=4)
        assert "2 hosts: 0 done, 0 failed, 2 not touched" in desk.run(hosts="gone,away", code=1)


def test_json_names_the_host(desk):
    desk.write(MOTD)
    events = [json.loads(line) for line in desk.run("--json", hosts="web1,gone", code=4).splitlines()]
    assert {event["host"] for event in events if event["event"] == "changed"} == {"web1"}
    ends = {event["host"]: event for event in events if event["event"] == "host"}
    assert ends["web1"]["exit_code"] == 0 and ends["web1"]["touched"]
    assert "nobody knows this name" in ends["gone"]["error"] and not ends["gone"]["touched"]
    assert events[-1]["event"] == "hosts" and events[-1]["exit_code"] == 4 and events[-1]["not_touched"] == 1


def test_a_wrong_configuration_touches_nothing(desk):
    desk.write('fiel "/run/x" {}\n')
    text = desk.run(code=1)
    assert "web1: site/site.lua:1" in text and "did you mean" in text


def test_who_answers_matters(tmp_path):
    with Sshd(tmp_path / "web1") as target:
        desk = Desk(tmp_path / "desk")
        desk.knows(target)
        desk.write(MOTD)
        target.known_hosts(None)
        assert "web1: its host key is not known: connect once with 'ssh web1'" in desk.run(code=1)
        target.known_hosts("host_key")
        target.use_host_key("host_key.other")
        assert "web1: its host key is another one than in known_hosts" in desk.run(code=1)
        target.known_hosts("host_key.other")
        target.path("/run/sshd/authorized").write_text("")
        text = desk.run(code=1)
        assert "web1: it does not let us in" in text and "ssh-copy-id web1" in text
        assert not target.path("/run/motd").exists()


def test_without_the_rights_of_root(desk, target):
    desk.write(MOTD)
    text = desk.run(hosts="ada@web1", code=1)
    assert re.search(r"ada@web1: it takes root, and (there is no sudo: log in as root|sudo says: .*; let ada use sudo)",
                     text), text
    assert target.run("ls -A /home/ada") == ""
    target.run("mkdir -p /home/tree/run && chown -R 4001 /home/tree")
    desk.run("--root", "/home/tree", hosts="ada@web1")
    assert target.path("/home/tree/run/motd").read_text() == "hello\n"
    assert target.run("ls -A /home/ada") == ""


def test_two_operators(desk, target, tmp_path):
    desk.write(slow_until(target, "/run/go"))
    first = desk.start()
    begins(target)
    other = Desk(tmp_path / "other")
    other.knows(target)
    other.write(MOTD)
    text = other.run(code=1)
    assert re.search(r"web1: it is busy: \S+ on \S+ \(process \d+\) is at work there; wait for its end", text), text
    target.path("/run/go").write_text("")
    out, err = first.communicate(timeout=120)
    assert first.returncode == 0, out + err
    assert not target.path("/run/motd").exists()


def test_the_connection_is_cut(desk, target):
    desk.write(slow_until(target, "/run/go"))
    process = desk.start()
    begins(target)
    os.kill(ssh_of(process), signal.SIGKILL)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 4, out + err
    assert "web1: the connection was cut: what stead was doing there ends in order; run this again" in err
    assert "it is busy" in desk.run(code=1)  # what runs is finished first
    target.path("/run/go").write_text("")
    wait_for("the target to be clean", lambda: target.left_behind() == ["/var/cache/stead"])
    desk.run()


def test_interrupt(desk, target):
    desk.write(slow_until(target, "/run/go"))
    process = desk.start()
    begins(target)
    process.send_signal(signal.SIGINT)
    line_of(process, "finishing what runs; interrupt again")
    target.path("/run/go").write_text("")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, out + err
    target.run("rm -f /run/began /run/go")
    process = desk.start()  # it waits for nobody now: cancelled
    begins(target)
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        process.stderr.readline()
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, out + err
    wait_for("the target to be clean", lambda: target.left_behind() == ["/var/cache/stead"])
    assert "sleep 0.05" not in target.run("ps -e -o args || :")


def test_disk_full(tmp_path):
    with Sshd(tmp_path / "web1") as target:
        desk = Desk(tmp_path / "desk")
        desk.knows(target)
        desk.write(MOTD)
        target.run("mount -o remount,size=1m /var/cache")
        text = desk.run(code=1)
        assert "web1: copy stead to /var/cache/stead/remote/" in text and "No space left on device" in text
        assert target.left_behind() == [] and not target.path("/run/motd").exists()
        target.run("mount -o remount,size=500m /var/cache")
        target.run("mount -t tmpfs -o size=4k tmpfs /var/lib && touch /var/lib/x")
        desk.run("--keep", code=1)  # no room for the ledger
        target.run("umount /var/lib")
        desk.run()


def test_watch(desk, target):
    desk.write(MOTD)
    process = desk.start("--watch")
    motd = target.path("/run/motd")
    wait_for("the first version", motd.exists)
    took = []
    for text in ("two", "three", "four"):
        began = time.monotonic()
        desk.write(f'file "/run/motd" {{ content = "{text}" }}\n')
        wait_for(text, lambda: motd.read_text() == text, interval=0.005)
        took.append(time.monotonic() - began)
    print(f"save to converged: {', '.join(f'{seconds * 1000:.0f} ms' for seconds in took)}")
    assert min(took) < 1
    motd.write_text("drift")
    wait_for("repair", lambda: motd.read_text() == "four")
    desk.write('file "/run/motd" { content = \n')
    line_of(process, "keeping to the one that runs")
    desk.write("x", "kinds/../bad\nname")
    line_of(process, "not sent")
    (desk.directory / "site/bad\nname").unlink()
    desk.write('file "/run/motd" { content = "five" }\n')
    wait_for("five", lambda: motd.read_text() == "five")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, out + err
    assert target.left_behind() == ["/var/cache/stead"]


NEIGHBOURS = """
exchange.publish(exchange.host .. "/at", { port = 80 })
exchange.publish("web/" .. exchange.host, VERSION)
local lines = {}
for name, value in pairs(exchange.get("web/")) do table.insert(lines, name .. "=" .. value .. "\\n") end
table.sort(lines)
file "/run/neighbours" { content = table.concat(lines) }
"""


def neighbours(version: str) -> str:
    return NEIGHBOURS.replace("VERSION", f'"{version}"')


def test_they_share_an_exchange(desk, target, tmp_path):
    """A host's connection is cut, and what it published goes; an edit reaches all; nothing is left of it."""
    with Sshd(tmp_path / "db1", "db1", target) as other:
        desk.knows(target, other)
        desk.write(neighbours("1"))
        process = desk.start("--watch", "--exchange", "ssh", "--may-publish", "web/", hosts="web1,root@db1")
        both = [host.path("/run/neighbours") for host in (target, other)]

        def all_have(hosts, text):
            wait_for(text, lambda: all(path.exists() and path.read_text() == text for path in hosts))
        all_have(both, "db1=1\nweb1=1\n")
        desk.write(neighbours("2"))
        all_have(both, "db1=2\nweb1=2\n")
        sockets = sockets_of(process)
        assert len(sockets) == 2 and all((path.stat().st_mode & 0o777) == (0o700 if path.is_dir() else 0o600) for path in sockets), sockets
        ssh = [child for child in children(process.pid) if b"root@db1" in open(f"/proc/{child}/cmdline", "rb").read()]
        os.kill(ssh[0], signal.SIGKILL)
        all_have(both[:1], "web1=2\n")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 130, out + err
        assert "root@db1: the connection was cut" in err
        wait_for("the target to be clean", lambda: other.left_behind() == ["/var/cache/stead"])
        assert target.left_behind() == ["/var/cache/stead"]
    assert not [path for path in sockets if path.exists()]


def test_nobody_publishes_as_another(desk, target, tmp_path):
    target.run("rm -f /run/got")
    with Sshd(tmp_path / "db1", "db1", target) as other:
        desk.knows(target, other)
        desk.write('exchange.publish("db1/at", exchange.host)\n'
                   'file "/run/got" { content = tostring(exchange.get("db1/").at) }\n')
        process = desk.start("--watch", "--exchange", "ssh", hosts="web1,db1")
        line_of(process, "web1: ", "db1/at")
        got = other.path("/run/got")
        wait_for("what db1 says", lambda: got.exists() and got.read_text() == "db1")
        assert not target.path("/run/got").exists()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)


@pytest.mark.parametrize("words,said", [
    (("--exchange", "ssh"), "--exchange ssh: without --watch nobody stays"),
    (("--exchange", "etcd=http://x:1"), "--exchange: with --ssh it is ssh"),
    (("--watch", "--may-publish", "web/"), "they are for --exchange ssh"),
    (("--watch", "--exchange", "ssh", "--host", "x"), "--host: not with --ssh"),
])
def test_exchanges_that_cannot_be(desk, words, said):
    desk.write(MOTD)
    assert said in desk.run(*words, code=1)


def test_two_hosts_of_one_name(desk):
    desk.write(MOTD)
    text = desk.run("--watch", "--exchange", "ssh", hosts="web1,ada@web1", code=1)
    assert "two hosts would be 'web1' in the exchange: give them names of their own in ~/.ssh/config" in text


def test_sshd_lets_no_socket_back(tmp_path):
    with Sshd(tmp_path / "web1") as target:
        with open(target.directory / "sshd_config", "a") as config:
            config.write("AllowStreamLocalForwarding no\n")
        desk = Desk(tmp_path / "desk")
        desk.knows(target)
        desk.write(MOTD)
        text = desk.run("--watch", "--exchange", "ssh", code=1)
        assert "web1: its sshd lets no socket lead back here, which --exchange takes: set 'AllowStream" in text
        desk.run()


def test_the_document_names_what_is_said():
    """The first column of the table in doc/remote.md is in the source."""
    text = (ROOT / "doc/remote.md").read_text()
    said = re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)
    source = "".join(path.read_text() for path in (ROOT / "src/remote").glob("*.c"))
    source = re.sub(r'"\s*"', "", source)
    assert len(said) > 5
    for message in said:
        start = re.split(r"[.:]", message)[0]
        assert start.removesuffix(" to ") in source, message


def test_the_document_works(desk, target, tmp_path):
    """Its commands, with a second name for the one target."""
    with Sshd(tmp_path / "db1", "db1", target) as other, Sshd(tmp_path / "web2", "web2", target) as third:
        desk.knows(target, other, third)
        desk.write(MOTD)
        text = (ROOT / "doc/remote.md").read_text()
        commands = "".join(re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)).splitlines()
        assert len(commands) == 4
        for command in commands:
            words = shlex.split(command)
            verb, hosts = words[1], words[words.index("--ssh") + 1]
            options = words[2:words.index("--ssh")]
            if "--exchange" in words:
                desk.write(MOTD + 'exchange.publish("web/" .. exchange.host, 1)\n'
                           'if exchange.get("web/").web2 then file "/run/web2" { content = "" } end\n')
            process = desk.start(*options, verb=verb, hosts=hosts)
            if "--watch" in words:
                wait_for("the other host", third.path("/run/motd").exists)
            if "--exchange" in words:
                wait_for("what the other publishes", target.path("/run/web2").exists)
            if "--watch" in words:
                process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=300)
            assert process.returncode == (130 if "--watch" in words else 0), out + err
        assert other.path("/run/motd").read_text() == "hello\n"
        assert other.left_behind() == third.left_behind() == ["/var/cache/stead"]


@pytest.mark.parametrize("words, hosts, part", [
    ([], "-oProxyCommand=x", "'-oProxyCommand=x' is no host"),
    (["--kinds", "x"], "web1", "put the programs into 'kinds' beside FILE"),
    (["--env", "HOME"], "web1", "give the hosts values with --values"),
    (["--watch", "--timeout", "3"], "web1", "--watch: not with"),
    (["--values", "absent.yaml"], "web1", "read 'absent.yaml'"),
])
def test_wrong_use(desk, words, hosts, part):
    desk.write(MOTD)
    assert part in desk.run(*words, hosts=hosts, code=1)
