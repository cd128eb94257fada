"""Deploys through a real hub over a real etcd, to hosts that are simulated in it."""
import json
import os
import pathlib
import re
import subprocess

import etcd as real_etcd
import pages
import pytest
from fleet import Hub, next_event
from hosts import FLEET, Hosts
from scratch import PATIENCE, STEAD, eventually

pytestmark = pytest.mark.skipif(not real_etcd.AVAILABLE, reason="needs etcd: install etcd-server")

QUICK = "batch=1,soak=0s,timeout=60s"
QUICK_SETTINGS = f"strategy: {QUICK}\n"
GOOD = 'file "/etc/motd" { content = "one\\n" }\nif facts.os.name == "debian" then pkg "nginx" {} end\n'


class Site:
    """A hub, its operator's key and directory, and three hosts."""

    def __init__(self, directory, hub, hosts):
        self.directory, self.hub, self.hosts = directory, hub, hosts
        self.site = directory / "site"
        self.site.mkdir()
        self.write(GOOD)
        assert self.stead("key", "new", "ada.key", hub=False).returncode == 0

    def write(self, text: str, name: str = "main.lua"):
        (self.site / name).write_text(text)

    def stead(self, *words: str, hub: bool = True) -> subprocess.CompletedProcess:
        where = ("--data", str(self.hub.data)) if hub and words[0] != "bundle" else ()
        return subprocess.run([STEAD, *words, *where], cwd=self.directory, capture_output=True, text=True, timeout=2 * PATIENCE,
                              stdin=subprocess.DEVNULL, check=False)

    def good(self, *words: str) -> str:
        done = self.stead(*words)
        assert done.returncode == 0, done
        return done.stdout

    def deploy(self, why: str, *words: str) -> subprocess.CompletedProcess:
        return self.stead("deploy", "site", "-m", why, "--key", "ada.key", "--yes", *words)

    def json(self, *words: str) -> list[dict]:
        return [json.loads(line) for line in self.stead(*words, "--json").stdout.splitlines()]

    def phase(self) -> str:
        rollout = self.hub.get("/v1/rollout").json
        return "next" if "next" in rollout else rollout["phase"]


@pytest.fixture
def etcd(tmp_path):
    directory = tmp_path / "etcd"
    directory.mkdir()
    running = real_etcd.Etcd(directory)
    try:
        yield running.start()
    finally:
        running.kill()


@pytest.fixture
def site(tmp_path, etcd):
    with Hub(tmp_path / "hub", "--store", etcd.store) as hub:
        for name, labels in ("db1", ["role=db"]), ("web1", ["role=web", "site=ams1"]), ("web2", ["role=web"]):
            extra = [word for label in labels for word in ("--label", label)]
            call = hub.stead("token", "new", "--host", name, "--may-publish", "lb/", *extra, "--data", str(hub.data))
            assert hub.stead(*call.stdout.split()[1:], "--state", str(tmp_path / name)).returncode == 0
        facts = {name: {"hostname": name, "os": {"name": "debian" if name != "db1" else "arch"}} for name in
                 ("db1", "web1", "web2")}
        with Hosts(etcd.url, facts) as hosts:
            yield Site(tmp_path, hub, hosts)


def test_good_bad_revert(site):
    first = site.deploy("the first one", "--strategy", QUICK)
    assert first.returncode == 0, first
    assert "db1:\n  + file '/etc/motd'\nweb1, web2:\n  + file '/etc/motd'\n  + pkg 'nginx'\n" in first.stdout, first.stdout
    assert "'ada.key' is the first: keep it safe" in first.stdout and "published deploy 1;" in first.stdout
    watched = site.good("deploy", "status", "--watch")
    assert "deploy 1 canary: the first one" in watched and "3 hosts ('all'): 3 passed" in watched, watched
    assert "3 hosts: 3 converged, 0 silent, 0 not well" in site.good("fleet", "status")

    # Bad: it ends at the first, and goes back when told to.
    site.write(GOOD.replace("one", "two"))
    site.write("to: role=web\nstrategy: " + QUICK + "\n", "deploy.yaml")
    name = site.stead("bundle", "pack", "site", "-o", "x.bundle").stdout.split()[0]
    site.hosts.bad.add(name.removeprefix("sha256:"))
    second = site.deploy("a new motd")
    assert "web1, web2:\n  ~ file '/etc/motd': content\n" in second.stdout and "db1" not in second.stdout, second
    halted = site.stead("deploy", "status", "--watch")
    assert halted.returncode == 4, halted
    assert ": canary 'web" in halted.stdout and "it does not work" in halted.stdout, halted.stdout
    assert sorted(digest in site.hosts.bad for digest in site.hosts.running.values()) == [False, False, True]
    failing = site.stead("fleet", "status", "role=web")
    assert failing.returncode == 4 and "failing    deploy 2, since" in failing.stdout, failing
    assert "say why with -m" in site.stead("deploy", "revert").stderr
    site.good("deploy", "revert", "-m", "it is bad")
    reverted = site.stead("deploy", "status", "--watch")
    assert reverted.returncode == 4 and "reverted since" in reverted.stdout, reverted
    assert len(set(site.hosts.running.values())) == 1 and not site.hosts.bad & set(site.hosts.running.values())

    # What was reverted stays away until it is forgiven.
    assert "  its bundle was reverted: 'stead deploy forgive 2' lets it be deployed again\n" in site.good("deploy", "show", "2")
    again = site.deploy("again")
    forgive = f"was reverted before; 'stead deploy forgive {name}' lets it be deployed again"
    assert again.returncode == 1 and forgive in again.stderr, again
    site.hosts.bad.clear()
    assert f"{name} may be deployed again" in site.good("deploy", "forgive", "2")
    assert site.deploy("again").returncode == 0
    site.good("deploy", "status", "--watch")
    history = site.good("deploy", "history").splitlines()
    assert [line.split()[0] for line in history] == ["3", "2", "1"]
    assert " reverted by token:first-admin: a new motd" in history[1] and " done by " in history[0], history
    assert name in site.good("deploy", "show", "2")
    difference = site.good("deploy", "diff", "1", "3")
    assert "-file \"/etc/motd\" { content = \"one\\n\" }\n+file \"/etc/motd\" { content = \"two\\n\" }" in difference
    assert "add deploy.yaml" in difference
    assert site.good("deploy", "diff", "1", "3", "--host", "db1") == "db1:\n  ~ file '/etc/motd': content\n"
    actions = [record["action"] for record in site.hub.get("/v1/audit").json["records"]]
    for action in "keys.set", "bundle.upload", "deploy.publish", "rollout.revert", "bundle.forgive":
        assert action in actions


def test_what_is_wrong_is_not_published(site):
    site.write('file "/etc/motd" { contents = "x" }\nif facts.os.name == "arch" then error("not here") end\n')
    refused = site.deploy("x")
    assert refused.returncode == 1, refused
    assert "site/main.lua:1" in refused.stderr and "on db1, web1, web2" in refused.stderr, refused.stderr
    site.write('if facts.os.name == "arch" then error("not here") end\n')
    refused = site.deploy("x")
    assert refused.returncode == 1 and "not here" in refused.stderr and "\n  on db1\n" in refused.stderr, refused.stderr
    assert site.deploy("x", "--to", "role=web").returncode == 0
    asked = site.stead("deploy", "site", "-m", "x", "--key", "ada.key", "--to", "role=web")
    assert asked.returncode == 1 and "say --yes" in asked.stderr
    site.good("key", "new", "bob.key")
    other = site.stead("deploy", "site", "-m", "x", "--key", "bob.key", "--yes", "--to", "role=web")
    assert other.returncode == 1 and "sign with 'bob.key': " in other.stderr, other.stderr
    site.write('file "/etc/motd" { content = values.motd .. secret "hash" }\n')
    assert "values.motd" in site.deploy("x", "--to", "role=web").stderr
    site.write("motd: hello\n", "../values.yaml")
    valued = site.deploy("x", "--to", "role=web", "--values", "values.yaml")
    assert valued.returncode == 0 and "web1, web2:\n  + file '/etc/motd'\n" in valued.stdout, valued
    site.write("motd: other\n", "values.yaml")
    [plan] = [event for event in site.json("deploy", "diff", "1", "1", "--host", "web1") if event["event"] == "plan"]
    assert plan["groups"] == [{"changes": [], "hosts": ["web1"]}], plan
    other = site.deploy("x", "--to", "role=web")
    assert other.returncode == 0, other
    site.write("motd: [\n", "values.yaml")
    assert "site/values.yaml:" in site.deploy("x", "--to", "role=web").stderr
    (site.site / "values.yaml").unlink()
    site.write("whom: all\n", "deploy.yaml")
    assert "site/deploy.yaml:1: 'whom' is not known there: write 'to' and 'strategy'" in site.deploy("x").stderr
    site.write("to: all\nstrategy: batch=0\n", "deploy.yaml")
    assert "site/deploy.yaml:2: read the strategy: option 1: read 'batch=0'" in site.deploy("x").stderr
    site.write("strategy: batch=1\nto: role=\n", "deploy.yaml")
    assert "site/deploy.yaml:2: read the selector 'role='" in site.deploy("x").stderr
    assert "--to: read the selector 'web='" in site.deploy("x", "--to", "web=").stderr
    site.write("{strategy: batch=0}\n", "deploy.yaml")
    assert "site/deploy.yaml: read the strategy" in site.deploy("x").stderr
    assert "--strategy: read the strategy" in site.deploy("x", "--strategy", "soak=1").stderr
    assert "stead deploy: no such verb 'stats', did you mean 'status'?" in site.stead("deploy", "stats").stderr
    assert "possible now: " in site.stead("deploy", "resume").stderr


def test_the_slower_of_two_is_told(site):
    """The other one publishes between our plan and ours: a record of the same number."""
    assert site.deploy("first", "--strategy", QUICK).returncode == 0
    statement = site.hub.get("/v1/deploys/1").json["statement"]
    again = site.hub.ask("POST", "/v1/deploys", {"statement": statement, "to": "all", "strategy": QUICK})
    assert again.status == 201  # the same statement is the same deploy
    site.write(GOOD + "-- more\n")
    site.good("bundle", "pack", "site", "-o", "x.bundle")
    site.good("bundle", "sign", "x.bundle", "--key", "ada.key", "--record", "1", "--message", "mine")
    name = site.good("bundle", "show", "x.bundle").split()[0]
    sent = site.hub.ask("PUT", f"/v1/bundles/{name}", (site.directory / "x.bundle").read_bytes())
    assert sent.status == 201, sent
    late = site.hub.ask("POST", "/v1/deploys", {"statement": (site.directory / "x.bundle.signed").read_text()})
    assert late.status == 409 and "'token:first-admin' was faster with bundle" in late.json["error"], late
    wrong = site.hub.ask("PUT", "/v1/bundles/sha256:" + "0" * 64, (site.directory / "x.bundle").read_bytes())
    assert wrong.status == 400 and wrong.json["hint"] == "nothing of it was kept", wrong
    fetched = site.hub.get(f"/v1/bundles/{name}")
    assert fetched.status == 200 and fetched.body == (site.directory / "x.bundle").read_bytes()
    assert site.hub.get("/v1/bundles/sha256:" + "0" * 64).status == 404


def test_orders_and_events(site):
    stream = site.hub.listen()
    assert site.deploy("first", "--strategy", "batch=1,soak=30m,timeout=1h").returncode == 0
    events = []
    while not {"deploy", "rollout", "stage"} <= {event["event"] for event in events}:
        events.append(next_event(stream))
    stream.close()
    assert all("statement" not in event["data"]["value"] for event in events)
    eventually(lambda: site.phase() == "canary")
    for order, phase in (("pause", "paused"), ("resume", "canary"), ("abort", "aborted")):
        site.good("deploy", order, "-m", "I say so")
        assert site.phase() == phase
    assert "aborted since" in site.stead("deploy", "status").stdout
    refused = site.hub.ask("POST", "/v1/rollout/stop", {})
    assert refused.status == 404 and refused.json["hint"] == "there are pause, resume, abort and revert"
    metrics = site.hub.get("/metrics").body.decode()
    assert 'stead_hub_rollout_phase{phase="aborted"} 1\n' in metrics and "stead_hub_rollout_record 1\n" in metrics
    assert 'stead_hub_hosts{state="converged"} 3\n' in metrics


def test_reports(site):
    now = site.hosts.store
    now.put(f"{FLEET}drift/web1/1700000000000000", {"time": 1, "resource": "file '/etc/motd'", "what": "content"})
    now.put(f"{FLEET}drift/db1/1700000500000000", {"time": 1, "resource": "svc 'db'", "what": "restarted"})
    drift = site.good("fleet", "drift").splitlines()
    assert drift[0].endswith(" web1 file '/etc/motd': content") and drift[1].endswith(" db1 svc 'db': restarted")
    assert drift[2] == "2 repairs"
    assert site.good("fleet", "drift", "role=web").splitlines()[-1] == "1 repair"
    assert [event["at"] for event in site.json("fleet", "drift")] == [1700000000000000, 1700000500000000]
    assert site.good("fleet", "drift", "--since", "1h") == "0 repairs\n"
    assert site.good("fleet", "facts", "--fact", "os.name") == "db1 arch\nweb1 debian\nweb2 debian\n"
    now.put(f"{FLEET}facts/db1", {"facts": {"os": {"name": "arch", "kind": "rolling"}}})
    eventually(lambda: "rolling" in site.good("fleet", "facts", "db1"))
    assert site.good("fleet", "facts", "site=ams1", "--fact", "os.kind") == "web1 (none)\n"
    [web1] = site.json("fleet", "facts", "web1")
    assert web1["facts"]["os"] == {"name": "debian"} and web1["grants"] == ["lb/"]
    assert site.good("fleet", "why", "web1", "file", "/etc/motd") == "file /etc/motd is as it shall be\n"
    refused = site.stead("fleet", "why", "web1", "file", "none")
    assert refused.returncode == 1 and "web1: there is no such resource" in refused.stderr
    assert "no host 'web9'" in site.stead("fleet", "why", "web9", "file", "x").stderr
    targets = site.hub.get("/v1/sd?selector=role%3Dweb&port=9100").json
    assert [target["targets"] for target in targets] == [["web1:9100"], ["web2:9100"]]
    assert targets[0]["labels"]["__meta_stead_label_site"] == "ams1"
    assert targets[0]["labels"]["__meta_stead_state"] == "converged"
    now.delete(f"{FLEET}reported/web2")
    silent = eventually(lambda: next((done for done in [site.stead("fleet", "status")] if done.returncode == 4), None))
    assert re.search(r"web2 +silent +since [-0-9]{10} [:0-9]{8}, last ran no deploy\n", silent.stdout), silent
    assert "nothing is heard of 'web2'" in site.stead("fleet", "why", "web2", "file", "x").stderr
    quiet = site.stead("fleet", "status", "--quiet").stdout
    assert "web2" in quiet and "web1" not in quiet
    assert "as in 'role=web and site=ams1'" in site.stead("fleet", "status", "role=").stderr


def test_what_failed_and_how_to_go_on(site):
    """A rollout that halts: who failed with what text, who is silent and ran what, and the commands that go on."""
    store = site.hosts.store
    store.put(f"{FLEET}reported/web2", {"digest": "", "state": "converging"})
    eventually(lambda: site.json("fleet", "status", "web2")[0]["state"] == "converging")
    assert site.good("fleet", "status").splitlines()[2:] == [
        "web2                 idle       nothing is deployed to it yet", "3 hosts: 2 converged, 0 silent, 0 not well, 1 idle"]
    site.hosts.report("web2")
    assert site.deploy("one", "--strategy", QUICK).returncode == 0
    site.good("deploy", "status", "--watch")
    site.write(GOOD.replace("one", "two"))
    name = site.stead("bundle", "pack", "site", "-o", "x.bundle").stdout.split()[0]
    digest = name.removeprefix("sha256:")
    site.hosts.sick[digest] = "http://shop/: status 500"
    with site.hosts.turns:  # the first has it when it is told to: the timeout begins then
        site.hosts.running["db1"] = digest
        site.hosts.report("db1")
        assert site.deploy("two", "--strategy", "batch=1,soak=0s,timeout=1s,order=name").returncode == 0
        eventually(lambda: store.range(f"{FLEET}desired/")["db1"]["digest"] == digest)
    halted = site.stead("deploy", "status", "--watch")
    failed = "db1 failed: its health checks did not hold before the timeout: http://shop/: status 500"
    assert halted.returncode == 4 and failed in halted.stdout, halted
    assert re.search(r"\nnext: stead deploy resume +tries .*\n +stead deploy revert -m \"why\" +takes .*\n"
                     r" +stead deploy abort -m \"why\" +ends", halted.stdout), halted.stdout

    metrics = site.hub.get("/metrics").body.decode()
    assert "\nstead_hub_hosts_unhealthy 1\n" in metrics and 'stead_hub_hosts{state="converged"} 3\n' in metrics, metrics

    # What is meant for a host and what it runs: one that falls silent after it was told.
    store.put(f"{FLEET}run/db1", {"time": 1700000000, "digest": store.range(f"{FLEET}desired/")["web1"]["digest"]})
    store.delete(f"{FLEET}reported/db1")
    eventually(lambda: site.json("fleet", "status", "db1")[0]["state"] == "silent")
    lines = site.stead("fleet", "status").stdout.splitlines()
    assert re.fullmatch(r"db1 +silent +since [-:0-9 ]{19}, last ran deploy 1; deploy 2 waits for it; the rollout gave it up: its h.*",
                        lines[0]), lines
    assert lines[3] == "3 hosts: 2 converged, 1 silent, 0 not well", lines
    assert lines[4] == "deploy 2 has halted: 'stead deploy status' tells why, and how it can go on", lines
    site.hosts.report("db1")
    eventually(lambda: site.json("fleet", "status", "db1")[0]["state"] == "converged")
    lines = site.stead("fleet", "status").stdout.splitlines()
    assert re.fullmatch(r"db1 +converged +deploy 2, unhealthy, since .*: its health .*: http://shop/: status 500", lines[0]), lines
    assert lines[3] == "3 hosts: 2 converged, 0 silent, 1 not well", lines

    # On its way, which is neither well nor not.
    store.put(f"{FLEET}reported/web1", {"digest": "", "state": "converging"})
    eventually(lambda: site.json("fleet", "status", "web1")[0]["state"] == "converging")
    lines = site.stead("fleet", "status").stdout.splitlines()
    assert lines[1] == "web1                 converging deploy 1 to come", lines
    assert lines[3] == "3 hosts: 1 converged, 0 silent, 1 not well, 1 converging", lines

    # The same bundle again: not without a word.
    again = site.stead("deploy", "site", "-m", "again", "--key", "ada.key")
    assert again.returncode == 1 and "say --yes" in again.stderr, again
    assert f"warning: deploy 2 of this same bundle has halted: canary '{failed[:3]}' failed: " \
        in again.stderr and "status 500; once that is mended, 'stead deploy resume' goes on with it" in again.stderr, again
    assert "[" not in again.stdout and "deploy 3 of " in again.stdout

    site.good("deploy", "revert", "-m", "it is bad")
    reverted = eventually(lambda: next((done for done in [site.stead("deploy", "status")] if "reverted since" in done.stdout), None))
    assert "next: stead deploy forgive 2 " in reverted.stdout, reverted


def test_names_that_mean_nobody_are_refused(site):
    """A typo in a selector is not an empty fleet that is well."""
    for selector, expected in (
            ("typo=x", "no host has a label or fact 'typo'; there are hostname, os, os.name, role, site"),
            ("rloe=web", "no host has a label or fact 'rloe', did you mean 'role'?"),
            ("name=debian", "no host has a label or fact 'name', did you mean 'os.name'?"),
            ("all and not (sitee=ams1 or all)", "no host has a label or fact 'sitee', did you mean 'site'?"),
            ("role=wbe", "no host has role=wbe, did you mean 'web'?"),
            ("web9", "no host 'web9', did you mean "),
            ("host=wbe1", "no host 'wbe1', did you mean 'web1'?"),
            ("role=web and role=db", "no host is 'role=web and role=db'; 'stead host list' shows names"),
            ("x*", "no host is 'x*'")):
        for verb in "status", "facts", "drift":
            done = site.stead("fleet", verb, selector)
            assert done.returncode == 1 and done.stdout == "" and f"stead: {expected}" in done.stderr, done
    assert site.good("fleet", "drift", "role=web") == "0 repairs\n"
    done = site.stead("deploy", "site", "-m", "x", "--key", "ada.key", "--strategy", "by=rloe")
    assert "the strategy has 'by=rloe', but no host has a label or fact 'rloe', did you mean 'role'?" in done.stderr, done
    done = site.stead("deploy", "site", "-m", "x", "--key", "ada.key", "--strategy", "by=os.name")
    assert "by=" not in done.stderr, done
    for fact, expected in (("typo", "no host has a fact 'typo'; there are hostname, os, os.name"),
                           ("os.nmae", "no host has a fact 'os.nmae', did you mean 'os.name'?"),
                           ("role", "no host has a fact 'role'; there are ")):  # that is a label
        done = site.stead("fleet", "facts", "--fact", fact)
        assert done.returncode == 1 and done.stdout == "" and f"stead: {expected}" in done.stderr, done


def test_quiet_prints_the_number_alone(site):
    """And errors and warnings; who has to be asked sees what about."""
    assert site.good("deploy", "site", "-m", "one", "--key", "ada.key", "--strategy", QUICK, "--yes", "-q") == "1\n"
    assert "deploy 1 canary" not in site.good("deploy", "status", "--watch", "-q")
    asked = site.stead("deploy", "site", "-m", "x", "--key", "ada.key", "-q")
    assert asked.returncode == 1 and "the same as before" in asked.stdout, asked
    site.write(GOOD.replace("one", "two"))
    assert site.stead("deploy", "site", "--sign-only", "-m", "two", "--key", "ada.key", "-q").stdout.splitlines()[-1] == "2"
    assert site.good("deploy", "revert", "-m", "why", "-q") == ""


def test_history_has_so_many(site):
    """Also while the newest has not been begun with; what was superseded by another after a halt stays halted."""
    for number in range(1, 4):
        site.write(GOOD + f"-- {number}\n")
        assert site.deploy(f"number {number}", "--strategy", "batch=1,soak=30m,timeout=1h").returncode == 0
        history = site.good("deploy", "history", "--limit", "2").splitlines()
        assert [line.split()[0] for line in history] == [str(one) for one in (number, number - 1) if one > 0], history


def test_a_plan_of_what_is_absent(site):
    """A sign says what becomes of the machine: what is declared absent is taken away."""
    site.write('file "/a" { state = "absent" }\nfile "/b" {}\nfile "/c" { state = "absent" }\npkg "nginx" { state = "purged" }\n')
    first = site.deploy("one", "--strategy", QUICK)
    assert "\n  - file '/a': absent\n  + file '/b'\n  - file '/c': absent\n  - pkg 'nginx': absent\n" in first.stdout, first.stdout
    site.good("deploy", "status", "--watch")
    site.write('file "/a" {}\nfile "/b" { state = "absent" }\n')
    second = site.deploy("two", "--strategy", QUICK)
    assert ("\n  + file '/a': state\n  - file '/b': absent\n    file '/c': may exist again\n"
            "    pkg 'nginx': may exist again\n") in second.stdout, second.stdout


def test_labels_and_what_is_forgotten(site):
    assert site.good("host", "label", "web1", "role=db", "site-") == "labels: role=db\nmay publish: its own name, lb/\n"
    assert site.good("host", "grant", "web1", "dns/", "lb/-").splitlines()[1] == "may publish: its own name, dns/"
    assert "read the label 'a b'" in site.stead("host", "label", "web1", "a b=c").stderr
    assert "write a label as NAME=TEXT" in site.stead("host", "label", "web1", "role").stderr
    eventually(lambda: len(site.json("fleet", "status", "role=db")) == 2)
    assert site.hosts.store.range(f"{FLEET}member/")["web1"] == {"grants": ["dns/"], "labels": {"role": "db"}}
    assert site.deploy("first", "--strategy", QUICK).returncode == 0
    site.good("deploy", "status", "--watch")
    site.hosts.store.put(f"{FLEET}drift/web1/1700000000000000", {"resource": "x", "what": "y"})
    with site.hosts.turns:
        del site.hosts.running["web1"]
    site.good("host", "revoke", "web1")
    assert not [key for key in site.hosts.store.keys(FLEET) if "web1" in key]
    assert "'web1' was revoked" in site.stead("host", "label", "web1", "a=b").stderr


def test_another_hub_goes_on(site, etcd, tmp_path):
    with Hub(tmp_path / "other", "--store", etcd.store) as other:
        assert (other.data / "name").read_text() != (site.hub.data / "name").read_text()
        with site.hosts.turns:  # it is not further when the hub ends
            assert site.deploy("first", "--strategy", "batch=1,soak=1s,timeout=60s").returncode == 0
            eventually(lambda: site.phase() == "canary")
            site.hub.stop(9)
        token = site.hub.token
        eventually(lambda: other.get("/v1/rollout", token=token).json["phase"] == "done")
        assert len(set(site.hosts.running.values())) == 1


def test_killed_at_every_step(site):
    """kill -9 of the hub whenever it has decided something: the next one goes on, and decides nothing twice."""
    assert site.deploy("first", "--strategy", "batch=1,soak=0s,timeout=60s").returncode == 0
    site.good("deploy", "status", "--watch")
    site.write(GOOD.replace("one", "two"))
    seen, kills = len(site.hub.get("/v1/rollout?after=0").json["log"]), 0
    first = seen
    assert site.deploy("second", "--strategy", "batch=1,soak=0s,timeout=60s").returncode == 0
    with site.hosts.turns:  # one at a time, and none of them before the kill
        while site.phase() != "done":
            log = site.hub.get("/v1/rollout?after=0").json["log"]
            if len(log) > seen:
                seen, kills = len(log), kills + 1
                site.hub.stop(9)
                site.hub.start()
            site.hosts.turn()
    log = site.hub.get("/v1/rollout?after=0").json["log"][first:]
    decisions = [(one.get("host"), one["what"]) for one in log]
    assert kills >= 3 and len(decisions) == len(set(decisions)), (kills, log)
    assert len(set(site.hosts.running.values())) == 1 and log[-1]["record"] == 2


def test_page_is_true(site):
    """Runs the console blocks of doc/deploys.md: what the page shows is what comes."""
    commands = pages.console("deploys.md")
    assert len(commands) > 15
    script = site.directory / "bin/stead"
    script.parent.mkdir()
    script.symlink_to(pathlib.Path(STEAD).resolve())
    data = site.hub.data
    environment = dict(os.environ, PATH=f"{script.parent}:{os.environ['PATH']}", STEAD_HUB=site.hub.url,
                       STEAD_HUB_CA=str(data / "ca.pem"), STEAD_HUB_TOKEN_FILE=str(data / "admin-token"),
                       GIT_CONFIG_GLOBAL="/dev/null", **{f"GIT_{who}_{what}": "ada@example.org" for who in
                                                         ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")})
    for host in "web1", "web2":
        site.good("host", "label", host, "site-")
        site.good("host", "grant", host, "lb/-")
    site.write(QUICK_SETTINGS, "deploy.yaml")
    site.write('file "/etc/motd" { content = "one\\n" }\n')
    for command, expected in commands:
        if command.startswith("export "):
            name, value = command.removeprefix("export ").split("=")
            environment[name] = value
            continue
        if command.startswith("echo "):  # what all hosts fail with
            subprocess.run(["bash", "-c", command], cwd=site.directory, check=True)
            packed = site.stead("bundle", "pack", "site", "-o", "x.bundle").stdout.split()[0]
            site.hosts.bad.add(packed.removeprefix("sha256:"))
            continue
        done = subprocess.run(["bash", "-c", command], cwd=site.directory, env=environment, capture_output=True, text=True,
                              timeout=2 * PATIENCE, stdin=subprocess.DEVNULL, check=False)
        shown = done.stdout + (done.stderr if done.returncode == 1 else "")
        assert re.fullmatch(pages.as_pattern(expected), shown), f"{command}\n{done.stdout}{done.stderr}"


def test_a_deploy_for_nobody_says_so_and_is_not_waited_for(site):
    done = site.deploy("a slip", "--to", "role=wbe")
    assert done.returncode == 0 and "warning: no host is 'role=wbe' now" in done.stderr, done
    assert "; no host has role=wbe, did you mean 'web'?" in done.stderr, done
    assert "0 hosts ('role=wbe'): there are none" in site.good("deploy", "status", "--watch")


def test_a_second_key_after_the_first_deploy(site):
    """The list that the first deploy gives the hub is the one that `key add` begins with."""
    for name in "cy", "bob":
        site.good("key", "new", f"{name}.key", "--comment", f"{name} of the operators")
    assert site.deploy("one", "--key", "cy.key").returncode == 0
    site.good("key", "add", "keys", "bob.key.pub", "--key", "cy.key")
    assert "list 2, 2 keys" in site.good("key", "publish", "keys")

    site.good("key", "new", "eve.key")
    site.good("key", "add", "others", "eve.key.pub", "--key", "bob.key")
    refused = site.stead("key", "publish", "others")
    assert refused.returncode == 1 and "'stead key fetch FILE' writes the list of the hub" in refused.stderr, refused
    refused = site.stead("key", "fetch", "others")
    assert refused.returncode == 1 and "fetch the keys of the hub: refuse the list of keys 2" in refused.stderr, refused
    assert "name a new file" in site.stead("key", "fetch", "cy.key.pub").stderr
    site.good("key", "fetch", "fetched")
    assert (site.directory / "fetched").read_text() == (site.directory / "keys").read_text()
    site.good("key", "retire", "fetched", "cy.key.pub", "--record", "1", "--key", "bob.key")
    assert "list 3, 2 keys" in site.good("key", "publish", "fetched")
    site.good("key", "fetch", "keys")
    assert "list 3" in site.good("key", "show", "keys")
