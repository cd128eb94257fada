"""Hosts that know each other: real agents, each below a root of its own, over a real etcd."""
import contextlib
import json
import shutil
import subprocess
import time

import pytest

import etcd
from scratch import PATIENCE, REPOSITORY, STEAD, Site, eventually

EXAMPLES = REPOSITORY / "examples/exchange"
TTL = 5  # seconds: what a killed host published is gone after so long
needs_etcd = pytest.mark.skipif(not etcd.AVAILABLE, reason="needs etcd")


@pytest.fixture
def store(tmp_path):
    server = etcd.Etcd(tmp_path / "etcd").start()
    yield server
    server.kill()


class Fleet:
    """Hosts by name; stops all agents at the end."""

    def __init__(self, directory, store):
        self.directory, self.store = directory, store
        self.stack = contextlib.ExitStack()

    def host(self, name: str, text: str | None = None, example: str | None = None) -> Site:
        (self.directory / name).mkdir(exist_ok=True)
        site = Site(self.directory / name)
        for file in EXAMPLES.glob("*.tmpl"):
            shutil.copy(file, site.directory)
        site.write(text if text is not None else (EXAMPLES / example).read_text())
        return site

    def start(self, site: Site, *arguments: str, ttl: int = TTL):
        return self.stack.enter_context(site.agent(
            "--exchange", self.store.store, "--host", site.directory.name, "--exchange-ttl", str(ttl),
            "--may-publish", "web/{host}", *arguments))


@pytest.fixture
def fleet(tmp_path, store):
    fleet = Fleet(tmp_path, store)
    with fleet.stack:
        yield fleet


def content(site: Site, name: str):
    with contextlib.suppress(FileNotFoundError):
        return site.path(name).read_text()
    return None


def values(site: Site, **members) -> tuple[str, str]:
    return "--values", str(site.write(json.dumps(members), "values.json"))


def never_worse(condition, seconds: float):
    """condition() holds all the time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert condition()
        time.sleep(0.02)


def status(site: Site) -> dict:
    return site.run("status", "--json").of("exchange")[0]


def servers(site: Site) -> list[str]:
    lines = (content(site, "/etc/web-servers.list") or "").splitlines()
    return [line.partition("# ")[2] or line for line in lines]


@needs_etcd
def test_load_balancer_follows_its_servers(fleet, record_property):
    balancer = fleet.host("lb", example="balancer.lua")
    fleet.start(balancer).wait("converged")
    webs = [fleet.host(name, example="web.lua") for name in ("web1", "web2")]
    agents = [fleet.start(web, *values(web, port=8081 + n), ttl=ttl) for n, (web, ttl) in enumerate(zip(webs, (TTL, 600)))]
    eventually(lambda: servers(balancer) == ["web1", "web2"])
    eventually(lambda: "server web2 127.0.0.1:8082 check" in content(balancer, "/etc/haproxy/haproxy.cfg"))

    begun = time.monotonic()  # a change
    webs[1].write((EXAMPLES / "web.lua").read_text().replace("port = port", "port = 9000"))
    eventually(lambda: "127.0.0.1:9000" in content(balancer, "/etc/haproxy/haproxy.cfg"))
    took = time.monotonic() - begun
    print(f"from an edit on one host to the file on another: {took * 1000:.0f} ms")
    record_property("seconds", took)

    if shutil.which("haproxy"):
        done = subprocess.run(["haproxy", "-c", "-f", balancer.path("/etc/haproxy/haproxy.cfg")], capture_output=True,
                              text=True, check=False)
        assert done.returncode == 0, done.stderr

    agents[0].process.kill()  # lost: only when its lease is over
    never_worse(lambda: "web1" in servers(balancer), 1)
    eventually(lambda: servers(balancer) == ["web2"])
    agents[0].process.wait()
    fleet.start(webs[0], *values(webs[0], port=8081))
    eventually(lambda: servers(balancer) == ["web1", "web2"])

    assert agents[1].stop() == 0  # stopped: long before its lease is over
    eventually(lambda: servers(balancer) == ["web1"])


@needs_etcd
def test_nothing_is_emptied_while_the_store_is_gone(fleet, store):
    balancer, web = fleet.host("lb", example="balancer.lua"), fleet.host("web1", example="web.lua")
    agent = fleet.start(balancer)
    fleet.start(web)
    eventually(lambda: servers(balancer) == ["web1"])
    eventually(lambda: status(balancer)["connected"])
    store.kill()
    eventually(lambda: not status(balancer)["connected"] and status(balancer)["stale"])
    assert "out of reach since" in balancer.run("status").out
    never_worse(lambda: servers(balancer) == ["web1"], TTL + 1)
    balancer.path("/etc/web-servers.list").write_text("drift\n")  # still kept
    eventually(lambda: servers(balancer) == ["web1"])
    assert agent.stop() == 0
    agent = fleet.start(balancer)  # and again from the start, with what was known
    agent.wait("converged")
    assert servers(balancer) == ["web1"]
    store.start()
    eventually(lambda: status(balancer)["connected"] and not status(balancer)["stale"])
    never_worse(lambda: servers(balancer) == ["web1"], TTL + 1)
    eventually(lambda: "web/web1@web1" in store.state("range", "stead/1/data/").stdout)
    messages = [event["message"] for event in agent.find("warning")]
    assert len([text for text in messages if "out of reach" in text]) == 1, messages
    assert [event["message"] for event in agent.find("info")] == ["exchange: the store is back"]
    assert not [text for text in messages if "is back" in text]


@needs_etcd
def test_at_most_two_of_three(fleet):
    sites = [fleet.host(name, example="worker.lua") for name in ("a", "b", "c")]
    agents = {site.directory.name: fleet.start(site, *values(site, ttl=TTL)) for site in sites}

    def working():
        return sorted(filter(None, ((content(site, "/etc/worker.on") or "").strip() for site in sites)))

    eventually(lambda: len(working()) == 2)
    never_worse(lambda: len(working()) <= 2, 1)
    eventually(lambda: sum(site.path("/etc/leader.on").exists() for site in sites) == 1)
    first = working()
    agents[first[0]].process.kill()
    agents[first[0]].process.wait()
    dead = next(site for site in sites if site.directory.name == first[0])
    shutil.rmtree(dead.root)  # its host is gone
    eventually(lambda: len(working()) == 2)
    assert first[0] not in working()


EXPORTER = """
file "/etc/hosts.d/" {{}}
file "/etc/hosts.d/{0}" {{ content = "{0}\\n", export = "*" }}
collect("file", {{ path = "/etc/hosts.d/*" }}, {{ needs = file "/etc/hosts.d/" }})
"""


@needs_etcd
def test_exported_files_are_everywhere(fleet):
    a, b = (fleet.host(name, EXPORTER.format(name)) for name in ("a", "b"))
    c = fleet.host("c", 'file "/etc/hosts.d/" {}\ncollect("file", { from = "b", path = "/etc/hosts.d/*" })')
    agents = [fleet.start(site) for site in (a, b, c)]

    def names(site):
        directory = site.path("/etc/hosts.d")
        return sorted(path.name for path in directory.iterdir()) if directory.exists() else None

    eventually(lambda: names(a) == names(b) == ["a", "b"] and names(c) == ["b"])
    b.write(EXPORTER.format("b").replace('"b\\n"', '"new\\n"'))
    eventually(lambda: content(a, "/etc/hosts.d/b") == "new\n")
    assert agents[1].stop() == 0
    eventually(lambda: names(a) == ["a"] and names(c) == [])


@needs_etcd
def test_a_host_publishes_only_what_it_may(fleet):
    site = fleet.host("a", 'exchange.publish("a/x", 1)\nexchange.publish("b/x", 1)')
    agent = fleet.start(site)
    assert agent.process.wait(PATIENCE) == 1
    assert "site.lua:2: host 'a' may not publish 'b/x': only below 'a/'" in agent.log.read_text()


@needs_etcd
def test_plan_knows_what_the_agent_knew(fleet):
    balancer, web = fleet.host("lb", example="balancer.lua"), fleet.host("web1", example="web.lua")
    agent = fleet.start(balancer)
    fleet.start(web)
    eventually(lambda: servers(balancer) == ["web1"] and "web1" in (content(balancer, "/etc/haproxy/haproxy.cfg") or ""))
    assert agent.stop() == 0
    plan = balancer.run("plan", "--detailed-exitcode")
    assert plan.code == 0 and "no exchange" not in plan.err, plan


@needs_etcd
def test_apply_reads_and_publishes_nothing(fleet, store, site):
    web = fleet.host("web1", example="web.lua")
    fleet.start(web)
    eventually(lambda: "web1@web1" in store.state("range", "stead/1/data/").stdout)
    site.write((EXAMPLES / "balancer.lua").read_text() + '\nexchange.publish(exchange.host .. "/x", 1)')
    shutil.copy(EXAMPLES / "haproxy.cfg.tmpl", site.directory)
    assert site.apply("--exchange", store.store, "--host", "lb").code == 0
    assert servers(site) == ["web1"]
    assert "lb" not in store.state("range", "stead/1/").stdout
    store.kill()
    done = site.run("apply", "--exchange", store.store)
    assert done.code == 1 and "read the exchange: " in done.err
    assert servers(site) == ["web1"]


def test_without_an_exchange(site):
    site.write('file "/etc/x" { content = exchange.host .. #std.list.keys(exchange.get("web/")) }')
    done = site.run("plan")
    assert done.code == 0
    assert "site.lua:1: no exchange: exchange.get(\"web/\") gives nothing; name a store with --exchange" in done.err


def test_one_host_over_a_file(site):
    site.write('exchange.publish(exchange.host .. "/x", 7)\n'
               'local x = exchange.get("me/x")\nfile "/etc/x" { content = tostring(x) }')
    with site.agent("--exchange", f"sqlite={site.directory}/fleet.db", "--host", "me"):
        eventually(lambda: content(site, "/etc/x") == "7")


def test_examples_have_passing_tests():
    done = subprocess.run([STEAD, "test", EXAMPLES / "exchange.test.lua"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("\nok") + done.stdout.startswith("ok") >= 4


@pytest.mark.parametrize("text, problem", [
    ('exchange.get("/web")', "words between single slashes"),
    ('exchange.get("web", { guard = 0.3 })', "end 'web' with a slash"),
    ('exchange.get("web/", { gaurd = 0.3 })', "no option 'gaurd', did you mean 'guard'?"),
    ('exchange.get("web/", { guard = 3 })', "guard is a share of the keys"),
    ('exchange.publish("web/x", nil)', "the value of 'web/x' is nil"),
    ('exchange.publish("x", secret "s")', "refuse to publish 'x': it has a secret"),
    ('exchange.publish("x", 1) exchange.publish("x", 2)', "'x' is published twice"),
    ('exchange.publsh("x", 1)', "did you mean 'exchange.publish'?"),
    ('schedule("a/b")', "it has no slashes"),
    ('schedule("a", { max = 0 })', "max is from 1 to 64"),
    ('schedule("a", { strategy = "best" })', "no strategy 'best': there are 'rr'"),
    ('schedule("a", { max = 2 }) elect("a")', "'a' is scheduled twice"),
    ('collect("fil")', "no such kind 'fil', did you mean 'file'?"),
    ('collect("file", { pth = "x" })', "no parameter 'pth', did you mean 'path'?"),
    ('file "/x" { content = secret "s", export = "*" }', "has a secret"),
])
def test_errors_have_their_line(site, text, problem):
    site.write("\n" + text)
    site.write('{"s": "hidden"}', "secrets.json")
    done = site.run("check", "--secrets", "secrets.json")
    assert done.code == 1
    assert "site.lua:2: " in done.err and problem in done.err, done.err
    assert "hidden" not in done.err


@needs_etcd
def test_lasting_values(fleet, store):
    """kv: kept, watched, handed on, and what it was before once it is gone."""
    key = "stead/1/kv/shared/x"
    assert store.state("put", key, '{"value":"before"}').returncode == 0
    a = fleet.host("a", 'kv "shared/x" { value = { n = 1 } }')
    b = fleet.host("b", 'kv "shared/x" {}\nfile "/etc/x" { content = out(kv "read", "value") }\n'
                        'kv "read" { key = "shared/y" }')
    agent = fleet.start(a, "--may-publish", "shared/")
    agent.wait("converged")
    assert store.state("get", key).stdout.strip() == '{"value":{"n":1}}'
    assert store.state("put", key, '{"value":2}').returncode == 0  # drift, seen by its event
    eventually(lambda: store.state("get", key).stdout.strip() == '{"value":{"n":1}}')
    assert store.state("put", "stead/1/kv/shared/y", '{"value":"one"}').returncode == 0
    fleet.start(b)
    eventually(lambda: content(b, "/etc/x") == "one")
    assert store.state("put", "stead/1/kv/shared/y", '{"value":"two"}').returncode == 0
    eventually(lambda: content(b, "/etc/x") == "two")
    a.write("")
    eventually(lambda: store.state("get", key).stdout.strip() == '{"value":"before"}')
    a.write('kv "b/x" { value = 1 }')
    failure = agent.wait("failed", name="b/x")
    assert "host 'a' may not publish 'b/x'" in failure["error"]
    a.write('kv "shared/z" { value = 7 }')
    plan = a.run("plan")
    assert plan.code == 0 and "shared/z" in plan.out, plan
