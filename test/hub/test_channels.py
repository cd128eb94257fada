"""A hub that follows a branch: real git, over file:// and HTTP, signed by the real command."""
import contextlib
import functools
import http.server
import os
import pathlib
import shutil
import subprocess
import threading

import etcd as real_etcd
import pytest
from fleet import Hub
from scratch import PATIENCE, STEAD, eventually

pytestmark = pytest.mark.skipif(not shutil.which("git"), reason="needs git: install git")

QUICK = "batch=1,soak=0s,timeout=20s"


class Repository:
    """A work tree with a site in it, and the bare repository that it is pushed to."""

    def __init__(self, directory: pathlib.Path, hub: Hub):
        self.directory, self.hub = directory, hub
        self.tree, self.bare = directory / "tree", directory / "origin.git"
        self.environment = dict(os.environ, GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_NOSYSTEM="1",
                                **{f"GIT_{who}_{what}": "ada@example.org" for who in ("AUTHOR", "COMMITTER")
                                   for what in ("NAME", "EMAIL")})
        self.git("init", "-q", "--bare", "-b", "main", str(self.bare), cwd=directory)
        self.git("init", "-q", "-b", "main", str(self.tree), cwd=directory)
        self.site = self.tree / "fleet" / "site"
        self.site.mkdir(parents=True)
        (self.tree / "README").write_text("not deployed\n")
        self.write("main.lua", 'file "/etc/motd" { content = "one\\n" }\n')
        (self.site / "empty").mkdir()  # git keeps no empty directory
        (self.site / "latest").symlink_to("main.lua")
        self.write(".gitignore", "*.tmp\n")
        self.write(".gitattributes", "main.lua export-ignore\nkinds/* export-subst\n")  # for git archive
        self.write("kinds/speak", "#!/bin/sh\n# $Format:%H$\n", 0o755)
        self.stead("key", "new", "ada.key")
        self.stead("key", "new", "eve.key")

    @property
    def url(self) -> str:
        return f"file://{self.bare}"

    def git(self, *words: str, cwd=None) -> str:
        done = subprocess.run(["git", *words], cwd=cwd or self.tree, env=self.environment, capture_output=True, text=True,
                              timeout=PATIENCE, check=False)
        assert done.returncode == 0, done
        return done.stdout.strip()

    def tree_of(self, *lines: str) -> str:
        done = subprocess.run(["git", "mktree"], cwd=self.tree, input="\n".join(lines) + "\n", env=self.environment,
                              capture_output=True, text=True, timeout=PATIENCE, check=True)
        return done.stdout.strip()

    def write(self, name: str, text: str, mode: int = 0o644):
        path = self.site / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    def call(self, *words: str) -> subprocess.CompletedProcess:
        return subprocess.run([STEAD, *words], cwd=self.directory, capture_output=True, text=True, timeout=2 * PATIENCE,
                              stdin=subprocess.DEVNULL, check=False)

    def stead(self, *words: str) -> str:
        done = self.call(*words)
        assert done.returncode == 0, done
        return done.stdout

    def on_hub(self, *words: str) -> str:
        return self.stead(*words, "--data", str(self.hub.data))

    def sign(self, why: str) -> str:
        return self.on_hub("deploy", str(self.site), "--sign-only", "-m", why, "--key", "ada.key")

    def push(self, *words: str) -> str:
        """The commit of all there is."""
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "x")
        self.git("push", "-q", *words, str(self.bare), "HEAD:main")
        self.git("update-server-info", cwd=self.bare)
        return self.git("rev-parse", "HEAD")

    def follow(self, url: str = "", interval: str = "1s"):
        self.on_hub("hub", "channel", "add", "prod", (url or self.url) + "#main", "--interval", interval,
                    "--directory", "fleet/site", "--strategy", QUICK)

    def change(self, text: str):
        self.write("main.lua", f'file "/etc/motd" {{ content = "{text}\\n" }}\n')

    def fetch_bundle(self, deploy: dict) -> str:
        path = self.directory / "fetched.bundle"
        path.write_bytes(self.hub.get(f"/v1/bundles/{deploy['digest']}").body)
        return str(path)

    def channel(self) -> dict:
        return self.hub.get("/v1/channels/prod").json

    def came(self, commit: str, outcome: str) -> dict:
        """Waits for what comes of a commit."""
        channel = eventually(lambda: next((one for one in [self.channel()] if one.get("commit") == commit), None), commit)
        assert channel["outcome"] == outcome, channel
        return channel

    def comes_to(self, *parts: str) -> str:
        """Waits for a problem with these words: a look that has begun before may end with others."""
        def found() -> str:
            problem = self.channel().get("problem", "")
            return problem if all(part in problem for part in parts) else ""

        return eventually(found, f"the problem {parts}, not {self.channel()}")

    def deploys(self) -> list[dict]:
        return self.hub.get("/v1/deploys").json["deploys"]

    def audit(self, action: str) -> list[dict]:
        return [one for one in self.hub.get("/v1/audit").json["records"] if one["action"] == action]


@pytest.fixture
def repository(tmp_path, hub):
    made = Repository(tmp_path, hub)
    made.on_hub("key", "publish", "ada.key.pub")
    return made


def test_signed_commits_are_deployed(repository):
    """Also: signed again on top, what is not signed, and what somebody else signed."""
    assert "signed deploy 1 in " in repository.sign("the first one")
    repository.git("push", "-q", str(repository.bare), f"{repository.push()}:refs/a/refs/heads/main")  # ends like it
    repository.change("one")
    first = repository.push()
    repository.follow()
    channel = repository.came(first, "deployed")
    assert (channel["record"], channel["why"]) == (1, "the first one")
    assert "deployed as 1: the first one" in repository.on_hub("hub", "channel", "check", "prod")
    [deploy] = repository.deploys()
    assert (deploy["by"], deploy["message"], deploy["strategy"]) == ("channel:prod", "the first one", QUICK)
    [published] = repository.audit("deploy.publish")
    assert published["who"] == "channel:prod" and published["after"]["commit"] == first
    assert published["from"] == repository.url
    # What the hub packed is what the operator has, without what git does not keep.
    repository.stead("bundle", "unpack", "--digest", deploy["digest"], "-o", "unpacked", repository.fetch_bundle(deploy))
    unpacked = repository.directory / "unpacked"
    assert sorted(path.name for path in unpacked.rglob("*")) == ["kinds", "latest", "main.lua", "speak"]
    assert os.access(unpacked / "kinds/speak", os.X_OK) and os.readlink(unpacked / "latest") == "main.lua"

    repository.change("two")
    (repository.site / ".stead-deploy").unlink()
    unsigned = repository.push()
    channel = repository.came(unsigned, "unsigned")
    assert "it has no '.stead-deploy' that says who signed it" in channel["why"]
    assert "  commit " + unsigned[:12] in repository.on_hub("hub", "channel", "list")

    repository.sign("two")
    second = repository.push()
    assert repository.came(second, "deployed")["record"] == 2
    # The same bundle, another commit: nothing to do.
    (repository.tree / "README").write_text("changed\n")
    assert repository.came(repository.push(), "current")["record"] == 2
    assert len(repository.deploys()) == 2
    nothing = repository.call("deploy", str(repository.site), "--sign-only", "-m", "x", "--key", "ada.key", "--data",
                              str(repository.hub.data))
    assert nothing.returncode == 1 and "deploy 2 is this bundle already" in nothing.stderr, nothing


def test_what_is_not_deployed(repository):
    repository.sign("the first one")
    first = repository.push()
    repository.follow()
    repository.came(first, "deployed")
    # Of a key that the fleet does not have: without a hub the number comes from the file.
    repository.change("eve")
    assert "signed deploy 2" in repository.stead("deploy", str(repository.site), "--sign-only", "-m", "x", "--key", "eve.key")
    stranger = repository.push()
    channel = repository.came(stranger, "refused")
    assert "sign it with a key of the fleet: 'stead deploy DIR --sign-only'" in channel["why"], channel
    [refused] = repository.audit("channel.refuse")
    assert refused["who"] == "channel:prod" and refused["after"]["commit"] == stranger
    # The tree was changed after it was signed.
    repository.sign("two")
    repository.write("more.lua", "-- not signed\n")
    channel = repository.came(repository.push(), "refused")
    assert "something was changed after it was signed" in channel["why"], channel
    # It is not looked at again before something changes, or somebody wants it.
    revision = repository.hub.get("/v1/channels").json["revision"]
    looks = looks_of(repository)
    eventually(lambda: looks_of(repository) > looks + 1)
    assert repository.hub.get("/v1/channels").json["revision"] == revision
    checked = repository.call("hub", "channel", "check", "prod", "--data", str(repository.hub.data))
    assert checked.returncode == 4 and "not deployed: its statement is about bundle" in checked.stdout, checked
    # Mended with a push over what was there.
    repository.sign("two")
    second = repository.push("--force")
    assert repository.came(second, "deployed")["record"] == 2
    # An old commit with its old statement: nobody goes back that way.
    repository.git("push", "-q", "--force", str(repository.bare), f"{first}:main")
    channel = repository.came(first, "stale")
    assert "it was signed as deploy 1, and the newest is 2 already; sign it again, on top of that" in channel["why"]
    assert [one["record"] for one in repository.deploys()] == [1, 2]
    metrics = repository.hub.get("/metrics").body.decode()
    assert 'stead_hub_channel_ok{channel="prod"} 0\n' in metrics and 'stead_hub_channel_record{channel="prod"} 2\n' in metrics


def looks_of(repository: Repository) -> int:
    lines = repository.hub.get("/metrics").body.decode().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("stead_hub_channel_looks_total "))


def test_signed_ahead_and_deployed_when_its_turn_comes(repository):
    """Signed as the second deploy when there was none: stale, until the first comes from elsewhere."""
    def ahead(*words):
        return repository.stead("deploy", str(repository.site), "--sign-only", "--key", "ada.key", "-m", *words)
    assert "signed deploy 1" in ahead("one")
    repository.stead("bundle", "pack", str(repository.site), "-o", "first.bundle")
    statement = (repository.site / ".stead-deploy").read_text()
    repository.change("two")
    (repository.site / "empty").rmdir()
    assert "signed deploy 2" in ahead("two")
    commit = repository.push()
    repository.follow()
    channel = repository.came(commit, "stale")
    assert "it was signed as deploy 2, and the newest is only 0" in channel["why"]
    name = next(line.split()[1] for line in statement.splitlines() if line.startswith("bundle "))
    change = (repository.site / "main.lua").read_text()
    repository.change("one")
    assert repository.stead("bundle", "pack", str(repository.site), "-o", "one.bundle").split()[0] == name
    repository.write("main.lua", change)
    sent = repository.hub.ask("PUT", f"/v1/bundles/{name}", (repository.directory / "one.bundle").read_bytes())
    assert sent.status == 201, sent
    assert repository.hub.ask("POST", "/v1/deploys", {"statement": statement}).status == 201
    eventually(lambda: repository.channel()["outcome"] == "deployed")
    assert [one["by"] for one in repository.deploys()] == ["token:first-admin", "channel:prod"]


def test_gone_and_back(repository):
    repository.sign("the first one")
    first = repository.push()
    repository.follow()
    repository.came(first, "deployed")
    away = repository.bare.rename(repository.directory / "away.git")
    problem = repository.comes_to(f"ask '{repository.url}' for its branch 'main': ", "does not")
    gone = repository.call("hub", "channel", "check", "prod", "--data", str(repository.hub.data))
    assert gone.returncode == 4 and problem in gone.stdout and "deployed as 1" in gone.stdout, gone
    away.rename(repository.bare)
    eventually(lambda: "problem" not in repository.channel())
    assert repository.channel()["commit"] == first
    # What a killed git leaves behind, and worse.
    mirror = repository.hub.data / "channels/prod.git"
    (mirror / "refs/heads/tip.lock").write_text("")
    (mirror / "config").write_text("[damaged")
    repository.change("two")
    repository.sign("two")
    assert repository.came(repository.push(), "deployed")["record"] == 2
    if os.geteuid() == 0:
        os.chown(repository.bare, 65534, 65534)
        repository.comes_to("; give it to the user that the hub runs as, or name it by ssh or https")
        os.chown(repository.bare, 0, 0)
        eventually(lambda: "problem" not in repository.channel())
    repository.git("branch", "-m", "main", "other", cwd=repository.bare)
    repository.comes_to("it has none of that name")
    repository.on_hub("hub", "channel", "remove", "prod")
    eventually(lambda: not mirror.exists())
    assert repository.hub.get("/v1/channels/prod").status == 404
    assert len(repository.deploys()) == 2


def test_too_much(repository):
    """Signed, so that it is looked at, and refused before it is read."""
    repository.sign("too many")
    (repository.site / "large").write_bytes(bytes((64 << 20) + 1))
    large = repository.push()
    repository.follow()
    channel = repository.came(large, "refused")
    assert "'large' is too large: a file of a bundle has at most 64 MiB" in channel["why"], channel
    blob, statement = (repository.git("hash-object", "-w", str(repository.site / name))
                       for name in ("main.lua", ".stead-deploy"))
    names = ["main.lua", *(f"f{i}" for i in range(20000))]
    site = repository.tree_of(*(f"100644 blob {blob}\t{name}" for name in names), f"100644 blob {statement}\t.stead-deploy")
    top = repository.tree_of(f"040000 tree {repository.tree_of(f'040000 tree {site}{chr(9)}site')}\tfleet")
    many = repository.git("commit-tree", "-p", large, "-m", "x", top)
    repository.git("push", "-q", str(repository.bare), f"{many}:main")
    channel = repository.came(many, "refused")
    assert "is one too many: a bundle has at most 20000 files" in channel["why"], channel
    assert repository.deploys() == []


class Guarded(http.server.SimpleHTTPRequestHandler):
    """Files for who says the password."""

    def do_GET(self):
        if self.headers.get("Authorization") != "Basic YW5uOnMzY3JldA==":  # ann:s3cret
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="x"')
            self.end_headers()
            return
        super().do_GET()

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serve(directory: pathlib.Path):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Guarded, directory=str(directory)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}/origin.git"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_over_http_with_a_password(repository):
    repository.sign("the first one")
    first = repository.push()
    with serve(repository.directory) as place:
        repository.follow(f"http://{place}")
        problem = eventually(lambda: repository.channel().get("problem"))
        assert "could not read Username" in problem or "Authentication failed" in problem, problem
        repository.on_hub("hub", "channel", "remove", "prod")
        stream = repository.hub.listen()
        repository.follow(f"http://ann:s3cret@{place}")
        repository.came(first, "deployed")
        told = stream.until(b'"deployed"').decode()
        stream.close()
        shown = repository.on_hub("hub", "channel", "list")
        assert f"prod follows http://***@{place}#main, directory fleet/site" in shown, shown
        repository.on_hub("hub", "channel", "remove", "prod")
    audit = repository.hub.get("/v1/audit").body.decode()
    for text in told, shown, audit, repository.hub.get("/metrics").body.decode():
        assert "s3cret" not in text and "YW5uOnMzY3JldA" not in text
    assert "channel.add" in audit and f"http://***@{place}" in audit and "event: channel" in told


def test_who_may(repository):
    reader = repository.on_hub("token", "new", "rita", "--role", "reader").strip()
    wish = {"name": "prod", "repository": repository.url, "branch": "main"}
    assert repository.hub.ask("POST", "/v1/channels", wish, token=reader).status == 403
    repository.follow(interval="1h")
    assert repository.hub.get("/v1/channels/prod", token=reader).json["interval"] == 3600
    again = repository.hub.ask("POST", "/v1/channels", wish)
    assert again.status == 409 and "there is a channel 'prod' already" in again.json["error"]
    for path in "/v1/channels/prod/check", "/v1/channels/none/check":
        refused = repository.hub.ask("POST", path, {}, token=reader)
        assert refused.status == 403, refused
    assert repository.hub.ask("DELETE", "/v1/channels/prod", token=reader).status == 403
    bad = repository.call("hub", "channel", "add", "x", "ext::sh#main", "--data", str(repository.hub.data))
    assert bad.returncode == 1 and "write https://, http://, ssh://, git://, file:///PATH or user@host:path" in bad.stderr
    assert "name the branch behind the address" in repository.call("hub", "channel", "add", "x", "https://x", "--data",
                                                                  str(repository.hub.data)).stderr
    assert "no channel 'y'" in repository.call("hub", "channel", "check", "y", "--data", str(repository.hub.data)).stderr
    assert "did you mean 'list'" in repository.call("hub", "channel", "lst").stderr


@pytest.mark.skipif(not real_etcd.AVAILABLE, reason="needs etcd: install etcd-server")
def test_two_hubs_deploy_once(tmp_path):
    (tmp_path / "etcd").mkdir()
    etcd = real_etcd.Etcd(tmp_path / "etcd")
    try:
        etcd.start()
        with Hub(tmp_path / "hub", "--store", etcd.store) as hub, Hub(tmp_path / "other", "--store", etcd.store) as other:
            repository = Repository(tmp_path, hub)
            repository.on_hub("key", "publish", "ada.key.pub")
            repository.sign("the first one")
            first = repository.push()
            repository.follow()
            repository.came(first, "deployed")
            token = hub.token
            mirrors = [one for one in (hub, other) if (one.data / "channels/prod.git").exists()]
            assert len(mirrors) == 1  # only the one that leads
            repository.change("two")
            repository.sign("two")
            lost, left = (hub, other) if mirrors[0] is hub else (other, hub)
            lost.stop(9)
            second = repository.push()
            channel = eventually(lambda: next((one for one in [left.get("/v1/channels/prod", token=token).json]
                                               if one["commit"] == second), None))
            assert channel["outcome"] == "deployed", channel
            assert (left.data / "channels/prod.git").exists()
            deploys = left.get("/v1/deploys", token=token).json["deploys"]
            assert [(one["record"], one["by"]) for one in deploys] == [(1, "channel:prod"), (2, "channel:prod")]
            records = left.get("/v1/audit", token=token).json["records"]
            assert len([one for one in records if one["action"] == "deploy.publish"]) == 2
    finally:
        etcd.kill()
