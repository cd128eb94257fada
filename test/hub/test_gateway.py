"""Agents whose store is a hub: real agents with certificates of their own, a real hub that is killed and comes back."""
import contextlib
import signal
import time

import pytest

from fleet import Hub
from scratch import PATIENCE, Site, eventually

TTL = 4  # seconds: what a killed host published is gone after so long
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
