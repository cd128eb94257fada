"""Certificates of a host of a cluster are renewed by the authority in its store, while it runs."""
import json
import ssl

from aged import aged_certificate
from clusters import Cluster
from scratch import eventually


def names_and_end(path) -> tuple:
    decoded = ssl._ssl._test_decode_cert(str(path))  # pylint: disable=protected-access
    return decoded.get("subjectAltName"), ssl.cert_time_to_seconds(decoded["notAfter"])


def test_renewed_before_they_expire(tmp_path):
    with Cluster(tmp_path / "cluster") as cluster:
        host = cluster.begin("a", size=1)
        authority = json.loads(host.state("get", "stead/1/cluster/authority").stdout)
        host.kill()
        fresh = {name: names_and_end(host.data / name) for name in ("member.pem", "client.pem")}
        for name, extensions in {"member.pem": "extendedKeyUsage=serverAuth,clientAuth\nsubjectAltName=IP:127.0.0.1,DNS:a",
                                 "client.pem": "extendedKeyUsage=clientAuth\nsubjectAltName=URI:urn:stead:host:a"}.items():
            old = aged_certificate(authority, host.data / "key.pem", tmp_path / name, "a", extensions, 800, 1)
            (host.data / name).write_bytes(old.read_bytes())
        host.start()
        eventually(lambda: host.told("the certificates of this host were renewed"), "the renewal")
        for name, (names, end) in fresh.items():
            now = names_and_end(host.data / name)
            assert now[0] == names and now[1] >= end
        assert host.state("put", "k", "v").returncode == 0
        cluster.join("b")  # the door has the new one too
