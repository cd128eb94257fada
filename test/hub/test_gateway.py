"""Agents whose store is a hub: real agents with certificates of their own, a real hub that is killed and comes back."""
import contextlib
import signal
import time

import pytest

import etcd
from fleet import Hub
from scratch import PATIENCE, Site, eventually

TTL = 6  # seconds: what a killed host published is gone after so long
LIST = """
local names = {}
for name in pairs(exchange.get("/")) do table.insert(names, name .. "\\n") end
table.sort(names)
file "/etc/published" { content = table.concat(names) }
"""


def publishes(key: str) -> str:
    return f'exchange.publish({key}, {{ port = 8080 }})\n'


class Fleet:
    """Joined hosts by name; ends all agents at the end."""

    def __init__(self, hub: Hub, directory):
        self.hub, self.directory = hub, directory
        self.stack = contextlib.ExitStack()

    def host(self, name: str, text: str = "") -> Site:
        (self.directory / name).mkdir()
        site = Site(self.directory / name)
        self.hub.join(name, self.state(site))
        site.write(text)
        return site

    def state(self, site: Site):
        return site.root / "var/lib/stead"

    def certificate(self, site: Site):
        return self.state(site) / "hub/certificate.pem", self.state(site) / "hub/key.pem"

    def start(self, site: Site, *arguments: str):
        return self.stack.enter_context(site.agent("--exchange-ttl", str(TTL), *arguments))

    def restart_hub(self):
        """At the same place, as a service does."""
        self.hub.options = ("--listen", f"127.0.0.1:{self.hub.port}")
        self.hub.start()


@pytest.fixture
def fleet(hub, tmp_path):
    fleet = Fleet(hub, tmp_path)
    with fleet.stack:
        yield fleet


def published(site: Site) -> list[str]:
    with contextlib.suppress(FileNotFoundError):
        return site.path("/etc/published").read_text().split()
    return []


def knows(site: Site, key: str) -> bool:
    """Whether its agent has it, and has kept that."""
    kept = site.root / "var/lib/stead/exchange.json"
    return published(site) == [key] and kept.exists() and key in kept.read_text()


def never_worse(condition, seconds: float):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert condition()
        time.sleep(0.02)


def test_agents_share_through_their_hub(fleet, hub):
    seer = fleet.host("seer", LIST)
    web = fleet.host("web1", publishes('exchange.host .. "/http"'))
    fleet.start(seer).wait("converged")
    agent = fleet.start(web)
    eventually(lambda: published(seer) == ["web1/http"])
    shown = seer.run("status", "--json").of("exchange")[0]
    assert (shown["store"], shown["host"], shown["connected"]) == ("hub", "seer", True)

    hub.stop(signal.SIGKILL)
    never_worse(lambda: published(seer) == ["web1/http"], 1)
    eventually(lambda: not seer.run("status", "--json").of("exchange")[0]["connected"])
    assert published(seer) == ["web1/http"]
    fleet.restart_hub()
    web.write(publishes('exchange.host .. "/http"') + publishes('exchange.host .. "/more"'))
    eventually(lambda: published(seer) == ["web1/http", "web1/more"])
    eventually(lambda: seer.run("status", "--json").of("exchange")[0]["connected"])

    agent.process.kill()  # lost: only when its lease is over
    begun = time.monotonic()
    agent.process.wait()
    never_worse(lambda: published(seer) != [], 1)
    eventually(lambda: published(seer) == [])
    assert time.monotonic() - begun < PATIENCE / 2


def test_seats_and_lasting_values_through_a_hub(fleet):
    text = """
local running = schedule("worker", { max = 1, ttl = 4 })
file "/etc/worker" { content = running[exchange.host] and "runs" or "rests" }
kv (exchange.host .. "/colour") { value = "green" }
file("/etc/hosts.d/" .. exchange.host) { content = exchange.host .. "\\n", export = "*" }
collect("file", { path = "/etc/hosts.d/*" })
file "/etc/hosts.d/" {}
"""
    sites = [fleet.host(name, text) for name in ("a", "b")]
    agents = [fleet.start(site) for site in sites]

    def running() -> list[bool]:
        return [site.path("/etc/worker").exists() and site.path("/etc/worker").read_text() == "runs" for site in sites]

    eventually(lambda: all(site.path(f"/etc/hosts.d/{name}").exists() for site in sites for name in ("a", "b")))
    first = eventually(lambda: (now := running()) and sum(now) == 1 and now).index(True)
    assert agents[first].stop() == 0
    eventually(lambda: running()[1 - first])
    both = {"key": "c3RlYWQvMS9rdi8=", "range_end": "c3RlYWQvMS9rdjA="}
    eventually(lambda: fleet.hub.ask("POST", "/v3/kv/range", both).json.get("count") == "2")


def test_what_a_hub_does_not_grant(fleet):
    seer = fleet.host("seer", LIST)
    web = fleet.host("web1", publishes('"web/web1"'))
    fleet.start(seer)
    agent = fleet.start(web, "--may-publish", "web/")
    said = eventually(lambda: [line for line in agent.log.read_text().splitlines() if "permission denied" in line])[0]
    assert "host 'web1' may not write 'stead/1/data/web/web1@web1': only 'data/{key}@web1', {key} being" in said
    assert published(seer) == []


def test_who_says_no_and_who_did_not_join(fleet, tmp_path):
    seer = fleet.host("seer", LIST)
    web = fleet.host("web1", publishes('exchange.host .. "/http"'))
    fleet.start(web).wait("converged")
    eventually(lambda: web.run("status", "--json").of("exchange")[0].get("published") == 1)
    assert seer.apply().code == 0 and published(seer) == ["web1/http"]
    done = seer.apply("--exchange", "none")
    assert done.code == 0 and published(seer) == [], done  # what its agent knew last: nothing
    assert seer.apply("--exchange", "hub").code == 0 and published(seer) == ["web1/http"]
    wrong = seer.apply("--host", "other")
    assert wrong.code == 1 and "--host 'other': this machine joined its hub as 'seer'" in wrong.out
    (tmp_path / "lone").mkdir()
    lone = Site(tmp_path / "lone")
    lone.write(LIST)
    refused = lone.apply("--exchange", "hub")
    assert refused.code == 1 and "--exchange hub: this machine has not joined one" in refused.out


def test_apply_without_its_hub(fleet):
    seer = fleet.host("seer", LIST)
    fleet.start(fleet.host("web1", publishes('exchange.host .. "/http"')))
    eventually(lambda: seer.apply().code == 0 and published(seer) == ["web1/http"])
    fleet.hub.stop(signal.SIGKILL)
    refused = seer.apply()  # nothing is known: nothing is emptied because of that
    assert refused.code == 1 and "read the exchange: " in refused.out, refused
    assert published(seer) == ["web1/http"]
    fleet.restart_hub()
    with seer.agent() as agent:
        agent.wait("converged")
        eventually(lambda: knows(seer, "web1/http"), "what web1 says again")
    fleet.hub.stop(signal.SIGKILL)
    seer.path("/etc/published").unlink()
    late = seer.apply()
    assert late.code == 0 and "; what the agent knew last is used" in late.out, late
    assert published(seer) == ["web1/http"]
    named = seer.apply("--exchange", "hub")
    assert named.code == 1 and "without --exchange what the agent knew last is used" in named.out
    fleet.restart_hub()


@pytest.mark.skipif(not etcd.AVAILABLE, reason="needs etcd")
def test_another_hub_takes_over(tmp_path):
    server = etcd.Etcd(tmp_path / "etcd").start()
    with contextlib.ExitStack() as stack:
        stack.callback(server.kill)
        hubs = [stack.enter_context(Hub(tmp_path / name, "--store", server.store)) for name in ("one", "two")]
        fleet = Fleet(hubs[0], tmp_path)
        stack.enter_context(fleet.stack)
        seer = fleet.host("seer", LIST)
        web = fleet.host("web1", publishes('exchange.host .. "/http"'))
        for site in (seer, web):
            (fleet.state(site) / "hub/url").write_text(",".join(hub.url for hub in hubs) + "\n")
            fleet.start(site)
        eventually(lambda: published(seer) == ["web1/http"])
        hubs[0].stop(signal.SIGKILL)
        web.write(publishes('exchange.host .. "/http"') + publishes('exchange.host .. "/more"'))
        eventually(lambda: published(seer) == ["web1/http", "web1/more"])
