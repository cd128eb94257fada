"""Agents that follow what is deployed, over a real etcd."""
import contextlib
import http.server
import io
import re
import subprocess
import tarfile
import threading

import pytest

import etcd
from deployer import FLEET, Deployer, Follower, stead
from scratch import REPOSITORY, eventually

pytestmark = pytest.mark.skipif(not etcd.AVAILABLE, reason="needs etcd")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = etcd.Etcd(tmp_path_factory.mktemp("etcd")).start()
    yield running
    running.kill()


@pytest.fixture
def deployer(tmp_path, server):
    deployer = Deployer(tmp_path / "operator", server)
    yield deployer
    deployer.clear()


@pytest.fixture
def web1(tmp_path, deployer):
    return Follower(tmp_path / "web1", deployer)


def motd(text: str) -> str:
    return f'file "/etc/motd" {{ content = "{text}" }}'


OUT_OF_REACH = "the hub is out of reach: "  # which a machine too busy to answer may be at any time


def warnings(agent) -> list[str]:
    """But for those of a hub that does not answer."""
    told = [event["message"] for event in agent.find("warning")]
    return [text for text in told if not text.startswith(OUT_OF_REACH)]


def test_a_deploy_arrives_and_changes_only_what_differs(web1, deployer):
    with web1.agent() as agent:
        one = deployer.deploy("web1", 1, {"main.lua": motd("one") + 'file "/etc/x" { source = "x" }', "x": "x"})
        deployer.wait("web1", digest=one.digest, state="converged")
        assert (web1.read("/etc/motd"), web1.read("/etc/x")) == ("one", "x")
        two = deployer.deploy("web1", 2, {"main.lua": motd("two") + 'file "/etc/x" { source = "x" }', "x": "x"})
        deployer.wait("web1", digest=two.digest, state="converged")
        assert web1.read("/etc/motd") == "two"
        assert agent.count("changed", name="/etc/x") == 1
        status = web1.status("deploy")
        assert (status["record"], status["from"], status["message"]) == (2, "hub", "why")
        eventually(lambda: web1.status("hub")["connected"], "the hub to be in reach")
        run = eventually(lambda: deployer.get(f"{FLEET}run/web1"), "the run")
        assert run["resources"] == 2 and not run["problems"]
        assert deployer.get(f"{FLEET}facts/web1")["facts"]
        assert agent.stop() == 0
        assert len(list((web1.state / "deploy/run").iterdir())) == 2  # this one and the one before it


def test_one_that_has_problems_is_reported_and_nothing_changes(web1, deployer):
    with web1.agent() as agent:
        one = deployer.deploy("web1", 1, motd("one"))
        deployer.wait("web1", digest=one.digest, state="converged")
        broken = deployer.deploy("web1", 2, 'file "/etc/motd" { contnt = "two" }')
        report = deployer.wait("web1", digest=broken.digest, state="failing")
        assert "no parameter 'contnt'" in report["message"] and report["message"].endswith("record 1 goes on running")
        assert web1.read("/etc/motd") == "one"
        assert web1.run("status").code == 4
        web1.path("/etc/motd").write_text("drift")  # what runs is kept
        eventually(lambda: web1.read("/etc/motd") == "one")
        three = deployer.deploy("web1", 3, motd("three"))
        deployer.wait("web1", digest=three.digest, state="converged")
        assert "message" not in deployer.reported("web1") and web1.read("/etc/motd") == "three"
        failing = deployer.deploy("web1", 4, 'exec "no" { command = "/bin/none" }')
        report = deployer.wait("web1", digest=failing.digest, state="failing")
        assert report["message"].startswith("exec 'no': ")
        run = eventually(lambda: (deployer.get(f"{FLEET}run/web1") or {}).get("problems"), "its run")
        assert run[0]["resource"] == "exec 'no'"
        assert len(warnings(agent)) == 2, warnings(agent)


def out_of_reach(agent) -> int:
    return sum(event["message"].startswith(OUT_OF_REACH) for event in agent.find("warning"))


def runs(site, record: int):
    """Whether it does by now; what it said before a restart stays in the store for some seconds."""
    return eventually(lambda: site.status("deploy").get("record") == record, f"record {record} to run")


def test_from_the_disk_without_a_hub(web1, deployer):
    with web1.agent() as agent:
        one = deployer.deploy("web1", 1, motd("one"))
        eventually(lambda: web1.status("deploy").get("good"), "it to be good")
    web1.path("/etc/motd").write_text("drift")
    deployer.etcd.kill()
    try:
        with web1.agent() as agent:
            eventually(lambda: web1.read("/etc/motd") == "one", "what is kept to run")
            status = eventually(lambda: web1.status("hub").get("error") and web1.status("deploy"))
            assert (status["record"], status["from"], status["digest"]) == (1, "disk", one.digest)
            assert "out of reach" in web1.run("status").out
            eventually(lambda: out_of_reach(agent) == 1)
            deployer.etcd.start()
            two = deployer.deploy("web1", 2, motd("two"))
            deployer.wait("web1", digest=two.digest, state="converged")
            assert out_of_reach(agent) == 1  # once
    finally:
        deployer.etcd.kill()
        deployer.etcd.start()


def test_goes_back_one_step_and_no_further(web1, deployer):
    with web1.agent() as agent:
        one = deployer.deploy("web1", 1, motd("one"))
        eventually(lambda: web1.status("deploy").get("good"), "it to be good")
        two = deployer.deploy("web1", 2, motd("two"))
        deployer.wait("web1", digest=two.digest, state="converged")
        deployer.want("web1", one, back=True)
        deployer.wait("web1", digest=one.digest, state="converged")
        assert web1.read("/etc/motd") == "one"
        deployer.want("web1", two)
        report = deployer.wait("web1", digest=two.digest, state="failing")
        assert "this machine went back from it; deploy it again as a later record" in report["message"]
        three = deployer.deploy("web1", 3, motd("three"))
        deployer.wait("web1", digest=three.digest, state="converged")
        assert agent.stop() == 0
    with web1.agent():  # three was not good yet: what was is where a start begins
        runs(web1, 3)
        deployer.want("web1", two, back=True)
        report = deployer.wait("web1", digest=two.digest, state="failing")
        assert "it goes back to record 1 alone" in report["message"]
        assert web1.read("/etc/motd") == "three"


def test_no_key_no_deploy(tmp_path, deployer):
    db1 = Follower(tmp_path / "db1", deployer, pin=False)
    with db1.agent() as agent:
        one = deployer.deploy("db1", 1, motd("one"))
        report = deployer.wait("db1", digest=one.digest, state="failing")
        assert report["message"].endswith("no key of who may deploy is pinned on this machine; "
                                          "'stead agent pin KEY' pins one")
        assert "no key of who may deploy is pinned" in warnings(agent)[0]
        assert db1.read("/etc/motd") is None
        db1.pin(deployer.public)  # is seen by itself
        deployer.wait("db1", digest=one.digest, state="converged")
        assert db1.read("/etc/motd") == "one"


def test_questions_and_repairs(web1, deployer):
    with web1.agent() as agent:
        one = deployer.deploy("web1", 1, motd("one") + 'exec "no" { command = "/bin/none" }')
        deployer.wait("web1", digest=one.digest, state="failing")
        deployer.put(f"{FLEET}ask/web1/7", {"question": "why", "kind": "exec", "name": "no"})
        deployer.put(f"{FLEET}ask/web1/8", {"question": "why", "kind": "exec", "name": "none"})
        answer = eventually(lambda: deployer.get(f"{FLEET}answer/web1/7"))["answer"]
        asked = web1.run("why", "exec", "no").out
        assert answer.splitlines()[:2] == asked.splitlines()[:2] and "declared at" in answer
        assert eventually(lambda: deployer.get(f"{FLEET}answer/web1/8")) == {
            "error": "no exec 'none' is managed on 'web1'"}
        deployer.delete(f"{FLEET}ask/web1/7")
        eventually(lambda: not deployer.get(f"{FLEET}answer/web1/7"), "the answer to go")
        web1.path("/etc/motd").write_text("drift")
        agent.wait("changed", name="/etc/motd", corrective=True)
        drift = eventually(lambda: deployer.below(f"{FLEET}drift/web1/"))
        assert [(entry["resource"], entry["what"]) for entry in drift.values()] == [("file '/etc/motd'", "content")]


# --- a stolen hub: all of the store is its own, and it has no key


def hostile_bytes(deployer, one):
    """Other bytes under the name of a bundle that was signed."""
    good = deployer.sign(2, motd("two"))
    evil = deployer.sign(3, motd("evil"), key=deployer.new_key("mallory"))
    good.packed = evil.packed
    deployer.store(good)
    deployer.want("web1", good)
    return good, "refuse the bundle: it is 'sha256:"


def hostile_digest(deployer, one):
    """A digest of another bundle than was signed."""
    good = deployer.sign(2, motd("two"))
    evil = deployer.sign(2, motd("evil"), key=deployer.new_key("mallory"))
    evil.statement = good.statement
    deployer.store(evil)
    deployer.want("web1", evil)
    return evil, "the hub calls it bundle 'sha256:"


def hostile_key(deployer, one):
    evil = deployer.sign(2, motd("evil"), key=deployer.new_key("mallory"))
    deployer.store(evil)
    deployer.want("web1", evil)
    return evil, "which does not count here; record 1 goes on running"


def hostile_lines(deployer, one):
    """The list of keys is mallory's own, as lines."""
    mallory = deployer.new_key("mallory")
    deployer.put(f"{FLEET}keys", (mallory.parent / "mallory.key.pub").read_text())
    return hostile_signed_by(deployer, mallory)


def hostile_list(deployer, one):
    """The list of keys is mallory's own, signed by mallory."""
    mallory = deployer.new_key("mallory")
    keys = mallory.parent / "keys"
    stead("key", "add", keys, f"{mallory}.pub", "--key", mallory)
    stead("key", "add", keys, f"{deployer.key}.pub", "--key", mallory)
    deployer.put(f"{FLEET}keys", keys.read_text())
    return hostile_signed_by(deployer, mallory)


def hostile_extension(deployer, one):
    """The right list, and one more that mallory put behind it, signed by mallory."""
    mallory, keys = deployer.new_key("mallory"), deployer.directory / "keys"
    stead("key", "add", keys, f"{deployer.key}.pub", "--key", deployer.key)
    first = keys.read_text()
    theirs = deployer.directory / "theirs"
    stead("key", "add", theirs, f"{mallory}.pub", "--key", mallory)
    stead("key", "add", theirs, f"{deployer.key}.pub", "--key", mallory)
    second = "stead keys 1\n" + theirs.read_text().split("stead keys 1\n")[2]
    deployer.put(f"{FLEET}keys", first + second)
    return hostile_signed_by(deployer, mallory)


def hostile_signed_by(deployer, mallory):
    evil = deployer.sign(2, motd("evil"), key=mallory)
    deployer.store(evil)
    deployer.want("web1", evil)
    return evil, "which does not count here"


def hostile_replay(deployer, one, **members):
    """An older record, once there was a newer one."""
    two = deployer.deploy("web1", 2, motd("two"))
    deployer.wait("web1", digest=two.digest, state="converged")
    deployer.want("web1", one, **members)
    return one, "refuse"


def hostile_back(deployer, one):
    """Two steps back: one is what anybody who has the hub may take."""
    deployer.wait("web1", digest=deployer.deploy("web1", 2, motd("two")).digest, state="converged")
    deployer.wait("web1", digest=deployer.deploy("web1", 3, motd("three")).digest, state="converged")
    deployer.want("web1", one, back=True)
    return one, "refuse to go back to record 1"


def hostile_reuse(deployer, one):
    """The number of the record that runs, with another bundle that was signed too."""
    other = deployer.sign(1, motd("other"))
    deployer.store(other)
    deployer.want("web1", other)
    return other, "another one of this number was here"


def hostile_statement(deployer, one):
    """A record whose statement is about another one."""
    two, three = deployer.sign(2, motd("two")), deployer.sign(3, motd("three"))
    two.statement, two.digest, two.packed = three.statement, three.digest, three.packed
    deployer.store(two)
    deployer.want("web1", two)
    return two, "what the hub has as its statement is that of record 3"


def hostile_escape(deployer, one):
    """A name with .. and a link that leads out, under the name of what was signed."""
    good = deployer.sign(2, motd("two"))
    with io.BytesIO() as raw:
        with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for name, target in (("main.lua", ""), ("../../../etc/motd", ""), ("out", "/etc")):
                info = tarfile.TarInfo(name)
                info.type, info.linkname = (tarfile.SYMTYPE, target) if target else (tarfile.REGTYPE, "")
                tar.addfile(info)
        raw.seek(0)
        good.packed = subprocess.run(["zstd", "-c"], input=raw.getvalue(), capture_output=True, check=True).stdout
    deployer.store(good)
    deployer.want("web1", good)
    return good, "refuse the bundle: it is 'sha256:"


HOSTILE = [hostile_bytes, hostile_digest, hostile_key, hostile_lines, hostile_list, hostile_extension, hostile_replay,
           hostile_back, hostile_reuse, hostile_statement, hostile_escape]


@pytest.mark.parametrize("attack", HOSTILE, ids=lambda attack: attack.__name__)
def test_a_stolen_hub_runs_nothing(web1, deployer, attack):
    with web1.agent() as agent:
        one = deployer.deploy("web1", 1, motd("one"))
        deployer.wait("web1", digest=one.digest, state="converged")
        evil, why = attack(deployer, one)
        before = web1.read("/etc/motd")
        assert before in ("one", "two", "three")
        report = deployer.wait("web1", digest=evil.digest, state="failing")
        assert why in report["message"] and "goes on running" in report["message"]
        assert any(why in text for text in warnings(agent))
        web1.path("/etc/motd").write_text("drift")  # what ran still does
        eventually(lambda: web1.read("/etc/motd") == before, "the repair")
        assert agent.stop() == 0
    # Nor after a start, which may leave what did not run for long enough to be good.
    ran = ["one", "two", "three"].index(before)
    with web1.agent():
        assert eventually(lambda: web1.status("deploy").get("record")) in (max(ran, 1), ran + 1)
        assert web1.read("/etc/motd") in ("one", "two", "three")[max(ran - 1, 0):ran + 1]


def test_a_kept_bundle_that_was_changed_does_not_run(web1, deployer):
    with web1.agent():
        one = deployer.deploy("web1", 1, motd("one"))
        eventually(lambda: web1.status("deploy").get("good"), "it to be good")
    evil = deployer.sign(1, motd("evil"), key=deployer.new_key("mallory"))
    (web1.state / "deploy/kept/record-1.bundle").write_bytes(evil.packed)
    with web1.agent() as agent:  # gets it anew
        runs(web1, 1)
        assert "go on with record 1 of the deploys: refuse the bundle: it is 'sha256:" in warnings(agent)[0]
        assert web1.read("/etc/motd") == "one" and web1.status("deploy")["from"] == "hub"
    for main in (web1.state / "deploy/run").glob("*/main.lua"):
        main.write_text(motd("evil"))  # nothing there is believed after a restart
    with web1.agent():
        runs(web1, 1)
        assert web1.read("/etc/motd") == "one"


# --- health


@contextlib.contextmanager
def web_server(status: list[int]):
    """Answers with status[0]; its port."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status[0])
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def test_health_is_reported(web1, deployer):
    web1.add_programs()
    status = [200]
    with web_server(status) as port, web1.agent():
        one = deployer.deploy("web1", 1, motd("one") + f"""
            health "web" {{ http = "http://127.0.0.1:{port}/", interval = 0.1, passes = 2, of = 3 }}
            health "port" {{ tcp = "127.0.0.1:{port}", interval = 0.1 }}
            health "motd" {{ exec = "/bin/cat /etc/motd", interval = 0.1 }}
        """)
        deployer.wait("web1", digest=one.digest, state="converged", health="healthy")
        status[0] = 503
        deployer.wait("web1", state="converged", health="unhealthy",
                      message=f"health 'web': get 'http://127.0.0.1:{port}/': it answers with 503")
        status[0] = 200
        deployer.wait("web1", health="healthy")
        two = deployer.deploy("web1", 2, f"""
            health "port" {{ tcp = "127.0.0.1:{etcd.free_ports(1)[0]}", interval = 0.1 }}
            health "motd" {{ exec = "/bin/cat /etc/motd" }}
        """)
        # What fails first is told until more is known, and the file may have been there still when it was looked for.
        deployer.wait("web1", digest=two.digest, health="unhealthy",
                      message="health 'motd': '/bin/cat' exits with 1: /bin/cat: /etc/motd: No such file or directory")
        three = deployer.deploy("web1", 3, motd("three"))
        deployer.wait("web1", digest=three.digest, state="converged", health="unchecked")


def test_the_document_about_health(web1, deployer):
    text = (REPOSITORY / "doc/deploys.md").read_text()
    example = re.search(r"^```lua\n(health .*?)^```", text, re.DOTALL | re.MULTILINE).group(1)
    status = [200]
    with web_server(status) as port, web1.agent():
        one = deployer.deploy("web1", 1, example.replace(":8080", f":{port}").replace(":5432", f":{port}"))
        report = deployer.wait("web1", digest=one.digest, health="unhealthy")
        assert report["message"].startswith("health '")
        names = re.findall(r'health "(.*?)"', example)
        assert names == ["shop", "login", "database", "queue", "web server"]
        two = deployer.deploy("web1", 2, example.splitlines()[0].replace(":8080", f":{port}").replace("interval = 5", "interval = 0.1"))
        deployer.wait("web1", digest=two.digest, health="healthy")


@pytest.mark.parametrize("wrong, message", [
    ('{ htp = "http://x/" }', "no member 'htp', did you mean 'http'?"),
    ("{}", "say exec, http, tcp or unit"),
    ('{ exec = "a | b" }', "exec runs no shell: write { '/bin/sh', '-c', '...' }"),
    ('{ tcp = "localhost" }', "tcp is an address and a port"),
    ('{ http = "ftp://x/" }', "http is an URL that begins with"),
    ('{ tcp = "x:1", unit = "x" }', "'tcp' and 'unit' together: declare two checks"),
    ('{ unit = "x", interval = 0 }', "interval is a number of seconds from 0.1 to 3600"),
    ('{ unit = "x", passes = 3, of = 2 }', "passes is from 1 to 2"),
    ('{ unit = "x" } health "h" { unit = "y" }', "health 'h' is declared twice"),
])
def test_what_is_no_check(web1, wrong, message):
    web1.write(f'health "h" {wrong}')
    result = web1.run("check")
    assert result.code == 1 and message in result.err, result
