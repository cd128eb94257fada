"""The classic uses of the exchange on real hosts with a real hub, over a file of SQLite and over etcd: a load balancer that
follows its web servers, and a service on two of four hosts."""
import shutil
import time

import pytest

from labs import PREFIX, ROOT, kill_hub_while, lab, wait_for, write

SITE = r"""
local role = exchange.label("role")
if role == "web" then import "web" end
if role == "lb" then import "balancer" end
import "worker"
"""
# A unit of its own, which begins as it stays. Debian's would have to be restarted at its first start to listen to others,
# and an etcd that is stopped before it has written down who its cluster is never elects a leader again.
ETCD = r"""
unit "store.service" {
  settings = {
    Service = {
      Type = "notify",
      ExecStart = "/usr/bin/etcd --name store --data-dir /var/lib/store"
        .. " --listen-client-urls http://0.0.0.0:2479 --advertise-client-urls http://store:2479"
        .. " --listen-peer-urls http://127.0.0.1:2480 --initial-advertise-peer-urls http://127.0.0.1:2480"
        .. " --initial-cluster store=http://127.0.0.1:2480",
    },
  },
}
svc "store" { state = "running" }
"""
FILE = """
defaults:
  configuration: site.lua
  may-publish: ["web/{{host}}"]
  values: {{ ttl: 2 }}
  exchange-ttl: 2
hosts:
  hub: {{ hub: {hub}, configuration: }}
  lb: {{ labels: {{ role: lb }}, packages: [busybox, curl, haproxy] }}
  web[1-3]: {{ labels: {{ role: web }} }}
{more}
"""
STORE = "  store: { packages: [etcd-server], configuration: etcd.lua, join: false }\n"
HOSTS = ("lb", "web1", "web2", "web3")


class Fleet:
    def __init__(self, directory, name, file):
        self.name = f"{PREFIX}-{name}"
        for example in ("balancer.lua", "web.lua", "worker.lua", "haproxy.cfg.tmpl"):
            shutil.copy(ROOT / "examples/exchange" / example, directory)
        (directory / "site.lua").write_text(SITE)
        (directory / "etcd.lua").write_text(ETCD)
        lab("up", write(directory, name, file))

    def do(self, verb, *words, code=0):
        return lab(verb, "--lab", self.name, *words, code=code).stdout

    def at(self, host, *command):
        return self.do("exec", host, *command, code=None)

    def servers(self):
        return [line.split("# ")[1] for line in self.at("lb", "cat", "/etc/web-servers.list").splitlines()]

    def working(self, *hosts):
        """Those that have a seat, of hosts that are there."""
        return [host for host in hosts if self.at(host, "cat", "/etc/worker.on")]


@pytest.fixture(scope="module", params=["sqlite", "etcd"])
def fleet(request, tmp_path_factory):
    is_etcd = request.param == "etcd"
    if is_etcd and not shutil.which("etcd"):
        pytest.skip("needs etcd: apt install etcd-server")
    file = FILE.format(hub="etcd=http://store:2479" if is_etcd else "true", more=STORE if is_etcd else "")
    made = Fleet(tmp_path_factory.mktemp(request.param), request.param, file)
    yield made
    made.do("down", made.name)


def test_balancer_follows(fleet):
    wait_for("all servers", lambda: fleet.servers() == ["web1", "web2", "web3"])
    start = time.monotonic()
    fleet.at("web2", "systemctl", "stop", "stead-agent")
    wait_for("web2 to leave", lambda: fleet.servers() == ["web1", "web3"])
    left = time.monotonic() - start
    start = time.monotonic()
    fleet.at("web2", "systemctl", "start", "stead-agent")
    wait_for("web2 to be back", lambda: fleet.servers() == ["web1", "web2", "web3"])
    print(f"\n{fleet.name}: a server leaves the list {left:.2f} s after its agent is told to stop, is back in "
          f"{time.monotonic() - start:.2f} s, start of the agent included")
    wait_for("the balancer's own file", lambda: "server web2" in fleet.at("lb", "cat", "/etc/haproxy/haproxy.cfg"))


def test_list_survives_the_hub(fleet):
    kill_hub_while(lambda: fleet.servers() == ["web1", "web2", "web3"], fleet.name)
    fleet.at("lb", "systemctl", "restart", "stead-agent")
    end = time.monotonic() + 6  # three times as long as what is published lives without a sign of its host
    while time.monotonic() < end:
        assert fleet.servers() == ["web1", "web2", "web3"]
    fleet.do("start", "hub")
    fleet.do("kill", "web3")
    wait_for("news by way of the new hub", lambda: fleet.servers() == ["web1", "web2"])
    fleet.do("start", "web3")
    wait_for("web3 to be back", lambda: fleet.servers() == ["web1", "web2", "web3"])


def test_service_on_two_hosts_moves(fleet):
    wait_for("two that work", lambda: len(fleet.working(*HOSTS)) == 2)
    first = fleet.working(*HOSTS)[0]
    others = [host for host in HOSTS if host != first]
    start = time.monotonic()
    fleet.do("kill", first)
    wait_for("another one", lambda: len(fleet.working(*others)) == 2)
    print(f"\n{fleet.name}: what ran on {first} runs elsewhere {time.monotonic() - start:.2f} s after that died")
    fleet.do("start", first)
    # It has the mark of before on its disk until its agent knows better.
    wait_for("the two, and no more", lambda: len(working := fleet.working(*HOSTS)) == 2 and first not in working)
