"""stead state: what doc/state.md shows, errors, and a store in a real etcd."""
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess

import pytest

from scratch import REPOSITORY, STEAD, eventually, free_ports

PAGE = REPOSITORY / "doc/state.md"


def stead(*arguments, **options):
    return subprocess.run([STEAD, "state", *map(str, arguments)], capture_output=True, text=True, check=False,
                          timeout=60, **options)


def shell(commands, cwd):
    """What each command printed, both streams, one shell for all."""
    script = "".join(f"{{ {command}\n}} 2>&1\necho '<<end>>'\n" for command in commands)
    path = f"{STEAD.parent}:{os.environ['PATH']}"
    done = subprocess.run(["bash"], input=script, cwd=cwd, env={**os.environ, "PATH": path}, capture_output=True,
                          text=True, check=False, timeout=120)
    return done.stdout.split("<<end>>\n")[:-1]


def examples():
    """(command, output) of the page, in its order."""
    for block in re.findall(r"^```console\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE):
        for command, output in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE):
            yield command, output


def test_page_shows_what_happens(tmp_path):
    pairs = list(examples())
    assert len(pairs) >= 20
    printed = shell([command for command, _ in pairs], tmp_path)
    assert [(command, text) for (command, _), text in zip(pairs, printed)] == pairs


@pytest.mark.parametrize("arguments, code, message", [
    (("pu",), 1, "no such verb 'pu', did you mean 'put'?"),
    (("get",), 1, "usage: stead state get KEY"),
    (("range", "--store", "fleet.db"), 1, "write sqlite=FILE or etcd=URL[,URL...]"),
    (("range", "--store", "etcd=10.0.0.1:2379"), 1, "write http://HOST:2379 or https://HOST:2379"),
    (("range",), 1, "say --store sqlite=FILE or etcd=URL[,URL...], or set STEAD_STORE"),
    (("lease", "grant", "never"), 1, "write 1 to 31622400 seconds"),
    (("lease", "make", "5"), 1, "use grant, keep, show or revoke"),
    (("lease", "keep", "0", "--store", "sqlite=s.db"), 1, "'0' is no lease"),
    (("lease", "keep", "f9", "--store", "sqlite=s.db"), 4, "use lease 00000000000000f9: it expired"),
    (("compact", "x", "--store", "sqlite=s.db"), 1, "'x' is no revision"),
    (("range", "--store", "etcd=http://127.0.0.1:1"), 4, "connect: Connection refused; does etcd run there"),
    (("range", "--store", "sqlite=none/s.db"), 4, "open 'none/s.db"),
    (("range", "--store", "etcd=https://127.0.0.1:1", "--store-ca", "none.pem"), 1, "read 'none.pem'"),
])
def test_errors_say_what_to_do(tmp_path, arguments, code, message):
    options = {} if any(word.startswith("--store") for word in arguments) or arguments == ("range",) else \
        {"env": {**os.environ, "STEAD_STORE": "sqlite=s.db"}}
    done = stead(*arguments, cwd=tmp_path, **options)
    assert done.returncode == code and message in done.stderr, done.stderr


def test_values_are_bytes(tmp_path):
    store = ("--store", f"sqlite={tmp_path}/s.db")
    value = bytes(range(256)) * 40
    done = subprocess.run([STEAD, "state", "put", "k", "-", *store], input=value, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert subprocess.run([STEAD, "state", "get", "k", *store], capture_output=True, check=True).stdout == value
    assert "$bytes" in json.loads(stead("range", "--json", *store).stdout)["value"]
    assert (tmp_path / "s.db").stat().st_mode & 0o777 == 0o600
    big = subprocess.run([STEAD, "state", "put", "k", "-", *store], input=b"x" * (1 << 21), capture_output=True,
                         check=False)
    assert big.returncode == 4 and b"STORE_LIMIT_VALUE" in big.stderr


def test_watch_prints_until_it_is_interrupted_and_keeps_the_file(tmp_path):
    store = ("--store", f"sqlite={tmp_path}/s.db")
    assert stead("put", "web/1", "x", *store).returncode == 0
    with subprocess.Popen([STEAD, "state", "watch", "--revision", "2", *store], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as watch:
        assert watch.stdout.readline() == "2 put web/1 x\n"
        refused = stead("put", "web/1", "y", *store)
        assert refused.returncode == 4
        assert f"the process {watch.pid} has it open" in refused.stderr
        watch.send_signal(signal.SIGINT)
        assert watch.wait(timeout=30) == 0
    assert stead("put", "web/1", "y", *store).returncode == 0


@contextlib.contextmanager
def running_etcd(directory, scheme="http", options=(), login=()):
    """The address of an etcd of our own, which serves whom `login` is."""
    if not shutil.which("etcd"):
        pytest.skip("there is no etcd here: apt install etcd-server")
    ports = free_ports(2)
    client, peer = f"{scheme}://127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}"
    with open(directory / "etcd.log", "wb") as log, subprocess.Popen(
        ["etcd", "--data-dir", directory / "etcd", "--listen-client-urls", client, "--advertise-client-urls", client,
         "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}",
         *options],
        stdout=log, stderr=log,
    ) as process:
        try:
            eventually(lambda: stead("range", "--store", f"etcd={client}", *login).returncode == 0, "etcd")
            yield client
        finally:
            process.kill()
            process.wait()


@pytest.fixture
def etcd(tmp_path):
    with running_etcd(tmp_path) as client:
        yield client


def test_etcd(etcd, tmp_path):
    """The page again, on etcd, which says in its own words what it refuses."""
    def but_errors(pairs):
        return [(command, re.sub("(?m)^stead: .*$", "an error", text)) for command, text in pairs]
    pairs = [("export STEAD_STORE=etcd=" + etcd, "")] + list(examples())[1:]
    printed = shell([command for command, _ in pairs], tmp_path)
    assert but_errors(zip([command for command, _ in pairs], printed)) == but_errors(pairs)


def test_etcd_with_a_user(etcd, tmp_path):
    """Other clients see what we write, and who may do what is etcd's to say."""
    def etcdctl(*arguments):
        env = {**os.environ, "ETCDCTL_API": "3"}
        return subprocess.run(["etcdctl", "--endpoints", etcd, *arguments], env=env, capture_output=True, text=True,
                              check=True, timeout=60).stdout
    if not shutil.which("etcdctl"):
        pytest.skip("there is no etcdctl here: apt install etcd-client")
    assert stead("put", "web/1", "x", "--store", f"etcd={etcd}").returncode == 0
    assert etcdctl("get", "web/1") == "web/1\nx\n"
    for words in (("role", "add", "webs"), ("role", "grant-permission", "webs", "readwrite", "web/", "--prefix"),
                  ("user", "add", "root:r"), ("user", "add", "hub:secret"), ("user", "grant-role", "root", "root"),
                  ("user", "grant-role", "hub", "webs"), ("auth", "enable")):
        etcdctl(*words)
    assert "user name is empty" in stead("get", "web/1", "--store", f"etcd={etcd}").stderr
    login = ("--store", f"etcd={etcd}", "--store-user", "hub", "--store-password-file", tmp_path / "password")
    for text, right in (("wrong", False), ("secret", True)):
        (tmp_path / "password").write_text(text + "\n")
        done = stead("get", "web/1", *login)
        assert (done.returncode == 0) == right, done.stderr
        assert right or "log in as 'hub'" in done.stderr
    denied = stead("put", "db/1", "x", *login)
    assert denied.returncode == 4 and "permission denied" in denied.stderr
    assert stead("watch", "web/", "--revision", "2", "--limit", "1", *login).stdout == "2 put web/1 x\n"
    denied = stead("watch", "db/", "--revision", "2", "--limit", "1", *login)
    assert denied.returncode == 4 and "denied" in denied.stderr


def openssl(directory, *arguments):
    subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)


def make_ca(directory, name):
    openssl(directory, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem")


def make_certificate(directory, ca, name):
    openssl(directory, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
            f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", f"{name}.key", "-out", f"{name}.csr")
    openssl(directory, "x509", "-req", "-in", f"{name}.csr", "-CA", f"{ca}.pem", "-CAkey", f"{ca}.key",
            "-CAcreateserial", "-days", "2", "-copy_extensions", "copy", "-out", f"{name}.pem")


def test_etcd_with_tls(tmp_path):
    """Both sides show certificates of the same authority, or nothing is said."""
    for ca, names in (("ca", ("server", "client")), ("other", ("stranger",))):
        make_ca(tmp_path, ca)
        for name in names:
            make_certificate(tmp_path, ca, name)

    def login(ca, name):
        return ("--store-ca", tmp_path / f"{ca}.pem", "--store-cert", tmp_path / f"{name}.pem",
                "--store-key", tmp_path / f"{name}.key")
    options = ("--cert-file", tmp_path / "server.pem", "--key-file", tmp_path / "server.key", "--client-cert-auth",
               "--trusted-ca-file", tmp_path / "ca.pem")
    with running_etcd(tmp_path, "https", options, login("ca", "client")) as url:
        store = ("--store", f"etcd={url}")
        assert stead("put", "web/1", "x", *store, *login("ca", "client")).stdout == "revision 2\n"
        watched = stead("watch", "--revision", "2", "--limit", "1", *store, *login("ca", "client"))
        assert watched.stdout == "2 put web/1 x\n", watched.stderr
        wrong = stead("range", *store, *login("other", "client"))
        assert wrong.returncode == 4 and "certificate" in wrong.stderr
        for refused in (login("ca", "stranger"), ("--store-ca", tmp_path / "ca.pem")):
            done = stead("range", *store, *refused)
            assert done.returncode == 4 and done.stdout == ""
