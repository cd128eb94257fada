"""Runs the console blocks of doc/cluster.md: each prompt is a host of its own, with another address and directory."""
import os
import re
import subprocess

from clusters import Cluster, Host
from scratch import PATIENCE, REPOSITORY, STEAD, eventually, free_ports

PAGE = REPOSITORY / "doc/cluster.md"
ADDRESSES = {"192.0.2.1": "db1", "192.0.2.2": "db2", "192.0.2.3": "db3", "192.0.2.9": "new1"}
# What differs from one time to the next.
VARIES = [(r"etcd \d\S+, \d+ KiB", "etcd"), (r"revision \d+", "revision N"), (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d: promoted \w+", "promoted"),
          (r"--token \S+", "--token T"), (r"sha256:\S+", "sha256:F"), (r"without \d+ under", "without N under"),
          (r"(?m)^next: .*$", "next"), (r"(?m)^(db\d) +(leader|member)", r"\1 \2")]


def plain(text: str) -> str:
    for pattern, word in VARIES:
        text = re.sub(pattern, word, text)
    return "\n".join(sorted(text.strip().splitlines()))


class Page:
    def __init__(self, directory):
        self.directory, self.cluster, self.call = directory, Cluster(directory), {}
        ports = free_ports(3 * len(ADDRESSES))[::3]  # of all at once: none is taken before it is started
        self.cluster.hosts = {name: Host(directory, name, port) for name, port in zip(ADDRESSES.values(), ports)}

    def real(self, host: Host, text: str) -> str:
        for address, name in ADDRESSES.items():
            port = self.cluster[name].port
            text = re.sub(rf"{re.escape(address)}:(\d+)", lambda found: f"127.0.0.1:{port + int(found[1]) - 2379}", text)
            text = re.sub(rf"{re.escape(address)}(?![\d.:])", f"127.0.0.1:{port}", text)
        return text.replace("/var/lib/stead-cluster", str(host.data))

    def shown(self, text: str) -> str:
        for address, name in ADDRESSES.items():
            for offset in range(3):
                text = text.replace(f"127.0.0.1:{self.cluster[name].port + offset}", f"{address}:{2379 + offset}")
        return text

    def run(self, host: Host, command: str) -> str:
        if "cluster join" in command:
            token = self.call[host.name]
            command = re.sub(r"--token \S+ --ca-fingerprint \S+", token, command)
        line = self.real(host, command)
        line += f" --data {host.data}" if line.startswith("stead cluster") else ""
        done = subprocess.run(["bash", "-c", line], cwd=self.directory, capture_output=True, text=True, check=False,
                              timeout=PATIENCE, env=dict(os.environ, PATH=f"{STEAD.parent}:{os.environ['PATH']}"))
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        if "cluster token" in command:
            self.call[command.split()[-1]] = re.search(r"--token \S+ --ca-fingerprint \S+", done.stdout)[0]
        return self.shown(done.stdout)

    def start(self, host: Host):
        host.start()
        if host.name in ("db1", "new1"):
            eventually(lambda: host.told("the cluster is begun"), "the first member")


def test_page(tmp_path):
    page = Page(tmp_path / "hosts")
    blocks = re.findall(r"^```console\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    steps = [step for block in blocks for step in re.findall(r"^(\w+)# (.*)\n((?:(?!\w+# ).*\n)*)", block, re.MULTILINE)]
    assert len(steps) >= 13
    with page.cluster:
        for name, command, expected in steps:
            host = page.cluster[name]
            if command.startswith("systemctl"):
                page.start(host)
                continue
            if "db3 " in expected:  # "joins in the same way"
                page.run(page.cluster["db1"], "stead cluster token db3")
                page.run(page.cluster["db3"], "stead cluster join https://192.0.2.1:2381 --token x --ca-fingerprint x --listen 192.0.2.3")
                page.start(page.cluster["db3"])
                page.cluster.wait({"db1", "db2", "db3"})
            printed = page.run(host, command)
            assert plain(printed) == plain(expected), command
