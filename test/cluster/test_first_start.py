"""A host, or its supervisor, is killed while an etcd starts for the first time: it is always a member in the end."""
import random
import shutil
import time

from clusters import Cluster, Host
from scratch import PATIENCE, eventually


def await_log(*hosts: Host) -> Host:
    """The first that has a log of etcd. Without a rest between two looks: it is of use for milliseconds."""
    end = time.monotonic() + PATIENCE
    while True:
        for host in hosts:
            if (host.data / "etcd/member/wal").is_dir():
                return host
        assert time.monotonic() < end, "waited in vain for a log of etcd"


def kill_once(host: Host, when: float):
    """So many seconds after there is a log of etcd. In the first of them it has nothing in it, and is of no use."""
    host.start()
    await_log(host)  # from the second time on that of the last start, at once, or its own a little later
    time.sleep(when)
    host.process.kill()
    host.kill()


def begin_unstarted(cluster: Cluster, name: str) -> Host:
    host = cluster.hosts[name] = Host(cluster.directory, name)
    done = host.ask("init", "--host", name, "--listen", host.listen, "--size", 1, "--grace", 5)
    assert done.returncode == 0, done.stderr
    return host


def become_a_cluster(cluster: Cluster, host: Host):
    host.start()

    def begun() -> bool:
        if host.process.poll() is not None:  # somebody's connection had one of its ports; its unit starts it again too
            host.start()
        return host.told("the cluster is begun")

    eventually(begun, "the first member")
    cluster.wait({host.name})


def cut_short(cluster: Cluster) -> Host | None:
    """A founder whose first start was killed twice; None: it was through with it before the kill came."""
    host = begin_unstarted(cluster, "a")
    kill_once(host, 0)
    kill_once(host, 0)
    return host if (host.data / "authority.json").exists() else None


def test_founder_killed_as_its_log_is_made(tmp_path):
    for turn in range(10):
        with Cluster(tmp_path / str(turn)) as cluster:
            if host := cut_short(cluster):
                begins_anew_once(cluster, host)
                return
    raise AssertionError("the kill always came too late")


def begins_anew_once(cluster: Cluster, host: Host):
    become_a_cluster(cluster, host)
    assert host.told("the first start of the cluster was cut short and begins anew"), host.log.read_text()
    assert [path.name for path in host.data.glob("etcd-*")] == ["etcd-unfinished"]  # of many only the last
    # From now on nothing is begun anew, however often it is killed.
    assert host.state("put", "greeting", "hello").returncode == 0
    for _ in range(3):
        host.kill()
        host.log.write_text("")
        host.start()
        eventually(lambda: host.state("get", "greeting").stdout == "hello", "the value")
        assert not host.told("begins anew")


def test_founder_killed_at_random(tmp_path, request):
    for turn in range(30 if request.config.getoption("--soak") else 3):
        with Cluster(tmp_path / str(turn)) as cluster:
            host = begin_unstarted(cluster, "a")
            whens = [random.expovariate(20) for _ in range(random.randint(1, 3))]
            for when in whens:
                kill_once(host, when)
            try:
                become_a_cluster(cluster, host)
            except AssertionError as error:
                raise AssertionError(f"killed {whens} s after the log was there: {host.log.read_text()}") from error
        shutil.rmtree(tmp_path / str(turn))


def test_learner_killed_as_its_log_is_made(tmp_path):
    """etcd itself gets over this one: the others tell it who they are."""
    with Cluster(tmp_path) as cluster:
        cluster.begin("a", size=3, grace=5)
        cluster.join("b")
        cluster.join("c")
        victim = await_log(cluster["b"], cluster["c"])
        victim.process.kill()
        victim.kill()
        victim.start()
        cluster.wait({"a", "b", "c"})
