"""A cluster of real etcd processes grows, loses members for good, loses its quorum, shrinks. One cluster goes through it all:
each test begins with what the one before left whole."""
import json
import pathlib
import shutil
import signal
import subprocess

import pytest
from clusters import Cluster, Host, Load, stead
from scratch import PATIENCE, STEAD, eventually

# Seconds that a member may be silent before another takes its place. An election takes 1 s, and up to as much again by chance;
# on a busy machine twice that.
GRACE = 8


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with Cluster(tmp_path_factory.mktemp("cluster")) as running:
        running.begin("a", size=3, grace=GRACE)
        yield running


def test_one_alone_and_a_pair_is_not_made(cluster):
    cluster.wait({"a"})
    cluster.join("b")
    eventually(lambda: "waits for 1 more host" in cluster["a"].ask("status").stdout, "what it waits for")
    eventually(lambda: cluster.roles() == {"a": "leader", "b": "spare"}, "the two")
    refused = stead("state", "get", "x", "--store", f"etcd={cluster['a'].url}", "--store-ca", cluster["a"].data / "ca.pem")
    assert refused.returncode == 4, refused.stderr  # without a certificate nobody gets in


def test_three_and_a_spare(cluster):
    cluster.join("c")
    cluster.wait({"a", "b", "c"})
    cluster.join("d")
    eventually(lambda: cluster.roles().get("d") == "spare", "the spare one")
    assert cluster.state("put", "greeting", "hello").returncode == 0
    for name in "abcd":
        assert (cluster[name].data / "key.pem").stat().st_mode & 0o777 == 0o600
    assert not (cluster["a"].data / "authority.json").exists()  # it is in the store alone


def test_leader_killed_for_good_under_load(cluster):
    leader = cluster.leader()
    with Load(cluster) as load:
        cluster[leader].kill()
        load.go_on()
        pause = load.pause
        cluster.wait({"a", "b", "c", "d"} - {leader})
        load.go_on()
    survivor = cluster["abcd".replace(leader, "")[0]]
    print(f"\nleader killed under load: pause {pause:.2f} s, {load.written} writes, {len(load.lost(survivor))} lost")
    assert load.lost(survivor) == []
    assert pause < GRACE  # it is the election that is waited for, not the replacement
    assert survivor.state("get", "greeting").stdout == "hello"
    # What was removed while it was away moves its data aside and waits.
    cluster[leader].start()
    eventually(lambda: cluster.roles().get(leader) == "spare", "the lost one as a spare")
    assert cluster[leader].told("removed from the cluster: this host is no member; its data were moved aside")
    assert [path.name for path in cluster[leader].data.glob("etcd*") if path.name.startswith("etcd-2")]


def erase(data: pathlib.Path) -> str:
    shutil.rmtree(data / "etcd")
    return "the data of etcd are gone"


def damage(data: pathlib.Path) -> str:
    (data / "etcd/member/snap/db").write_bytes(b"x" * 8192)
    return "etcd ended with exit code"  # a few times, until it is said to be broken, or was silent for too long


def test_data_lost(cluster, request):
    """A disk that was lost: the member is replaced at once, without the grace time, by whoever is there. One that etcd cannot
    read is tried a few times before."""
    for lose in (erase, damage) if request.config.getoption("--soak") else (erase,):
        victim = next(name for name, role in cluster.roles().items() if role == "member")
        cluster[victim].kill()
        finding = lose(cluster[victim].data)
        cluster[victim].start()
        eventually(lambda: cluster[victim].told(finding), "its own finding")
        cluster.wait(size=3)
        assert cluster.state("get", "greeting").stdout == "hello"


def test_quorum_lost_and_back(cluster):
    members = [name for name, role in cluster.roles().items() if role in ("leader", "member")]
    left, frozen = cluster[members[0]], [cluster[name] for name in members[1:]]
    for host in frozen:
        host.signal(signal.SIGSTOP)

    def shows_the_loss() -> bool:
        shown = left.ask("status")
        return (shown.returncode == 4 and "1 of 3 members are in reach" in shown.stdout
                and "the cluster has no quorum, nothing can be read or written" in shown.stderr)

    def writes_fail() -> bool:  # it is a while before its own etcd knows that there is no leader
        failed = left.state("put", "during", "1")
        assert failed.returncode == 4, failed
        return "no leader" in failed.stderr

    eventually(shows_the_loss, "the loss")
    eventually(writes_fail, "the word that there is no leader")
    for host in frozen:
        host.signal(signal.SIGCONT)
    eventually(lambda: left.state("put", "after", "1").returncode == 0, "writes after it")
    cluster.wait(set(members))  # nobody was replaced meanwhile
    for host in (left, *frozen):
        assert host.state("get", "greeting").stdout == "hello"


def test_resize_live(cluster, tmp_path):
    assert "write 1, 3, 5 or 7" in cluster["a"].ask("size", "4").stderr
    cluster.join("e")
    eventually(lambda: len(cluster.roles()) == 5, "five hosts")
    pictures = tmp_path / "told"
    with pictures.open("w") as file:
        watch = subprocess.Popen([STEAD, "cluster", "status", "--watch", "--json", "--data", cluster["a"].data], stdout=file)
    try:
        eventually(lambda: '"members":3' in pictures.read_text(), "the watch to begin")
        assert cluster["a"].ask("size", "5").returncode == 0
        cluster.wait(size=5)
        eventually(lambda: '"members":5' in pictures.read_text(), "the watch to tell")
        watch.send_signal(signal.SIGTERM)
        assert watch.wait(PATIENCE) == 0
    finally:
        watch.kill()
        watch.wait()
    lines = [json.loads(line) for line in pictures.read_text().splitlines()]
    seen = [line for line in lines if line["event"] == "cluster"]  # and warnings, while it hears of no quorum
    told = {picture["members"] for picture in seen}
    assert told >= {3, 5}
    # One after the other; the watch, which looks every second, may have been away for longer.
    assert 4 in told or any(host.told("added as a learner (4 of 5 members)") for host in cluster.hosts.values())
    assert all(sum(host["role"] in ("learner", "starting") for host in picture["hosts"]) <= 1 for picture in seen)
    with Load(cluster) as load:
        assert cluster["a"].ask("size", "3").returncode == 0
        cluster.wait(size=3)
        load.go_on()
    member = cluster[cluster.leader()]
    assert load.lost(member) == []
    eventually(lambda: sorted(cluster.roles().values()) == ["leader", "member", "member", "spare", "spare"], "two spares")


def test_token_is_good_once_and_wrong_authorities_get_nothing(cluster, tmp_path):
    assert "a host of that name is there" in cluster["a"].ask("token", "b").stderr
    assert "read '--grace 1': write 3 to 86400 seconds" in cluster["a"].ask("size", "3", "--grace", "1").stderr
    call = cluster.call_to_join("x")
    other = Host(tmp_path, "x")
    wrong = [word if not word.startswith("sha256:") else "sha256:" + "0" * 64 for word in call]
    done = stead(*wrong, "--listen", other.listen, "--data", other.data)
    assert done.returncode == 1 and "nothing was sent to it" in done.stderr
    assert stead(*call, "--listen", other.listen, "--data", other.data).returncode == 0
    done = stead(*call, "--listen", other.listen, "--data", tmp_path / "y")
    assert done.returncode == 1 and "the token is not known: it was used, or is mistyped" in done.stderr
    assert not (tmp_path / "y/config.json").exists()
    again = stead("cluster", "init", "--listen", other.listen, "--data", other.data)
    assert again.returncode == 1 and "is of a cluster already" in again.stderr
    name = stead("cluster", "init", "--listen", "example.org", "--data", tmp_path / "z")
    assert name.returncode == 1 and "write one address of this host" in name.stderr
    assert not list(pathlib.Path(tmp_path / "z").glob("*"))
