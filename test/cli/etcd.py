"""A real etcd of one member, that can be killed and started again."""
import pathlib
import shutil
import subprocess

from scratch import STEAD, eventually, free_ports

AVAILABLE = shutil.which("etcd") is not None


class Etcd:
    def __init__(self, directory: pathlib.Path, *options: str):
        client, peer = (f"http://127.0.0.1:{port}" for port in free_ports(2))
        self.directory, self.peer, self.url, self.process = directory, peer, client, None
        self.options = options

    @property
    def store(self) -> str:
        return f"etcd={self.url}"

    def state(self, *arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run([STEAD, "state", *arguments, "--store", self.store], capture_output=True, text=True,
                              timeout=60, check=False)

    def start(self):
        self.process = subprocess.Popen(
            ["etcd", "--data-dir", str(self.directory / "data"), "--listen-client-urls", self.url,
             "--advertise-client-urls", self.url, "--listen-peer-urls", self.peer,
             "--initial-advertise-peer-urls", self.peer, "--initial-cluster", f"default={self.peer}",
             "--log-level", "error", *self.options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        eventually(lambda: self.state("range", "none/").returncode == 0, "etcd")
        return self

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None
