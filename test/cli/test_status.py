"""stead status and why, with and without an agent."""
import pytest

MIXED = """
file "/srv/right" { content = "x" }
file "/srv/nowhere/wrong" { content = "x" }
exec "after" { cmd = "true", needs = file "/srv/nowhere/wrong" }
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


def test_kind_chooses_also_in_json(mixed):
    done = mixed.run("status", "--json", "--kind", "exec")
    assert {e["kind"] for e in done.of("status")} <= {"exec"}
    text = mixed.run("status", "--kind", "group")
    assert text.code == 0 and text.out.startswith("0 right, 0 not"), text


def test_why_in_json(mixed):
    done = mixed.run("why", "file", "/srv/nowhere/wrong", "--json")
    assert done.code == 0, done
    assert done.of("why")[0]["state"] == "failed" and "declare file '/srv/nowhere/'" in done.of("why")[0]["error"]
