"""Deploys as an operator and a hub make them, by hand in a real etcd: each part can be wrong."""
import base64
import json
import pathlib
import subprocess
import urllib.request

from scratch import STEAD, Site, eventually

FLEET = "stead/1/fleet/"
CHUNK = 512 * 1024


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def stead(*words) -> str:
    done = subprocess.run([STEAD, *map(str, words)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Deploy:
    """A bundle, and a statement about it: record, digest (without sha256:), statement, packed."""

    def __init__(self, record: int, digest: str, statement: str, packed: bytes):
        self.record, self.digest, self.statement, self.packed = record, digest, statement, packed


class Deployer:
    def __init__(self, directory: pathlib.Path, etcd):
        self.directory, self.etcd = directory, etcd
        directory.mkdir()
        self.key = self.new_key("ada")
        self.previous = {0: None}

    def new_key(self, name: str) -> pathlib.Path:
        path = self.directory / f"{name}.key"
        stead("key", "new", path, "--comment", name)
        return path

    @property
    def public(self) -> str:
        return pathlib.Path(f"{self.key}.pub").read_text().strip()

    # --- the store

    def call(self, method: str, **body):
        request = urllib.request.Request(f"{self.etcd.url}/v3/kv/{method}", json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def clear(self):
        self.call("deleterange", key="AA==", range_end="AA==")

    def put(self, key: str, value: bytes | str | dict):
        data = json.dumps(value) if isinstance(value, dict) else value
        data = data.encode() if isinstance(data, str) else data
        self.call("put", key=b64(key.encode()), value=b64(data))

    def delete(self, key: str):
        self.call("deleterange", key=b64(key.encode()))

    def get(self, key: str) -> dict | None:
        found = self.call("range", key=b64(key.encode())).get("kvs")
        return json.loads(base64.b64decode(found[0]["value"])) if found else None

    def below(self, prefix: str) -> dict:
        """Keys that begin with prefix, to their values."""
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        found = self.call("range", key=b64(prefix.encode()), range_end=b64(end.encode())).get("kvs", [])
        return {base64.b64decode(kv["key"]).decode(): json.loads(base64.b64decode(kv["value"])) for kv in found}

    # --- what an operator does

    def pack(self, files: dict[str, str]) -> pathlib.Path:
        site = self.directory / "site"
        subprocess.run(["rm", "-rf", site], check=True)
        for name, text in files.items():
            path = site / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        bundle = self.directory / "site.bundle"
        bundle.unlink(missing_ok=True)
        stead("bundle", "pack", site, "-o", bundle)
        return bundle

    def sign(self, record: int, files: dict[str, str] | str, key: pathlib.Path | None = None, message="why") -> Deploy:
        """Also of a number that was there."""
        bundle = self.pack({"main.lua": files} if isinstance(files, str) else files)
        statement = pathlib.Path(f"{bundle}.signed")
        statement.unlink(missing_ok=True)
        before = self.previous.get(record - 1)
        words = ["--previous", f"sha256:{before}"] if before else []
        stead("bundle", "sign", bundle, "--key", key or self.key, "--record", record, "--message", message, *words)
        digest = stead("bundle", "show", bundle).split()[0].removeprefix("sha256:")
        if not key:
            self.previous[record] = digest
        return Deploy(record, digest, statement.read_text(), bundle.read_bytes())

    # --- what a hub does

    def store(self, deploy: Deploy, **members):
        """Record and bundle; members: what the record says else."""
        upload = f"{deploy.digest}/u{deploy.record}"
        for number in range(0, len(deploy.packed), CHUNK):
            self.put(f"stead/1/bundle/chunk/{upload}/{number // CHUNK:012}", deploy.packed[number:number + CHUNK])
        self.put(f"stead/1/bundle/head/{deploy.digest}", {"size": len(deploy.packed), "upload": upload})
        self.put(f"{FLEET}record/{deploy.record:012}", {"digest": deploy.digest, "statement": deploy.statement, **members})

    def want(self, host: str, deploy: Deploy, **members):
        self.put(f"{FLEET}desired/{host}", {"record": deploy.record, "digest": deploy.digest, "back": False, **members})

    def deploy(self, host: str, record: int, files: dict[str, str] | str, **options) -> Deploy:
        made = self.sign(record, files, **options)
        self.store(made)
        self.want(host, made)
        return made

    def reported(self, host: str) -> dict:
        return self.get(f"{FLEET}reported/{host}") or {}

    def wait(self, host: str, **members) -> dict:
        """Until the host says so of itself."""
        def says():
            report = self.reported(host)
            return all(report.get(name) == value for name, value in members.items()) and report
        try:
            return eventually(says)
        except AssertionError:
            raise AssertionError(f"{host} does not report {members}, but {self.reported(host)}") from None


class Follower(Site):
    """A machine whose agent follows the deploys in a store."""

    def __init__(self, directory: pathlib.Path, deployer: Deployer, pin: bool = True):
        directory.mkdir()
        super().__init__(directory)
        self.deployer, self.name = deployer, directory.name
        self.state = self.root / "var/lib/stead"
        if pin:
            self.pin(deployer.public)

    def pin(self, key: str):
        stead("agent", "pin", key, "--state", self.state)

    def command(self, command: str, *arguments: str, file=None) -> list[str]:
        words = super().command(command, *arguments, file=file)
        if command == "agent":
            words.remove(str(self.file))
            words += ["--exchange-ttl", "5", *self.where()]
        return words

    def where(self) -> list[str]:
        return ["--exchange", self.deployer.etcd.store, "--host", self.name]

    def read(self, name: str) -> str | None:
        path = self.path(name)
        return path.read_text() if path.exists() else None

    def status(self, part: str) -> dict:
        return (self.run("status", "--json").of(part) or [{}])[0]
