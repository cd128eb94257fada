"""Hosts of a fleet as the store sees them: each takes what is desired and reports how that went."""
import base64
import json
import threading
import urllib.request

FLEET = "stead/1/fleet/"


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


class Gateway:
    """etcd's own JSON gateway, without a process for each question."""

    def __init__(self, url: str):
        self.url = url

    def call(self, path: str, body: dict) -> dict:
        request = urllib.request.Request(f"{self.url}/v3/{path}", json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())

    def put(self, key: str, value):
        self.call("kv/put", {"key": b64(key), "value": b64(json.dumps(value))})

    def delete(self, key: str):
        self.call("kv/deleterange", {"key": b64(key)})

    def _all(self, prefix: str) -> list[tuple[str, bytes]]:
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        found = self.call("kv/range", {"key": b64(prefix), "range_end": b64(end)}).get("kvs", [])
        return [(base64.b64decode(one["key"]).decode()[len(prefix):], base64.b64decode(one["value"])) for one in found]

    def keys(self, prefix: str) -> list[str]:
        return [key for key, _ in self._all(prefix)]

    def range(self, prefix: str) -> dict:
        return {key: json.loads(value) for key, value in self._all(prefix)}


class Hosts:
    """`with Hosts(url, {"web1": facts}) as hosts:` hosts.bad: digests that all fail with; hosts.sick: what health checks
    say with a digest. `with hosts.turns:` they do nothing but what the test lets them do, as by hosts.turn()."""

    def __init__(self, url: str, facts: dict):
        self.store, self.facts, self.bad, self.answers = Gateway(url), facts, set(), {}
        self.sick: dict = {}
        self.running: dict = dict.fromkeys(facts, "")
        self.ending, self.turns = threading.Event(), threading.Lock()
        self.thread = threading.Thread(target=self.live)
        self.trouble = None

    def report(self, host: str):
        digest = self.running[host]
        failing, sick = digest in self.bad, self.sick.get(digest)
        self.store.put(f"{FLEET}run/{host}", {"time": 1700000000, "digest": digest})
        self.store.put(f"{FLEET}reported/{host}", {
            "digest": digest, "state": "failing" if failing else "converged", "since": 1700000000,
            "health": "unhealthy" if sick else "unchecked",
            "message": "file '/etc/motd': it does not work" if failing else sick or ""})

    def live(self):
        try:
            while not self.ending.wait(0.05):
                with self.turns:
                    self.turn()
        except Exception as trouble:  # told where it is waited for
            self.trouble = trouble

    def turn(self):
        """Takes what is desired by now, and answers what was asked."""
        for host, desired in self.store.range(f"{FLEET}desired/").items():
            if host in self.running and self.running[host] != desired["digest"]:
                self.running[host] = desired["digest"]
                self.report(host)
        for name, question in self.store.range(f"{FLEET}ask/").items():
            if name not in self.answers:
                self.answers[name] = question
                said = {"answer": f"{question['kind']} {question['name']} is as it shall be"}
                if question["name"] == "none":
                    said = {"error": "there is no such resource"}
                self.store.put(f"{FLEET}answer/{name}", said)

    def __enter__(self):
        for host, facts in self.facts.items():
            self.store.put(f"{FLEET}facts/{host}", {"facts": facts})
            self.report(host)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.thread.join()
        if self.trouble:
            raise self.trouble
