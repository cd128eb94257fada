"""stead status and why, with and without an agent."""
import pytest

MIXED = """
file "/srv/right" { content = "x" }
file "/srv/nowhere/wrong" { content = "x" }
exec "after" { cmd = "true", needs = file "/srv/nowhere/wrong" }
exec "last" { cmd = "true", needs = exec "after" }
"""


@pytest.fixture(params=["agent", "ledger"])
def mixed(site, request):
    """A site in which one is right, one fails and one is blocked; the agent runs or has run."""
    site.write(MIXED)
    if request.param == "ledger":
        assert site.apply().code == 4
        yield site
        return
    with site.agent() as agent:
        agent.wait("converged")
        yield site


def test_json_tells_every_state(mixed):
    done = mixed.run("status", "--json")
    assert done.code == 4, done
    states = {e["name"]: e["state"] for e in done.of("status")}
    assert states["/srv/right"] == "ok" and states["/srv/nowhere/wrong"] == "failed"


def test_blocked_is_told_with_its_root(mixed):
    text = mixed.run("status")
    assert "blocked   exec 'after': by file '/srv/nowhere/wrong'\n" in text.out, text
    assert "blocked   exec 'last': by file '/srv/nowhere/wrong'\n" in text.out, text
    assert "1 right, 3 not" in text.out, text
    why = mixed.run("why", "exec", "last")
    assert why.code == 0 and "  blocked by file '/srv/nowhere/wrong', through exec 'after': create " in why.out, why
    assert "declare file '/srv/nowhere/'" in why.out and "declared at " in why.out, why
    cause = mixed.run("why", "exec", "last", "--json").of("why")[0]["causes"][0]
    assert cause["name"] == "file '/srv/nowhere/wrong'" and cause["through"] == ["exec 'after'"], cause


def test_blocked_no_more(site):
    """Neither what runs by now nor what has left the configuration stays blocked."""
    site.write(MIXED)
    assert site.apply().code == 4
    site.write('file "/srv/nowhere/" {}' + MIXED.replace("true", "/bin/true"))
    site.add_programs("/bin/true")
    assert site.apply().code == 0
    assert "not (" in site.run("status").out and "blocked" not in site.run("status", "--verbose").out
    site.write(MIXED.replace("/srv/nowhere", "/srv/else"))
    assert site.apply().code == 4 and "blocked" in site.run("status").out
    site.write('file "/srv/right" { content = "x" }')
    assert site.apply().code == 0
    status = site.run("status", "--verbose")
    assert status.out.startswith("ok        file '/srv/right'\n1 right, 0 not"), status


GUARDS = [
    ('creates = "/etc/passwd"', "creates: '/etc/passwd' exists"),
    ('unless = "/bin/true"', "unless (nifcmd) '/bin/true' succeeded"),
    ('onlyif = { "/bin/true", "/bin/false" }', "onlyif (ifcmd) '/bin/false' failed with exit status 1"),
    ('onlyif = "/bin/cat /etc/group", ifequals = "root:x:0:\\n"',
     "onlyif (ifcmd) '/bin/cat /etc/group' printed what ifequals says"),
    ('refreshonly = true', "refreshonly, and nothing has notified it since it ran"),
]


@pytest.mark.parametrize("guard, told", GUARDS)
def test_why_a_command_did_not_run(site, guard, told):
    site.add_programs()
    site.write(f'exec "x" {{ cmd = "/bin/true", {guard} }}')
    assert site.apply().code == 0
    why = site.run("why", "exec", "x")
    assert f"\n  did not run: {told}\n" in why.out, why
    assert site.run("why", "exec", "x", "--json").of("why")[0]["idle"] == told
    site.write('exec "x" { cmd = "/bin/true" }')
    assert site.apply().code == 0
    assert "did not run" not in site.run("why", "exec", "x").out


def test_why_keeps_what_the_command_said(site):
    """What a guard answered does not take the output of the last run away."""
    site.add_programs()
    text = ('exec "x" { cmd = "echo said; echo > /etc/done", shell = "/bin/sh", creates = "/etc/done" }\n'
            'file "/etc/%s" { content = out(exec "x", "stdout") }')
    for name in ("a", "b", "c"):
        site.write(text % name)
        assert site.apply().code == 0
        assert site.path("/etc/" + name).read_text() == "said\n"
    assert "did not run: creates: '/etc/done' exists" in site.run("why", "exec", "x").out


def test_kind_chooses_also_in_json(mixed):
    done = mixed.run("status", "--json", "--kind", "exec")
    assert {e["kind"] for e in done.of("status")} <= {"exec"}
    text = mixed.run("status", "--kind", "group")
    assert text.code == 0 and text.out.startswith("0 right, 0 not"), text


def test_why_in_json(mixed):
    done = mixed.run("why", "file", "/srv/nowhere/wrong", "--json")
    assert done.code == 0, done
    assert done.of("why")[0]["state"] == "failed" and "declare file '/srv/nowhere/'" in done.of("why")[0]["error"]
