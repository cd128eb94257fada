"""Drives real clusters on this machine: `with Cluster(directory) as cluster: cluster.begin("a", size=3); cluster.join("b")`."""
import base64
import http.client
import json
import os
import pathlib
import shutil
import signal
import ssl
import subprocess
import threading
import time

from scratch import PATIENCE, STEAD, eventually, free_ports


def stead(*arguments) -> subprocess.CompletedProcess:
    return subprocess.run([STEAD, *map(str, arguments)], capture_output=True, text=True, timeout=PATIENCE * 2, check=False)


def alive(pid: int) -> bool:
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


class Host:
    def __init__(self, directory: pathlib.Path, name: str, port: int = 0):
        """port: the first of three; 0: any."""
        self.data, self.name, self.port = directory / name, name, port or free_ports(3)[0]
        self.listen, self.url = f"127.0.0.1:{self.port}", f"https://127.0.0.1:{self.port}"
        self.log, self.process = directory / f"{name}.log", None

    def start(self, *options):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([STEAD, "cluster", "member", "--data", self.data, *options], stdout=log, stderr=log)
        return self

    def told(self, text: str) -> bool:
        return self.log.exists() and text in self.log.read_text()

    @property
    def etcd(self) -> int:
        """The process of its etcd; 0: there is none."""
        if not self.process:
            return 0
        for child in pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split():
            if pathlib.Path(f"/proc/{child}/comm").read_text().strip() == "etcd":
                return int(child)
        return 0

    def signal(self, number):
        """Supervisor and etcd."""
        for pid in (self.process.pid, self.etcd):
            if pid:
                os.kill(pid, number)

    def kill(self):
        """kill -9 of the supervisor alone: it takes etcd with it."""
        if not self.process:
            return
        pid = self.etcd if self.process.poll() is None else 0
        self.process.kill()
        self.process.wait()
        self.process = None
        if pid:
            eventually(lambda: not alive(pid), "the end of etcd")

    def ask(self, *arguments) -> subprocess.CompletedProcess:
        return stead("cluster", *arguments, "--data", self.data)

    def store(self) -> list:
        return ["--store-ca", self.data / "ca.pem", "--store-cert", self.data / "client.pem", "--store-key", self.data / "key.pem"]

    def state(self, *arguments) -> subprocess.CompletedProcess:
        return stead("state", *arguments, "--store", f"etcd={self.url}", *self.store())


class Cluster:
    def __init__(self, directory: pathlib.Path):
        directory.mkdir(exist_ok=True)
        self.directory, self.hosts = directory, {}

    def __getitem__(self, name: str) -> Host:
        return self.hosts[name]

    def begin(self, name: str, size: int, grace: int = 5, *options) -> Host:
        host = self.hosts[name] = Host(self.directory, name)
        done = host.ask("init", "--host", name, "--listen", host.listen, "--size", size, "--grace", grace)
        assert done.returncode == 0, done.stderr
        host.start(*options)
        eventually(lambda: host.told("the cluster is begun"), "the first member")
        return host

    def call_to_join(self, name: str) -> list[str]:
        call = next(iter(self.hosts.values())).ask("token", name)
        assert call.returncode == 0, call.stderr
        return call.stdout.split()[1:-2]

    def join(self, name: str, *options) -> Host:
        host = self.hosts[name] = Host(self.directory, name)
        done = stead(*self.call_to_join(name), "--listen", host.listen, "--data", host.data)
        assert done.returncode == 0, done.stderr
        return host.start(*options)

    def status(self) -> dict:
        """As any host tells it that runs; {} when none does. Rests first: it is asked again and again."""
        time.sleep(0.1)
        for host in self.hosts.values():
            if host.process:
                # Behind the picture an error may come: at the moment there is no quorum.
                events = [json.loads(line) for line in host.ask("status", "--json").stdout.splitlines()]
                for event in events:
                    if event["event"] == "cluster":
                        return event
        return {}

    def roles(self) -> dict[str, str]:
        return {host["name"]: host["role"] for host in self.status().get("hosts", [])}

    def is_whole(self, members: set[str] | None = None, size: int = 0) -> bool:
        """Those, or so many, are members and answer, and there is no other."""
        roles = self.roles()
        found = {name for name, role in roles.items() if role in ("leader", "member")}
        others = any(role in ("silent", "starting", "learner") for role in roles.values())
        return not others and (found == members if members else len(found) == size)

    def wait(self, members: set[str] | None = None, size: int = 0):
        eventually(lambda: self.is_whole(members, size), f"members {members or size}, not {self.status()}", PATIENCE * 2)

    def leader(self) -> str:
        return eventually(lambda: next((name for name, role in self.roles().items() if role == "leader"), None), "a leader")

    def state(self, *arguments) -> subprocess.CompletedProcess:
        return self.hosts[self.leader()].state(*arguments)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for host in self.hosts.values():
            if host.process:
                host.signal(signal.SIGCONT)
            host.kill()
        for logs in self.directory.glob("**/member/wal"):  # 128 MB each
            shutil.rmtree(logs, ignore_errors=True)


class Writer(threading.Thread):
    """Puts one key after the other, each until a member has taken it; knows the longest time between two."""

    def __init__(self, cluster: Cluster, number: int, prefix: str):
        super().__init__(daemon=True)
        self.prefix = f"{prefix}{number}/"
        self.number, self.written, self.over = number, 0, threading.Event()
        self.urls = [host.port for host in cluster.hosts.values() if host.process]
        some = next(iter(cluster.hosts.values()))
        self.context = ssl.create_default_context(cafile=str(some.data / "ca.pem"))
        self.context.load_cert_chain(some.data / "client.pem", some.data / "key.pem")
        self.context.check_hostname = True
        self.pause, self.last = 0.0, time.monotonic()

    def put(self, connection, value: str) -> bool:
        key = base64.b64encode(f"{self.prefix}{value}".encode()).decode()
        body = json.dumps({"key": key, "value": base64.b64encode(value.encode()).decode()})
        connection.request("POST", "/v3/kv/put", body, {"Grpc-Metadata-hasleader": "true"})
        return connection.getresponse().read().startswith(b'{"header"')

    def run(self):
        at, connection = self.number, None
        while not self.over.is_set():
            try:
                connection = connection or http.client.HTTPSConnection(
                    "127.0.0.1", self.urls[at % len(self.urls)], timeout=1, context=self.context)
                taken = self.put(connection, str(self.written))
            except (OSError, http.client.HTTPException):
                taken = False
            if taken:
                now = time.monotonic()
                self.pause, self.last = max(self.pause, now - self.last), now
                self.written += 1
                continue
            if connection:
                connection.close()
            connection, at = None, at + 1
            time.sleep(0.02)


class Load:
    """`with Load(cluster) as load: ...`; then load.pause, load.written and load.lost(host)."""

    def __init__(self, cluster: Cluster, writers: int = 4):
        self.prefix = f"load/{time.monotonic_ns()}/"
        self.writers = [Writer(cluster, number, self.prefix) for number in range(writers)]

    def __enter__(self):
        for writer in self.writers:
            writer.start()
        eventually(lambda: all(writer.written > 5 for writer in self.writers), "the first writes")
        for writer in self.writers:
            writer.pause = 0.0
        return self

    def __exit__(self, *_):
        for writer in self.writers:
            writer.over.set()
        for writer in self.writers:
            writer.join(PATIENCE)

    @property
    def pause(self) -> float:
        return max(writer.pause for writer in self.writers)

    @property
    def written(self) -> int:
        return sum(writer.written for writer in self.writers)

    def go_on(self):
        """Waits until every writer has written again."""
        counts = [writer.written for writer in self.writers]
        eventually(lambda: all(writer.written > count + 5 for writer, count in zip(self.writers, counts)), "writes after it")

    def lost(self, host: Host) -> list[str]:
        listed = host.state("range", self.prefix, "--keys-only")
        assert listed.returncode == 0, listed.stderr
        there = set(listed.stdout.split())
        wanted = [f"{writer.prefix}{n}" for writer in self.writers for n in range(writer.written)]
        return [key for key in wanted if key not in there]
