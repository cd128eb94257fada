"""A host that joined and lies: what it says reaches the terminals of people, and the hub, as text only."""
import json
import subprocess

import pytest

from etcd_words import Gateway
from fleet import Hub
from scratch import STEAD, eventually

FLEET = "stead/1/fleet/"
ROUTES = ("/v1/fleet", "/v1/fleet?selector=os.name%3Ddebian", "/v1/fleet/facts", "/v1/fleet/drift", "/v1/sd", "/v1/rollout",
          "/v1/hosts", "/v1/hosts/web1", "/v1/deploys", "/v1/audit", "/v1/tokens")
EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e\r\nstead: all is well"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    directory = tmp_path_factory.mktemp("hostile")
    with Hub(directory / "hub") as hub:
        web1 = Gateway(hub, *hub.join("web1", directory / "web1"))
        web1.lease = web1.grant(600)
        yield hub, web1
        web1.close()


def say(web1, key: str, value):
    text = value if isinstance(value, str) else json.dumps(value)
    assert web1.put(FLEET + key, text, web1.lease)[0] == 200, key


def report(**members) -> dict:
    return {"digest": "", "state": "failing", "health": "unchecked", "since": 1700000000, **members}


def test_what_a_host_says_drives_no_terminal(world):
    hub, web1 = world
    say(web1, "reported/web1", report(message=EVIL))
    say(web1, "drift/web1/1700000000000000", {"resource": EVIL, "what": EVIL})
    say(web1, "facts/web1", {"facts": {"hostname": EVIL, EVIL: 1}})
    eventually(lambda: all("owned" in hub.get(f"/v1/fleet{part}").body.decode() for part in ("", "/facts", "/drift")))
    for words in (("fleet", "status"), ("fleet", "drift"), ("fleet", "facts", "--fact", "hostname"), ("fleet", "facts")):
        done = subprocess.run([STEAD, *words, "--data", hub.data], capture_output=True, check=False)
        text = (done.stdout + done.stderr).decode()
        assert "owned" in text, (words, text)
        assert not [c for c in text if c != "\n" and not c.isprintable()], (words, text)
        assert not [line for line in text.splitlines() if line.startswith("stead: all is well")], (words, text)
    status = subprocess.run([STEAD, "fleet", "status", "--data", hub.data], capture_output=True, text=True, check=False).stdout
    assert "failing    no deploy, since " in status and "\\x1b]0;owned\\x07\\x1b[2J" in status, status


# What a program that was made to break the hub would say.
STRANGE = {
    "no JSON": "{", "nothing": "", "null": "null", "a list": "[]", "a text": '"x"', "a number": "1e999", "zeros": "\x00\x00",
    "deep": "[" * 5000, "deeper": '{"facts":' * 3000 + "1" + "}" * 3000, "marks": '{"$secret":"x","$unknown":true,"$bytes":"!"}',
    "types": json.dumps({"digest": [], "state": 1, "health": {}, "since": "x", "message": 5, "facts": [], "resource": [], "what": {},
                         "time": "x", "labels": [], "record": {}, "error": []}),
    "state": json.dumps(report(state="exploding", digest="../../etc")),
    "numbers": json.dumps(report(since=2**63 - 1, digest="f" * 64)), "less": json.dumps(report(since=-2**63)),
    "cut in a character": json.dumps(report(message="x" + "\u00e9" * 5000)),
    "facts": json.dumps({"facts": {"os": "x", "os.name": {"name": []}, "": None, "a" * 5000: "b" * 5000}}),
    "large": json.dumps({"facts": {"list": [0] * 200000}, **report(message="y" * 300000)}),
    "times": json.dumps({"resource": "file '/x'", "what": "x", "time": 2**63 - 1}),
}


@pytest.mark.parametrize("name", STRANGE)
def test_what_a_host_says_breaks_no_hub(world, name):
    hub, web1 = world
    for key in ("reported/web1", "facts/web1", "run/web1", "drift/web1/1", "drift/web1/x", "drift/web1/", "answer/web1/1",
                "drift/web1/" + "9" * 30):
        if key != "drift/web1/":
            say(web1, key, STRANGE[name])
    say(web1, "reported/web1", STRANGE[name])
    for route in ROUTES:
        answer = hub.get(route)
        assert answer.status == 200 and answer.json is not None, (route, answer)
    assert b"stead_hub_hosts" in hub.get("/metrics").body
    for words in (("fleet", "status"), ("fleet", "drift"), ("fleet", "facts")):
        done = subprocess.run([STEAD, *words, "--data", hub.data], capture_output=True, text=True, errors="replace", check=False)
        assert done.returncode in (0, 4) and "web1" in done.stdout, (words, done)
