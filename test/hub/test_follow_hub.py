"""Machines that joined a hub, with real agents: what is deployed there with `stead deploy` runs on them."""
import contextlib
import pathlib
import re
import signal
import subprocess

import pytest
from fleet import PATIENCE, eventually
from scratch import STEAD, Site

QUICK = "batch=2,soak=1s,timeout=60s"


class Member(Site):
    """A machine that joined, and follows."""

    def __init__(self, directory, hub, *words: str):
        directory.mkdir()
        super().__init__(directory)
        self.name, self.hub, self.state = directory.name, hub, self.root / "var/lib/stead"
        self.told = self.join(*words)

    def join(self, *words: str) -> str:
        call = self.hub.stead("token", "new", "--host", self.name, "--data", str(self.hub.data))
        done = self.hub.stead(*call.stdout.split()[1:], "--state", str(self.state), *words)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def command(self, command: str, *arguments: str, file=None) -> list[str]:
        words = super().command(command, *arguments, file=file)
        return [word for word in words if command != "agent" or word != str(self.file)]

    def motd(self) -> str | None:
        path = self.path("/etc/motd")
        return path.read_text() if path.exists() else None

    def status(self, part: str) -> dict:
        return (self.run("status", "--json").of(part) or [{}])[0]

    def runs(self, record: int, good: bool = False):
        eventually(lambda: (status := self.status("deploy")).get("record") == record and (status["good"] or not good),
                   f"record {record} to run on {self.name}")


class Operator:
    def __init__(self, directory, hub):
        self.directory, self.hub = directory, hub
        (directory / "site").mkdir(parents=True)
        self.stead("key", "new", "ada.key", data=False)
        self.public = str(directory / "ada.key.pub")

    def stead(self, *words: str, data: bool = True) -> str:
        where = ("--data", str(self.hub.data)) if data else ()
        done = subprocess.run([STEAD, *words, *where], cwd=self.directory, capture_output=True, text=True,
                              timeout=3 * PATIENCE, stdin=subprocess.DEVNULL, check=False)
        self.code = done.returncode
        return done.stdout + done.stderr

    def deploy(self, text: str, strategy: str = QUICK, **others: str) -> str:
        for name, content in {"main.lua": text, **{f"{name}.yaml": text for name, text in others.items()}}.items():
            (self.directory / "site" / name).write_text(content)
        said = self.stead("deploy", "site", "-m", "why", "--key", "ada.key", "--strategy", strategy, "--yes")
        assert self.code == 0, said
        return self.stead("deploy", "status", "--watch")


@pytest.fixture
def operator(tmp_path, hub):
    return Operator(tmp_path / "operator", hub)


def motd(text: str) -> str:
    return f'file "/etc/motd" {{ content = "{text}" }}\n'


def heard_of(hub, *names: str):
    """Until they have said something of themselves: a rollout goes past who is silent."""
    def heard() -> bool:
        alive = {row["host"] for row in hub.get("/v1/fleet").json["hosts"] if row["state"] != "silent"}
        known = {row["host"] for row in hub.get("/v1/fleet/facts").json["hosts"] if row["facts"]}
        return set(names) <= alive & known

    eventually(heard, f"what {', '.join(names)} say of themselves")


def restart(hub):
    hub.options = ("--listen", f"127.0.0.1:{hub.port}")
    hub.start()


def test_joined_machines_run_what_is_deployed(hub, operator, tmp_path):
    sites = [Member(tmp_path / name, hub, "--deploy-key", operator.public) for name in ("web1", "web10")]
    with sites[0].agent() as first, sites[1].agent():
        heard_of(hub, "web1", "web10")
        said = operator.deploy('file "/etc/motd" { content = values.motd }', values="motd: one\n")
        assert "2 hosts ('all'): 2 passed" in said
        assert [site.motd() for site in sites] == ["one", "one"]
        assert sites[0].status("hub")["host"] == "web1"
        shown = operator.stead("fleet", "why", "web1", "file", "/etc/motd")
        assert shown.splitlines()[0] == sites[0].run("why", "file", "/etc/motd").out.splitlines()[0]
        sites[0].runs(1, good=True)
        sites[1].runs(1, good=True)

        hub.stop(signal.SIGKILL)
        sites[0].path("/etc/motd").write_text("drift")
        eventually(lambda: sites[0].motd() == "one", "the repair without a hub")
        eventually(lambda: "hub: as 'web1', out of reach since " in sites[0].run("status").out)
        restart(hub)
        for site in sites:
            eventually(lambda site=site: site.status("hub").get("connected"), "the hub that is back")
        heard_of(hub, "web1", "web10")
        said = operator.deploy(motd("two"))
        assert "2 hosts ('all'): 2 passed" in said
        assert [site.motd() for site in sites] == ["two", "two"]
        shown = sites[0].run("status").out
        assert re.search(r"^deploy: record 2 \(sha256:[0-9a-f]{12}\), from the hub(, good)?: why$", shown, re.MULTILINE)
        assert re.search(r"^hub: as 'web1', connected since ", shown, re.MULTILINE)
        assert "file '/etc/motd'" in operator.stead("fleet", "drift", "--since", "1h")

        for site in sites:
            site.runs(2, good=True)
        sick = 'health "web" { tcp = "127.0.0.1:1", interval = 0.2 }\n'
        said = operator.deploy(motd("sick") + sick, strategy="batch=2,soak=5s,timeout=5s,on-failure=revert")
        assert "reverted" in said
        eventually(lambda: [site.motd() for site in sites] == ["two", "two"], "all to be back")
        sites[0].runs(2)
        assert not [event for event in first.find("warning") if "report to the hub" in event["message"]]


def test_joining_says_that_no_key_is_pinned(hub, operator, tmp_path):
    site = Member(tmp_path / "db1", hub)
    assert "no deploy will be accepted here until a key is pinned: 'stead agent pin KEY'" in site.told
    with site.agent():
        eventually(lambda: site.status("hub").get("connected"), "the hub")
        said = operator.deploy(motd("one"))
        assert "is pinned on this machine" in said and operator.code == 4
        assert site.motd() is None
    assert "a key is pinned" not in site.join("--deploy-key", operator.public)  # joining again
    with site.agent():
        eventually(lambda: site.motd() == "one", "the deploy")


def test_a_bad_deploy_ends_at_its_canary(hub, operator, tmp_path):
    sites = [Member(tmp_path / name, hub, "--deploy-key", operator.public) for name in ("db1", "web1", "web2")]
    for site in sites:
        operator.stead("host", "label", site.name, f"role={site.name[:-1]}")
    one_by_one = "batch=1,soak=0s,timeout=60s,order=name"
    with sites[0].agent(), sites[1].agent(), sites[2].agent():
        heard_of(hub, "db1", "web1", "web2")
        assert "3 hosts ('all'): 3 passed" in operator.deploy(motd("one"), strategy=one_by_one)
        assert [site.motd() for site in sites] == ["one"] * 3
        for site in sites:
            site.runs(1, good=True)  # a machine goes back only to what it has found good

        (operator.directory / "site/deploy.yaml").write_text("to: role=web\n")
        (operator.directory / "site/main.lua").write_text(motd("two") + 'exec "it breaks" { command = "false" }\n')
        plan = operator.stead("deploy", "site", "-m", "worse", "--key", "ada.key", "--strategy", one_by_one, "--yes")
        assert "web1, web2:\n  + exec 'it breaks'\n  ~ file '/etc/motd': content\n" in plan and "db1" not in plan, plan
        halted = operator.stead("deploy", "status", "--watch")
        assert operator.code == 4 and "canary 'web1' failed: " in halted, halted
        assert [site.motd() for site in sites] == ["one", "two", "one"]
        assert "web1                 failing    deploy 2" in operator.stead("fleet", "status") and operator.code == 4
        operator.stead("deploy", "revert", "-m", "it breaks")
        assert "reverted since" in operator.stead("deploy", "status", "--watch")
        assert [site.motd() for site in sites] == ["one"] * 3


def test_a_machine_with_a_file_of_its_own_reports(hub, operator, tmp_path):
    site = Member(tmp_path / "lb1", hub)
    site.write(motd("own"))
    site.command = lambda *words, **options: Site.command(site, *words, **options)
    with site.agent() as agent:
        agent.wait("converged")
        eventually(lambda: "lb1" in (said := operator.stead("fleet", "status")) and "converged" in said, "its report")
        site.path("/etc/motd").write_text("drift")
        eventually(lambda: "file '/etc/motd'" in operator.stead("fleet", "drift", "--since", "1h"), "its repair")
        assert site.status("hub")["connected"] and site.status("deploy") == {}
    assert site.motd() == "own"


def test_an_agent_goes_on_when_its_machine_joined_again(hub, operator, tmp_path):
    site = Member(tmp_path / "db1", hub, "--deploy-key", operator.public)
    assert "joined before" not in site.told
    with site.agent() as agent:
        assert "1 passed" in operator.deploy(motd("one"))
        hub.stead("host", "revoke", "db1", "--data", str(hub.data))
        eventually(lambda: not site.status("hub")["connected"], "the agent to be turned away")
        assert "an agent that runs goes on with the new certificate" in site.join()
        eventually(lambda: site.status("hub")["connected"], "the agent to go on")
        assert agent.wait("info", message="this machine joined its hub again as 'db1'")
        assert "1 passed" in operator.deploy(motd("two"))
        assert site.motd() == "two"
        assert agent.count("info", message="this machine joined its hub again as 'db1'") == 1
        site.name = "db2"  # that is another host
        site.join()
        warning = "this machine joined its hub as 'db2' and was 'db1': start its agent again, as by 'systemctl restart stead-agent'"
        assert agent.wait("warning", message=warning)


def test_a_label_that_breaks_the_configuration_is_told(hub, operator, tmp_path):
    site = Member(tmp_path / "web1", hub, "--deploy-key", operator.public)

    def says(*words: str) -> bool:
        shown = operator.stead("fleet", "status")
        return all(word in shown for word in words)

    with site.agent():
        eventually(lambda: site.status("hub").get("connected"), "the hub to be reached")
        operator.stead("host", "label", "web1", "role=web")
        role = 'local role = exchange.label("role")\nassert(role == "web", "nothing is known of " .. role)\n'
        assert "1 passed" in operator.deploy(role + motd("one"))
        operator.stead("host", "label", "web1", "role=bd")
        eventually(lambda: says("failing", "nothing is known of bd", "1 not well"), "the refusal to be told")
        assert site.motd() == "one"
        operator.stead("host", "label", "web1", "role=web")
        eventually(lambda: says("1 converged", "0 not well"), "it to be well again")


STAMP = r"""#!/usr/bin/python3
import json, os, sys
VERSION = "%s"
for line in sys.stdin:
    ask = json.loads(line)
    answer = {"id": ask["id"]}
    if ask["request"] == "describe":
        path = os.path.join(ask["root"], "etc/stamp")
        answer |= {"protocol": 1, "kind": {
            "summary": "Keep a stamp", "help": "Keeps /etc/stamp.", "example": 'stamp "it" { text = "a" }', "root": True,
            "params": [{"name": "text", "type": "string", "property": True, "help": "What it says."}],
            "predicts": "properties", "watch": "poll", "poll": 1}}
    elif ask["request"] == "observe":
        there = os.path.exists(path)
        answer["exists"] = there
        if there:
            answer["props"] = {"text": open(path).read().removesuffix(" by " + VERSION)}
    elif ask["params"].get("state") == "absent":
        os.remove(path)
    else:
        open(path, "w").write(ask["params"]["text"] + " by " + VERSION)
    print(json.dumps(answer), flush=True)
"""


def test_kinds_come_with_the_bundle(hub, operator, tmp_path):
    """Also: another version of the program, and back to the one before."""
    site = Member(tmp_path / "web1", hub, "--deploy-key", operator.public)
    program = operator.directory / "site/kinds/stamp"
    program.parent.mkdir(mode=0o755)

    def deploy(version: str, more: str = "", strategy: str = QUICK) -> str:
        program.write_text(STAMP % version)
        program.chmod(0o755)
        return operator.deploy('stamp "it" { text = "hello" }\n' + more, strategy=strategy)

    def stamped(text: str):
        stamp = site.path("/etc/stamp")
        eventually(lambda: stamp.exists() and stamp.read_text() == text, text)

    with site.agent() as agent:
        eventually(lambda: site.status("hub").get("connected"), "the hub")
        assert "1 host ('all'): 1 passed" in deploy("one")
        stamped("hello by one")
        assert "1 host ('all'): 1 passed" in deploy("two")
        stamped("hello by two")
        site.runs(2, good=True)
        sick = 'health "web" { tcp = "127.0.0.1:1", interval = 0.2 }\n'
        assert "reverted" in deploy("three", sick, "batch=1,soak=5s,timeout=5s,on-failure=revert")
        site.runs(2)
        stamped("hello by two")
    with site.agent():  # without a look at the hub: as kept on the disk
        site.path("/etc/stamp").write_text("drift")
        stamped("hello by two")
    # What has the name of one of the machine's own is refused, and what runs goes on.
    own = tmp_path / "own"
    own.mkdir(mode=0o755)
    (own / "stamp").write_text(STAMP % "its own")
    (own / "stamp").chmod(0o755)
    with site.agent("--kinds", str(own)) as agent:
        event = eventually(lambda: agent.find("error"), "the refusal")[0]
        assert "two programs have this name" in event["message"]


# The third has, on a machine that has the file, a parameter of that name.
ANEW = STAMP.replace("VERSION = ", 'NAME = "%s"\nVERSION = ').replace('"text"', "NAME").replace(
    'answer |= {"protocol"', """named = os.path.join(ask["root"], "etc/name")
        NAME = open(named).read() if VERSION == "three" and os.path.exists(named) else NAME
        answer |= {"protocol\"""")


def test_a_program_that_describes_itself_anew_comes_with_its_bundle(hub, operator, tmp_path):
    """With another parameter. One that cannot be used is refused, and what runs goes on with its process; also back."""
    site = Member(tmp_path / "web1", hub, "--deploy-key", operator.public)
    program = operator.directory / "site/kinds/stamp"
    program.parent.mkdir(mode=0o755)
    stamp, named = site.path("/etc/stamp"), site.path("/etc/name")

    def deploy(version: str, name: str, more: str = "", strategy: str = QUICK) -> str:
        program.write_text(ANEW % (name, version))
        program.chmod(0o755)
        return operator.deploy(f'stamp "it" {{ {name} = "hello" }}\n{more}', strategy=strategy)

    def processes() -> list[pathlib.Path]:
        path = bytes(site.state / "deploy/current/kinds/stamp")
        found = []
        for entry in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                found += [entry] if path in (entry / "cmdline").read_bytes().split(b"\0") else []
        return found

    def goes_on(version: str):
        """The drift is repaired, by the one process that there is."""
        stamp.write_text("drift")
        eventually(lambda: stamp.read_text() == f"hello by {version}", version)
        return eventually(lambda: len(found := processes()) == 1 and found, "one process")

    with site.agent() as agent:
        eventually(lambda: site.status("hub").get("connected"), "the hub")
        assert "1 host ('all'): 1 passed" in deploy("one", "text")
        goes_on("one")
        assert "1 host ('all'): 1 passed" in deploy("two", "says")
        kept = goes_on("two")
        for name, problem in (("other", "no parameter 'says'"), ("No Name", "understand how")):
            named.write_text(name)
            said = deploy("three", "says", f"-- {name}\n")
            assert "halted" in said and problem in said, said
            assert any(problem in event["message"] for event in agent.find("error")), problem
            assert goes_on("two") == kept
        sick = 'health "web" { tcp = "127.0.0.1:1", interval = 0.2 }\n'
        assert "reverted" in deploy("four", "more", sick, "batch=1,soak=2s,timeout=2s,on-failure=revert")
        goes_on("two")
