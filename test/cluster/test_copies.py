"""Snapshots, restoring them into a new cluster, and moving the state of a hub from SQLite to etcd."""
import json
import os
import signal
import subprocess

import pytest
from clusters import Cluster, stead
from etcd import Etcd
from scratch import PATIENCE, STEAD, eventually, free_ports


@pytest.fixture
def one(tmp_path):
    with Cluster(tmp_path / "cluster") as running:
        running.begin("a", 1, 5, "--snapshot-every", "2", "--retain", "2")
        yield running["a"]


def test_snapshot_and_restore(one, tmp_path):
    for n in range(20):
        assert one.state("put", f"k/{n:02}", f"value {n}").returncode == 0
    lease = one.state("lease", "grant", "60", "--quiet").stdout.strip()
    assert one.state("put", "here/a", "1", "--lease", lease).returncode == 0
    file = tmp_path / "copy.stead"
    saved = one.ask("snapshot", file)
    assert saved.returncode == 0 and "20 keys of revision" in saved.stdout, saved
    assert file.stat().st_mode & 0o777 == 0o600
    # By itself, the last two.
    snapshots = one.data / "snapshots"
    eventually(lambda: snapshots.exists() and len(list(snapshots.glob("*.stead"))) == 2, "snapshots by itself")
    first = sorted(snapshots.glob("*.stead"))[0]
    eventually(lambda: not first.exists(), "the oldest to go")
    with Cluster(tmp_path / "new") as again:
        new = again.begin("n", size=1)
        bad = tmp_path / "bad.stead"
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        bad.write_bytes(content)
        refused = new.ask("restore", bad)
        assert refused.returncode == 1 and "bad.stead" in refused.stderr, refused.stderr
        assert new.state("range", "k/").stdout == ""
        restored = new.ask("restore", file)
        assert restored.returncode == 0 and "restored" in restored.stdout, restored.stderr
        assert new.state("range", "k/").stdout == one.state("range", "k/").stdout
        assert new.state("get", "here/a").returncode != 0  # whoever held the lease says it again
        refused = new.ask("restore", file)
        assert refused.returncode == 1 and "it is not empty" in refused.stderr


def test_watch_is_told_that_the_cluster_is_another(tmp_path):
    """A watch that goes on in a cluster that was restored would miss what happened there: it ends instead."""
    old, new = Etcd(tmp_path / "old").start(), None
    try:
        for n in range(20):
            old.state("put", "k", str(n))
        watch = subprocess.Popen([STEAD, "state", "watch", "k", "--json", "--revision", "1", "--store", old.store],
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(20):
            assert watch.stdout.readline()
        old.kill()
        # With a token of its own, as any new cluster of ours has one: else its number would be the old one's.
        new = Etcd(tmp_path / "new", "--initial-cluster-token", "other")
        new.url = old.url
        new.start()
        assert new.state("put", "k", "other").returncode == 0
        out, err = watch.communicate(timeout=PATIENCE)
        assert watch.returncode == 4 and "this is another cluster of etcd than before" in out, (out, err)
    finally:
        old.kill()
        if new:
            new.kill()


# --- moving a hub


class Hub:
    def __init__(self, data, *options, port=0):
        self.process = subprocess.Popen([STEAD, "hub", "--data", data, "--listen", f"127.0.0.1:{port}", "--json", *options],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.started = json.loads(self.process.stdout.readline() or "{}")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.communicate(timeout=PATIENCE)


@pytest.fixture
def hub(tmp_path):
    """The directory of a hub that was stopped, with some state."""
    running = Hub(tmp_path / "hub")
    running.stop()
    store = ["--store", f"sqlite={tmp_path}/hub/state.db"]
    for n in range(8):
        assert stead("state", "put", f"stead/1/kv/{n}", "x" * 90000, *store).returncode == 0
    lease = stead("state", "lease", "grant", "600", "--quiet", *store).stdout.strip()
    assert stead("state", "put", "stead/1/host/web1", "up", "--lease", lease, *store).returncode == 0
    return tmp_path / "hub", running.started, lease


@pytest.fixture
def target(tmp_path):
    one = Etcd(tmp_path / "etcd").start()
    yield one
    one.kill()


def migrate(data, target, *options):
    return stead("hub", "migrate", "--data", data, "--to", target.store, *options)


def test_migrate(hub, target):
    data, started, lease = hub
    before = stead("state", "range", "", "--store", f"sqlite={data}/state.db").stdout
    done = migrate(data, target)
    assert done.returncode == 0 and "read back and compared" in done.stdout, done.stderr
    assert target.state("range", "").stdout == before
    # The lease is the same one, so whoever holds it notices nothing.
    kept = target.state("lease", "keep", lease)
    assert kept.returncode == 0 and "600 s" in kept.stdout, kept
    assert not (data / "state.db").exists() and (data / "state.db.migrated").exists()
    mistake = stead("hub", "--data", data, "--listen", "127.0.0.1:0")
    assert mistake.returncode == 1 and f"its state went to {target.store}: add --store {target.store}" in mistake.stderr
    again = migrate(data, target)
    assert again.returncode == 0 and "already" in again.stdout
    running = Hub(data, "--store", target.store)
    assert running.started["ca_fingerprint"] == started["ca_fingerprint"] and "token" not in running.started
    running.stop()


def test_agents_read_anew_after_a_migration(hub, target, tmp_path):
    """A host's watch at the hub ends when the store behind that is another one, whose revisions mean nothing to it."""
    port = free_ports(1)[0]  # where nobody's connection is while no hub runs
    running = Hub(hub[0], port=port)
    call = stead("token", "new", "--host", "web1", "--data", hub[0]).stdout.split()[1:]
    assert stead(*call, "--state", tmp_path / "web1").returncode == 0
    mine = tmp_path / "web1/hub"
    store = ["--store", f"etcd=https://127.0.0.1:{port}", "--store-ca", mine / "ca.pem", "--store-cert", mine / "certificate.pem",
             "--store-key", mine / "key.pem"]
    assert stead("state", "put", "stead/1/kv/web1", "1", *store).returncode == 0
    watch = subprocess.Popen([STEAD, "state", "watch", "stead/1/kv/", "--json", "--revision", "1", *map(str, store)],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert '"event":"put"' in watch.stdout.readline()
    running.stop()
    assert migrate(hub[0], target).returncode == 0
    running = Hub(hub[0], "--store", target.store, port=port)
    out, err = watch.communicate(timeout=PATIENCE)
    running.stop()
    assert watch.returncode == 4 and "this is another cluster of etcd than before" in out, (out, err)


def test_migrate_refuses_what_has_something(hub, target):
    data = hub[0]
    target.state("put", "mine", "1")
    done = migrate(data, target)
    assert done.returncode == 1 and 'it is not empty, it has the key "mine"' in done.stderr, done.stderr
    assert target.state("range", "").stdout == "mine 1\n" and (data / "state.db").exists()
    assert stead("hub", "migrate", "--data", data / "none", "--to", target.store).returncode == 1
    running = Hub(data)
    busy = migrate(data, target)
    running.stop()
    assert busy.returncode != 0 and "stop the hub first" in busy.stderr, busy.stderr


def test_migrate_killed_and_run_again(hub, target):
    """Killed after longer and longer times, until one run gets through."""
    data = hub[0]
    before = stead("state", "range", "", "--store", f"sqlite={data}/state.db").stdout
    killed = 0
    for n in range(30):
        process = subprocess.Popen([STEAD, "hub", "migrate", "--data", data, "--to", target.store],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            process.communicate(timeout=0.01 * 1.3 ** n)
            break
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            killed += 1
            part = target.state("range", "stead/1/cluster/fill").stdout
            if part and killed == 1:
                refused = stead("hub", "--data", data, "--store", target.store, "--listen", "127.0.0.1:0")
                assert refused.returncode == 1 and "it has only a part" in refused.stderr, refused.stderr
    assert killed > 0
    assert migrate(data, target).returncode == 0
    assert target.state("range", "").stdout == before
    assert os.listdir(data).count("state.db.migrated") == 1


def test_migrate_into_a_full_store(hub, tmp_path):
    data = hub[0]
    small = Etcd(tmp_path / "small", "--quota-backend-bytes", "200000")
    try:
        small.start()
        done = migrate(data, small)
        assert done.returncode == 4 and "database space exceeded" in done.stderr, done.stderr
        assert (data / "state.db").exists() and not (data / "migrated.json").exists()
    finally:
        small.kill()
    running = Hub(data)  # as if nothing had been
    assert running.started["ca_fingerprint"] == hub[1]["ca_fingerprint"]
    running.stop()
