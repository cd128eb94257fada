"""A hub that lies: whatever it answers, a command says so, and neither aborts nor waits for ever."""
import concurrent.futures
import hashlib
import http.server
import json
import pathlib
import ssl
import subprocess
import threading

import pytest

from scratch import PATIENCE, STEAD

DIGEST = "sha256:" + "a" * 64
HOST = {"name": "web1", "joined": 1, "renewed": 1, "expires": 2, "revoked": False, "fingerprint": DIGEST, "labels": {"role": "web"},
        "grants": ["web/"]}
TOKEN = {"id": "0123456789abcdef", "role": "reader", "name": "ann", "created": 1, "expires": 2, "by": "token:x", "labels": {"a": "b"},
         "grants": ["web/"]}
DEPLOY = {"record": 1, "digest": DIGEST, "previous": "", "message": "first", "time": 1, "to": "all", "strategy": "", "by": "token:x",
          "outcome": {"outcome": "done", "why": "all"}, "bad": False, "statement": "stead deploy 1\n"}
ROLLOUT = {"record": 1, "digest": DIGEST, "phase": "done", "since": 1, "why": "", "by": "", "message": "m", "deployed_by": "x",
           "to": "all", "strategy": "", "targets": 1, "silent": 0, "stages": {"done": 1},
           "failed": [{"host": "web1", "stage": "failed", "why": "x"}], "log": [{"number": 1, "time": 1, "what": "begun"}], "revision": 4}
CHANNEL = {"name": "prod", "repository": "https://x", "branch": "main", "interval": 60, "to": "all", "strategy": "", "by": "x",
           "created": 1, "commit": "c" * 40, "outcome": "deployed", "why": "w", "record": 1, "since": 1, "check": "1", "checked": "1"}
STATUS = {"host": "web1", "labels": {}, "record": 1, "digest": DIGEST, "running": DIGEST, "state": "converged", "health": "healthy",
          "since": 1, "message": "", "stage": "done", "why": "", "run": {"time": 1}}
FACTS = {"host": "web1", "labels": {"role": "web"}, "grants": ["web/"], "facts": {"os": {"name": "debian"}}}
DRIFT = {"host": "web1", "time": 1, "resource": "file '/x'", "what": "changed"}
KEYS = {"keys": "stead keys", "revision": 1}
DONE = {"done": True}

# What is asked, and what a hub that does not lie answers.
ROUTES = {
    "GET /v1/hosts": {"hosts": [HOST]}, "GET /v1/hosts/web1": HOST, "POST /v1/hosts/web1/revoke": DONE,
    "POST /v1/hosts/web1/change": {"name": "web1", "labels": {"a": "b"}, "grants": ["web/"]},
    "GET /v1/tokens": {"tokens": [TOKEN]}, "POST /v1/tokens": {"id": "1", "url": "https://x", "token": "stead_1_2", "expires": 2},
    "DELETE /v1/tokens/1": DONE, "GET /v1/fleet": {"hosts": [STATUS]}, "GET /v1/fleet/facts": {"hosts": [FACTS]},
    "GET /v1/fleet/drift": {"drift": [DRIFT]}, "GET /v1/fleet/why": {"answer": "it is well"}, "GET /v1/rollout": ROLLOUT,
    "POST /v1/rollout/pause": DONE, "GET /v1/deploys": {"deploys": [DEPLOY]}, "GET /v1/deploys/1": DEPLOY,
    f"POST /v1/bundles/{'a' * 64}/forgive": DONE, "GET /v1/channels": {"channels": [CHANNEL]}, "GET /v1/channels/prod": CHANNEL,
    "POST /v1/channels/prod/check": CHANNEL, "DELETE /v1/channels/prod": DONE, "POST /v1/channels": CHANNEL, "GET /v1/keys": KEYS,
    "GET /v1/ca": {"certificate": "x", "fingerprint": DIGEST}, "POST /v1/join": {"host": "a", "certificate": "x", "authority": "y",
                                                                                "expires": 1},
}
COMMANDS = (
    "host list", "host show web1", "host revoke web1", "host label web1 a=b", "token list", "token new ann --role reader",
    "token new --host web1", "token remove 1", "fleet status", "fleet facts", "fleet facts --fact os.name", "fleet drift",
    "fleet why web1 file /x", "deploy status", "deploy status --watch", "deploy history", "deploy show 1", "deploy pause -m x",
    "deploy forgive 1", "deploy diff 1 1", "hub channel list", "hub channel check prod", "hub channel remove prod",
    "hub channel add prod https://x#main", "key fetch {directory}/new.keys",
)
LIES = (None, 7, "x", [1])


class Liar(http.server.BaseHTTPRequestHandler):
    """Answers /NUMBER/v1/... with what was made up under that number."""

    protocol_version = "HTTP/1.1"

    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        _, number, path = self.path.split("?")[0].split("/", 2)
        route = f"{self.command} /{path}"
        answers = self.server.stories[int(number)]
        self.server.asked.add(route)
        body = json.dumps(answers.get(route, {"error": f"no {route}"})).encode()
        self.send_response(200 if route in answers else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = answer

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def liar():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Liar)
    server.daemon_threads, server.stories, server.asked = True, [], set()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def tls_liar(tmp_path_factory):
    """The same with TLS: a liar that has the authority's key. Also the authority, PEM."""
    place = tmp_path_factory.mktemp("liar")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", "/CN=liar", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", place / "key.pem", "-out",
                    place / "ca.pem"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(place / "ca.pem", place / "key.pem")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Liar)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.daemon_threads, server.stories, server.asked = True, [], set()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server, (place / "ca.pem").read_text()
    server.shutdown()
    thread.join()
    server.server_close()


def url_of(liar, answers) -> str:
    liar.stories.append(answers)
    scheme = "https" if isinstance(liar.socket, ssl.SSLSocket) else "http"
    return f"{scheme}://127.0.0.1:{liar.server_port}/{len(liar.stories) - 1}"


def call(liar, directory: pathlib.Path, answers, command: str) -> subprocess.CompletedProcess:
    url = url_of(liar, answers)
    words = command.format(url=url, directory=directory).split()
    hub = () if "join" in words else ("--hub", url, "--ca", directory / "ca.pem", "--token-file", directory / "token")
    return subprocess.run([STEAD, *words, *hub], capture_output=True, text=True, timeout=PATIENCE, check=False)


def lies_about(value):
    """The value with each of its parts replaced by each lie, one at a time, and with each left out."""
    yield from LIES
    if isinstance(value, int):
        yield 2**62
    if isinstance(value, dict):
        for name, member in value.items():
            yield {other: value[other] for other in value if other != name}
            yield from ({**value, name: lie} for lie in lies_about(member))
    if isinstance(value, list):
        yield []
        for index, member in enumerate(value):
            yield from (value[:index] + [lie] + value[index + 1:] for lie in lies_about(member))


@pytest.fixture
def place(tmp_path):
    (tmp_path / "ca.pem").write_text(pathlib.Path("/etc/ssl/certs/ca-certificates.crt").read_text())
    (tmp_path / "token").write_text("stead_1_2")
    return tmp_path


def told_or_taken(done) -> str:
    """What is wrong with how the command ended; "": nothing."""
    if done.returncode not in (0, 1, 4):
        return f"exit {done.returncode}: {done.stderr[-300:]}"
    if done.returncode == 1 and not done.stderr.startswith("stead"):
        return f"no error of ours: {done.stderr[-300:]}"
    return ""


def is_for_later(command: str, answer) -> bool:
    """It says, as it may, that the branch was not looked at yet: the command waits."""
    words = [answer.get("check"), answer.get("checked")] if isinstance(answer, dict) else []
    return "check" in command and words != ["1", "1"] and all(word is None or isinstance(word, str) for word in words)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_answer_is_looked_at(liar, place, command):
    liar.asked.clear()
    done = call(liar, place, ROUTES, command)
    assert not told_or_taken(done), done
    assert "that is not what this stead" not in done.stderr, done.stderr
    mine = sorted(liar.asked & set(ROUTES))
    assert mine, f"{command} asks what the test does not know: {liar.asked}"

    def lie(route, answer):
        problem = told_or_taken(call(liar, place, {**ROUTES, route: answer}, command))
        return problem and f"{route} {json.dumps(answer)[:300]}: {problem}"

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(lie, route, answer) for route in mine for answer in lies_about(ROUTES[route])
                if not is_for_later(command, answer)]
        wrong = [job.result() for job in jobs]
    assert not [one for one in wrong if one]


def test_what_is_said_of_a_lie(liar, place):
    for command, route, answer, said in (
        ("host list", "GET /v1/hosts", {"hosts": [HOST, {**HOST, "labels": {"role": 7}}]},
         "stead: read the hub's answer to GET /v1/hosts: 'hosts[1].labels.role' is an integer, not a string; that is not what "),
        ("host list", "GET /v1/hosts", {}, "GET /v1/hosts: 'hosts' is missing; that is not what this stead ("),
        ("deploy status", "GET /v1/rollout", {**ROLLOUT, "log": [None]}, "GET /v1/rollout: 'log[0]' is null, not an object;"),
        ("hub channel list", "GET /v1/channels", {"channels": [{**CHANNEL, "outcome": "won"}]},
         "'channels[0].outcome' is not a word that is known here;"),
        ("host list", "GET /v1/hosts", {"hosts": [], "next": "x"}, "GET /v1/hosts: it tells of 'x' as the next page again and again"),
    ):
        done = call(liar, place, {**ROUTES, route: answer}, command)
        assert done.returncode == 1 and said in done.stderr, done


def test_who_joins_is_not_fooled(tls_liar, tmp_path):
    liar, pem = tls_liar
    fingerprint = "sha256:" + hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
    true = {"GET /v1/ca": {"certificate": pem, "fingerprint": fingerprint},
            "POST /v1/join": {"host": "web1", "certificate": pem, "authority": pem, "expires": 1}}
    words = f" --token stead_1_2 --state {{directory}}/state --ca-fingerprint {fingerprint}"
    for route, answer in true.items():
        for lie in lies_about(answer):
            done = call(liar, tmp_path, {**true, route: lie}, "agent join {url}" + words)
            assert done.returncode == 1 and done.stderr.startswith("stead: "), (route, lie, done)
            assert not (tmp_path / "state/hub/certificate.pem").exists()
    assert "not for our key" in call(liar, tmp_path, true, "agent join {url}" + words).stderr
    for url in ("ftp://127.0.0.1", "http://127.0.0.1:1", "hub.example"):
        done = call(liar, tmp_path, true, f"agent join {url}" + words)
        assert done.returncode == 1 and f"stead: join '{url}': write the address" in done.stderr
