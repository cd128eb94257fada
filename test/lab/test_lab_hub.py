"""A hub in a lab: hosts that join it, a network that can be cut from it, and commands of this machine beside them."""
import json
import os
import shutil
import subprocess

import pytest

from labs import DATA, PREFIX, STEAD, kill_hub_while, lab, wait_for, write

NAME = f"{PREFIX}-hub"
SITE = r"""
exchange.publish("up/" .. exchange.host, values.word)
local all = ""
for name, word in pairs(exchange.get("up/")) do all = all .. name .. "=" .. word .. "\n" end
file "/etc/all" { content = all }
"""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    directory = tmp_path_factory.mktemp("hub")
    (directory / "site.lua").write_text(SITE)
    lab("up", write(directory, "hub", """
defaults: { configuration: site.lua, values: { word: first }, may-publish: ["up/{host}"], exchange-ttl: 2 }
hosts:
  hub: { hub: true, configuration: }
  a: { labels: { role: web } }
  b:
"""))
    yield directory
    lab("down", NAME)


def at(host, *command, code=0):
    return lab("exec", "--lab", NAME, host, *command, code=code).stdout


def beside(*command, code=0):
    return lab("run", "--lab", NAME, *command, code=code).stdout


def seen_by(host):
    return at(host, "cat", "/etc/all", code=None)


def test_hosts_have_joined(fleet):
    joined = [json.loads(line) for line in beside(STEAD, "host", "list", "--json").splitlines()]
    assert sorted(host["name"] for host in joined) == ["a", "b"]


def test_hosts_know_each_other_through_the_hub(fleet):
    both = "a=first\nb=first\n"
    wait_for("both", lambda: seen_by("a") == seen_by("b") == both)


def test_what_a_dead_host_published_goes_and_comes_back(fleet):
    wait_for("both", lambda: "b=" in seen_by("a"))
    lab("kill", "--lab", NAME, "b")
    wait_for("b's part to go", lambda: seen_by("a") == "a=first\n")
    lab("start", "--lab", NAME, "b")
    wait_for("b's part to be back", lambda: "b=" in seen_by("a"))


def test_nothing_empties_while_the_hub_is_away(fleet):
    kill_hub_while(lambda: "b=" in seen_by("a"), NAME)
    at("a", "systemctl", "restart", "stead-agent")
    (fleet / "site.lua").write_text(SITE + 'file "/etc/offline" { content = "changed" }')
    wait_for("the edit", lambda: at("a", "cat", "/etc/offline", code=None) == "changed")
    assert "b=" in seen_by("a")
    lab("start", "--lab", NAME, "hub")
    lab("kill", "--lab", NAME, "b")
    wait_for("news through the new hub", lambda: seen_by("a") == "a=first\n")
    lab("start", "--lab", NAME, "b")
    wait_for("b's part to be back", lambda: "b=" in seen_by("a"))


def test_commands_beside_the_hosts(fleet):
    assert json.loads(beside("sh", "-c", 'curl -sS --cacert "$STEAD_HUB_CA" "$STEAD_HUB/healthz"'))["status"] == "ok"
    assert "10.1.0.1/24" in beside("ip", "-o", "address")
    assert beside("pwd").strip() == os.getcwd()  # files and directory are this machine's
    missing = lab("run", "--lab", NAME, "no-such-command", code=1)
    assert missing.stderr == "stead: run 'no-such-command': No such file or directory\n"
    assert lab("run", "--lab", NAME, "sh", "-c", "exit 7", code=7).stdout == ""
