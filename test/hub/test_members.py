"""Who may ask a hub: tokens, joining, certificates, revoking; with the real command and real TLS."""
import json
import os
import pathlib
import re
import shlex
import shutil
import socket
import subprocess
import time

from aged import aged_certificate, openssl
from fleet import Hub, next_event
from scratch import PATIENCE, STEAD, eventually


def test_first_start_and_the_next(tmp_path):
    with Hub(tmp_path / "hub") as hub:
        first = hub.started
        assert first["token"] == hub.token and (hub.data / "admin-token").stat().st_mode & 0o777 == 0o600
        assert hub.data.stat().st_mode & 0o777 == 0o700
        assert hub.get("/healthz", token=None).json["status"] == "ok"
        shown = subprocess.run(["openssl", "x509", "-in", hub.data / "ca.pem", "-noout", "-fingerprint", "-sha256"],
                               capture_output=True, text=True, check=True).stdout
        assert shown.strip().split("=")[1].replace(":", "").lower() == first["ca_fingerprint"].split(":")[1]
        hub.stop()
        hub.start()
        assert "token" not in hub.started and hub.started["ca_fingerprint"] == first["ca_fingerprint"]
        assert hub.get("/v1/hosts").status == 200


def test_join_as_the_command_says(hub, tmp_path):
    certificate, key = hub.join("web1", tmp_path / "web1")
    assert key.stat().st_mode & 0o777 == 0o600
    verified = subprocess.run(["openssl", "verify", "-purpose", "sslclient", "-CAfile", hub.data / "ca.pem", certificate],
                              capture_output=True, text=True, check=False)
    assert verified.returncode == 0, verified.stderr
    text = subprocess.run(["openssl", "x509", "-in", certificate, "-noout", "-text"], capture_output=True, text=True,
                          check=True).stdout
    assert "CN = web1" in text and "URI:urn:stead:host:web1" in text and "TLS Web Client Authentication" in text
    listing = hub.stead("host", "list", "--data", str(hub.data)).stdout
    assert re.fullmatch(r"web1 joined \S+ \S+, certificate until \S+ \S+\n", listing)
    shown = json.loads(hub.stead("host", "show", "web1", "--data", str(hub.data), "--json").stdout)
    assert shown["event"] == "host" and shown["name"] == "web1" and shown["revoked"] is False
    # The key never went to the hub.
    secret = "".join(key.read_text().splitlines()[1:-1]).encode()
    assert all(secret not in path.read_bytes() for path in hub.data.iterdir())


def test_token_is_good_once(hub, tmp_path):
    call = hub.stead("token", "new", "--host", "web1", "--data", str(hub.data)).stdout.split()[1:]
    assert hub.stead(*call, "--state", str(tmp_path / "one")).returncode == 0
    again = hub.stead(*call, "--state", str(tmp_path / "two"))
    assert again.returncode == 1
    assert "the token is not known: it was used or removed, or is mistyped; 'stead token new' makes another" in again.stderr
    assert not (tmp_path / "two/hub/certificate.pem").exists()


def test_joining_goes_on_when_the_answer_was_lost(hub, tmp_path):
    call = hub.stead("token", "new", "--host", "web1", "--data", str(hub.data)).stdout.split()[1:]
    state = tmp_path / "web1"
    (state / "hub/certificate.pem").mkdir(parents=True)  # the hub has answered, and nothing came of it
    assert hub.stead(*call, "--state", str(state)).returncode == 4
    assert not [token for token in hub.get("/v1/tokens").json["tokens"] if "host" in token]
    assert hub.stead(*call, "--state", str(tmp_path / "other")).returncode == 1  # nobody else
    (state / "hub/certificate.pem").rmdir()
    again = hub.stead(*call, "--state", str(state))
    assert again.returncode == 0 and again.stdout.startswith("joined as web1, "), again
    assert (state / "hub/certificate.pem").is_file()
    assert not (state / "hub/request.pem").exists()
    assert hub.stead(*call, "--state", str(state)).returncode == 1  # once it was heard


def test_who_was_revoked_does_not_come_back_with_an_old_token(hub, tmp_path):
    call = hub.stead("token", "new", "--host", "web1", "--data", str(hub.data)).stdout.split()[1:]
    (tmp_path / "hub2/hub/certificate.pem").mkdir(parents=True)
    assert hub.stead(*call, "--state", str(tmp_path / "hub2")).returncode == 4
    assert hub.stead("host", "revoke", "web1", "--data", str(hub.data)).returncode == 0
    (tmp_path / "hub2/hub/certificate.pem").rmdir()
    assert hub.stead(*call, "--state", str(tmp_path / "hub2")).returncode == 1


def test_token_expires_and_is_removed(hub, tmp_path):
    call = hub.stead("token", "new", "--host", "web1", "--ttl", "1s", "--data", str(hub.data)).stdout.split()[1:]
    expires = max(token["expires"] for token in hub.get("/v1/tokens").json["tokens"])
    eventually(lambda: time.time() > expires + 1)
    late = hub.stead(*call, "--state", str(tmp_path / "late"))
    assert late.returncode == 1 and "the token has expired" in late.stderr
    made = hub.stead("token", "new", "ann", "--role", "reader", "--data", str(hub.data)).stdout.strip()
    assert hub.get("/v1/hosts", token=made).status == 200
    listed = hub.stead("token", "list", "--data", str(hub.data)).stdout
    token = next(line.split()[0] for line in listed.splitlines() if "reader ann, for ever" in line)
    assert hub.stead("token", "remove", token, "--data", str(hub.data)).stdout == f"removed {token}\n"
    assert hub.get("/v1/hosts", token=made).status == 401


def test_a_token_that_nobody_else_sees(hub, tmp_path):
    """From a file, standard input or the environment; one in the words of a call does not stay there."""
    def made():
        return hub.stead("token", "new", "--host", "web1", "--data", str(hub.data)).stdout.split()[1:]

    words = made()
    at = words.index("--token")
    token, rest = words[at + 1], [*words[:at], *words[at + 2:]]
    kept = tmp_path / "token"
    kept.write_text(token + "\n")

    def join(*more, text="", **variables):
        return subprocess.run([STEAD, *rest, "--state", tmp_path / "state", *more], input=text, capture_output=True, text=True,
                              timeout=PATIENCE, check=False, env=dict(os.environ, **variables))

    for done in (join("--token-file", kept), join("--token-file", "-", text=made()[at + 1]), join(STEAD_JOIN_TOKEN=made()[at + 1])):
        assert done.returncode == 0 and done.stdout.startswith("joined as web1"), done
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "call").write_text(shlex.join(words))
    for done, said in ((join("--token-file", tmp_path / "none"), f"stead: --token-file: read '{tmp_path}/none': No such file"),
                       (join("--token-file", tmp_path / "empty"), f"read '{tmp_path}/empty': there is no token in it"),
                       (join("--token-file", tmp_path / "call"), f"read '{tmp_path}/call': what is in it is no token, which is one word"),
                       (join("--token-file", "-", text="x" * 1025), "--token-file: read '-': it is too long for a token"),
                       (join(STEAD_JOIN_TOKEN="two words"), "STEAD_JOIN_TOKEN: what is in it is no token"),
                       (join("--token-file", kept, "--token", token), "give --token or --token-file, not both"),
                       (join(), "stead agent join: --ca-fingerprint, or the token, is missing")):
        assert done.returncode == 1 and said in done.stderr, done

    with socket.create_server(("127.0.0.1", 0)) as silent:  # where it waits for an answer
        waiting = [*rest[:2], f"https://127.0.0.1:{silent.getsockname()[1]}", *rest[3:], "--state", str(tmp_path / "other")]
        for given in (["--token", token], [f"--token={token}"]):
            process = subprocess.Popen([STEAD, *waiting, *given], stderr=subprocess.DEVNULL)
            try:
                held = silent.accept()[0]
                shown = pathlib.Path(f"/proc/{process.pid}/cmdline").read_bytes()
                assert b"--token" in shown and b"**" in shown and token.encode() not in shown
            finally:
                process.kill()
                process.wait()
            held.close()


def test_what_is_wrong_is_said_with_its_remedy(hub, tmp_path):
    bad, token = tmp_path / "bad.pem", hub.data / "admin-token"
    bad.write_text("no certificate")
    there = ("--ca", hub.data / "ca.pem", "--token-file", token)
    closed = socket.socket()  # bound, and listens to nobody: no other gets the port meanwhile
    closed.bind(("127.0.0.1", 0))
    nobody = f"https://127.0.0.1:{closed.getsockname()[1]}"
    for words, said in (
        (("host", "list", "--data", tmp_path), f"stead: read '{tmp_path}/url': No such file or directory; name the hub with --hub"),
        (("host", "list", "--hub", hub.url, "--ca", bad, "--token-file", token),
         f"stead: read '{bad}': there is no certificate in PEM; the hub's authority is ca.pem in its --data, name it with --ca"),
        (("host", "list", "--hub", "127.0.0.1:1", *there), "stead: ask the hub '127.0.0.1:1': write its address as https://HOST:PORT"),
        (("host", "list", "--hub", nobody, *there),
         f"stead: ask '{nobody}/v1/hosts': connect: Connection refused; does a hub run there? --hub names another"),
        (("host", "list", "--hub", "https://no.such.host.invalid", *there),
         "nobody here knows this name; does a hub run there? --hub names another"),
        (("host", "list", "--hub", hub.url, "--ca", "/etc/ssl/certs/ca-certificates.crt", "--token-file", token),
         "its certificate is not trusted: "),
        (("key", "publish", tmp_path / "none"), f"stead: publish '{tmp_path}/none': there is no such file; 'stead key add "),
        (("key", "publish", bad), f"stead: publish '{bad}': "),
        (("agent", "join", nobody, "--token", "x", "--ca-fingerprint", "sha256:" + "0" * 64, "--state", "/proc/stead"),
         "stead: make '/proc/stead/hub' (--state DIR names another place): No such file or directory"),
    ):
        done = hub.stead(*map(str, words))
        assert done.returncode in (1, 3) and said in done.stderr and done.stderr.isascii(), done
    closed.close()


def test_guessing_is_slowed(hub):
    begin, guesses = time.monotonic(), 0

    def guess():
        return hub.ask("POST", "/v1/join", {"token": hub.token[:-1] + "x", "request": ""}, token=None)

    def right_one_is_refused() -> bool:  # also that: the sender is not believed
        nonlocal guesses
        while (refused := guess()).status == 401:
            guesses += 1
            assert guesses <= 10 + (time.monotonic() - begin) / 6  # one more every 6 s
        assert refused.status == 429 and 1 <= int(refused.headers["retry-after"]) <= 7, refused
        return hub.get("/v1/hosts").status == 429

    eventually(right_one_is_refused)
    assert guesses >= 10
    assert hub.get("/healthz", token=None).status == 200


def test_wrong_fingerprint_sends_nothing(hub, tmp_path):
    call = hub.stead("token", "new", "--host", "web1", "--data", str(hub.data)).stdout.split()[1:]
    wrong = [word if not word.startswith("sha256:") else "sha256:" + "0" * 64 for word in call]
    done = hub.stead(*wrong, "--state", str(tmp_path / "web1"))
    assert done.returncode == 1 and "it is another hub, or somebody is in between" in done.stderr
    assert hub.stead(*call, "--state", str(tmp_path / "web1")).returncode == 0  # the token is as good as before


def test_join_without_a_hub(tmp_path, hub):
    call = hub.stead("token", "new", "--host", "web1", "--data", str(hub.data)).stdout.split()[1:]
    hub.stop()
    done = hub.stead(*call, "--state", str(tmp_path / "web1"))
    assert done.returncode == 3 and "/v1/ca'" in done.stderr
    for words in ("fleet", "status"), ("deploy", "status"), ("host", "list"), ("token", "list"), ("hub", "channel", "list"):
        asked = hub.stead(*words, "--data", str(hub.data))
        assert asked.returncode == 3 and asked.stdout == "" and "ask 'https://127.0.0.1:" in asked.stderr, asked
        assert asked.stderr.endswith("; does a hub run there? --hub names another\n"), asked
    missing = hub.stead("agent", "join", "https://127.0.0.1:1")
    assert missing.returncode == 1 and "--ca-fingerprint, or the token, is missing" in missing.stderr


def test_revoked_at_once(hub, tmp_path):
    member, other = hub.join("web1", tmp_path / "web1"), hub.join("web2", tmp_path / "web2")
    stream, unharmed = hub.listen(*member), hub.listen(*other)
    assert hub.stead("host", "revoke", "web1", "--data", str(hub.data)).returncode == 0
    assert stream.ended()
    answer = hub.get("/v1/events", certificate=member)
    assert answer.status == 403 and answer.json["error"] == "the certificate of host:web1 was revoked"
    unharmed.socket.settimeout(0.2)
    try:
        assert unharmed.until(b"\n\n") != b""
    except TimeoutError:
        pass
    unharmed.close()
    again = hub.join("web1", tmp_path / "again")
    hub.listen(*again).close()
    assert hub.get("/v1/events", certificate=member).status == 403
    assert "revoked" not in hub.stead("host", "list", "--data", str(hub.data)).stdout


def test_certificates_of_others(tmp_path):
    with Hub(tmp_path / "a") as one, Hub(tmp_path / "b") as other:
        wrong = one.stead("host", "list", "--data", str(one.data), "--ca", str(other.data / "ca.pem"))
        assert wrong.returncode == 1 and "the hub's authority is in its DIR/ca.pem: name it with --ca" in wrong.stderr, wrong
        foreign = other.join("web1", tmp_path / "foreign")
        answer = one.get("/v1/hosts", certificate=foreign)
        assert answer.status == 401 and "it is from another authority" in answer.json["error"]
        # One that signs itself, with the name of a member.
        key, own = tmp_path / "key.pem", tmp_path / "own.pem"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key,
                "-out", own, "-subj", "/CN=web1", "-addext", "subjectAltName=URI:urn:stead:host:web1", "-days", "2",
                "-addext", "extendedKeyUsage=clientAuth")
        assert one.get("/v1/hosts", certificate=(own, key)).status == 401
        # One that calls itself the authority and signs with the authority's name.
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key,
                "-out", own, "-subj", "/CN=stead hub", "-days", "2")
        request, forged = tmp_path / "request.pem", tmp_path / "forged.pem"
        openssl("req", "-new", "-key", foreign[1], "-subj", "/CN=web1", "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", own, "-CAkey", key, "-out", forged, "-days", "2")
        assert one.get("/v1/hosts", certificate=(forged, foreign[1])).status == 401


def signed_by_the_hub(hub, key, directory, days_ago, days_left):
    """A certificate of web1 with those times: the authority's key is in the store of the test's hub."""
    store = f"sqlite={hub.data}/state.db"
    hub.stop()
    authority = json.loads(hub.stead("state", "get", "hub/authority", "--store", store).stdout)
    signed = aged_certificate(authority, key, directory, "web1",
                              "extendedKeyUsage=clientAuth\nsubjectAltName=URI:urn:stead:host:web1", days_ago, days_left)
    record = json.dumps({"name": "web1", "role": "host", "revoked": False})
    assert hub.stead("state", "put", "hub/certificates/4a01", record, "--store", store).returncode == 0
    hub.start()
    return signed


def test_certificate_expires(hub, tmp_path):
    member = hub.join("web1", tmp_path / "web1")
    valid = signed_by_the_hub(hub, member[1], tmp_path / "valid", 3, 1)
    hub.listen(valid, member[1]).close()
    old = signed_by_the_hub(hub, member[1], tmp_path / "old", 3, -1)
    answer = hub.get("/v1/hosts", certificate=(old, member[1]))
    assert answer.status == 401 and "it expired on" in answer.json["error"], answer
    early = signed_by_the_hub(hub, member[1], tmp_path / "early", -1, 3)
    answer = hub.get("/v1/hosts", certificate=(early, member[1]))
    assert answer.status == 401 and "is the clock right?" in answer.json["error"], answer


def test_agent_renews_its_certificate(hub, tmp_path):
    root = tmp_path / "root"
    state = root / "var/lib/stead"
    certificate, key = hub.join("web1", state)
    hub.options = ()
    due = signed_by_the_hub(hub, key, tmp_path / "due", 80, 10)
    (state / "hub/url").write_text(hub.url)
    certificate.write_bytes(due.read_bytes())
    (tmp_path / "site.lua").write_text('file "/motd" { content = "hello\\n" }\n')
    log = (tmp_path / "log").open("w")
    agent = subprocess.Popen([hub_program(), "agent", tmp_path / "site.lua", "--root", root], stdout=log, stderr=log)
    try:
        eventually(lambda: certificate.read_bytes() != due.read_bytes(), "the renewal")
        eventually(lambda: "renewed this machine's certificate" in (tmp_path / "log").read_text())
    finally:
        agent.terminate()
        agent.wait()
        log.close()
    hub.listen(certificate, key).close()
    assert hub.get("/v1/audit").json["records"][-1]["action"] == "host.renew"


def hub_program():
    from scratch import STEAD
    return STEAD


def test_renewal_over_tls(hub, tmp_path):
    member = hub.join("web1", tmp_path / "web1")
    request = tmp_path / "request.pem"
    openssl("req", "-new", "-key", member[1], "-subj", "/CN=other", "-out", request)
    answer = hub.ask("POST", "/v1/renew", {"request": request.read_text()}, certificate=member)
    assert answer.status == 201 and answer.json["host"] == "web1"
    renewed = tmp_path / "renewed.pem"
    renewed.write_text(answer.json["certificate"])
    hub.listen(renewed, member[1]).close()
    hub.listen(*member).close()


def test_events_resume_without_loss(hub, tmp_path):
    stream = hub.listen()
    made = [hub.ask("POST", "/v1/tokens", {"host": f"web{i}"}).json["id"] for i in range(5)]
    events = [next_event(stream) for _ in made]
    assert [event["data"]["name"] for event in events] == made
    assert all("hash" not in event["data"]["value"] for event in events)
    stream.close()
    made += [hub.ask("POST", "/v1/tokens", {"host": f"web{i}"}).json["id"] for i in range(5, 8)]
    # Also from another process of the hub: the ids are the store's.
    hub.stop()
    hub.start()
    stream = hub.listen(after=events[2]["id"])
    assert [next_event(stream)["data"]["name"] for _ in range(5)] == made[3:]
    stream.close()
    assert hub.get("/v1/events?after=x").status == 400


def test_hosts_see_their_own(hub, tmp_path):
    member = hub.join("web1", tmp_path / "web1")
    stream = hub.listen(*member, after="1")
    hub.join("web2", tmp_path / "web2")
    hub.ask("POST", "/v1/tokens", {"host": "web3"})
    request = tmp_path / "request.pem"
    openssl("req", "-new", "-key", member[1], "-subj", "/CN=web1", "-out", request)
    assert hub.ask("POST", "/v1/renew", {"request": request.read_text()}, certificate=member).status == 201
    assert [next_event(stream)["data"]["name"] for _ in range(2)] == ["web1", "web1"]
    stream.close()


def test_audit_has_every_write(hub, tmp_path):
    hub.join("web1", tmp_path / "web1")
    hub.stead("host", "revoke", "web1", "--data", str(hub.data))
    records = hub.get("/v1/audit").json["records"]
    assert [(r["who"], r["action"], r["subject"]) for r in records] == [
        ("token:first-admin", "token.new", "web1"), ("host:web1", "host.join", "web1"),
        ("token:first-admin", "host.revoke", "web1")]
    assert all(r["from"] == "127.0.0.1" for r in records)
    assert records[2]["before"]["hub/hosts/web1"]["revoked"] is False
    assert records[2]["after"]["hub/hosts/web1"]["revoked"] is True
    pages = hub.get("/v1/audit?limit=2").json
    assert hub.get(f"/v1/audit?after={pages['next']}").json["records"] == records[2:]


def test_curl_is_served(hub):
    curl = shutil.which("curl")
    done = subprocess.run([curl, "-sS", "--cacert", hub.data / "ca.pem", "-H", f"Authorization: Bearer {hub.token}",
                           f"{hub.url}/metrics"], capture_output=True, text=True, check=False)
    assert "\nstead_hub_connections 1\n" in done.stdout, done.stderr
    document = json.loads(subprocess.run([curl, "-sS", "--cacert", hub.data / "ca.pem", f"{hub.url}/v1/openapi.json"],
                                         capture_output=True, text=True, check=True).stdout)
    assert document["openapi"] == "3.1.0" and "/v1/hosts/{name}/revoke" in document["paths"]
    untrusted = subprocess.run([curl, "-sS", f"{hub.url}/healthz"], capture_output=True, check=False)
    assert untrusted.returncode == 60
