"""Hosts come to a lab that is up, and leave it."""
import json
import signal
import subprocess

from labs import DATA, PATIENCE, PREFIX, STEAD, lab, traces, write

NAME = f"{PREFIX}-change"


def at(host, *command, code=0):
    return lab("exec", "--lab", NAME, host, *command, code=code).stdout


def states() -> dict:
    status = json.loads(lab("status", NAME, "--json").stdout)
    return {host["name"]: host["state"] for host in status["hosts"]}


def hub_list() -> dict:
    """Host to the second word of its line."""
    lines = at("hub", "stead", "host", "list", "--data", "/var/lib/stead-hub").splitlines()
    return {line.split()[0]: line for line in lines}


def file(directory, *hosts):
    lines = {"hub": "hub: { hub: true }"}
    text = "\n  ".join(lines.get(host, f"{host}: {{ labels: {{ role: web }} }}") for host in hosts)
    return write(directory, "change", f"hosts:\n  {text}\n")


def test_hosts_come_and_go(base, tmp_path):
    lab("up", file(tmp_path, "hub", "web1", "web2"))
    try:
        at("web2", "touch", "/run/marked")  # gone with a restart
        at("web2", "sh", "-c", "echo 192.0.2.9 mine >> /etc/hosts")
        lab("cut", "hub", "web2", "--lab", NAME)

        said = lab("up", file(tmp_path, "web3", "hub", "web2")).stdout
        assert "web1 is off\n" in said and "web3 is running\n" in said, said
        assert f"lab '{NAME}' is changed after " in said and said.endswith(": 1 added, 1 removed\n"), said
        assert states() == {"web3": "running", "hub": "running", "web2": "running"}
        at("web2", "test", "-e", "/run/marked")
        assert "192.0.2.9 mine" in at("web2", "cat", "/etc/hosts")
        assert not (DATA / "labs" / NAME / "hosts/web1").exists()
        listed = hub_list()
        assert "revoked" in listed["web1"] and "certificate until" in listed["web3"], listed
        for host, other in (("web2", "web3"), ("web3", "web2"), ("hub", "web3")):
            at(host, "ping", "-c", "1", "-W", "5", "-q", other)
        assert "web1" not in at("web2", "cat", "/etc/hosts")
        at("web2", "ping", "-c", "1", "-W", "1", "-q", "hub", code=1)  # still cut
        assert lab("up", file(tmp_path, "hub", "web2", "web3")).stdout == f"lab '{NAME}' is up already, as the file says\n"

        # It comes back as a new one, by itself, and after a loss of power of all.
        assert lab("up", file(tmp_path, "hub", "web1", "web2", "web3")).stdout.endswith(": 1 added, 0 removed\n")
        assert "certificate until" in hub_list()["web1"] and "revoked" not in hub_list()["web1"]
        lab("kill", "web3", "--lab", NAME)
        said = lab("up", file(tmp_path, "hub", "web2", "web3", "web1")).stdout.splitlines()
        assert said[1:] == ["1 host is off; 'stead lab start web3' starts it"], said
        lab("start", "web3", "--lab", NAME)
        at("web1", "ping", "-c", "1", "-W", "5", "-q", "web3")

        # Whoever is interrupted leaves what there was.
        command = [STEAD, "lab", "up", "--data", DATA, file(tmp_path, "hub", "web1", "web2", "web3", "web4", "web5")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
            while "web4 is starting" not in (line := started.stdout.readline()):
                assert line, started.stderr.read()
            started.send_signal(signal.SIGINT)
            _, told = started.communicate(timeout=PATIENCE)
        assert (started.returncode, "interrupted: the lab has the hosts that it had" in told) == (130, True), told
        assert set(states()) == {"hub", "web1", "web2", "web3"}
        assert "web4" not in at("web1", "cat", "/etc/hosts")

        # Whoever is killed leaves something that the next one finishes.
        for moment in ("web4 is running", "web4 is off"):  # it has yet to join; it may not any more
            hosts = ["hub", "web1", "web2", "web3", *(["web4"] if "running" in moment else [])]
            with subprocess.Popen([*command[:-1], file(tmp_path, *hosts)], stdout=subprocess.PIPE, text=True) as started:
                while moment not in (line := started.stdout.readline()):
                    assert line, moment
                started.kill()  # it may be over by now, which is as good
            lab("up", file(tmp_path, "hub", "web1", "web2", "web3", "web4"))
            assert "certificate until" in (listed := hub_list().get("web4", "")) and "revoked" not in listed, (moment, listed)
            at("web4", "systemctl", "is-active", "stead-agent")
            assert "web4" in at("web1", "cat", "/etc/hosts")
    finally:
        lab("down", NAME)
    assert not [one for what in ("mounts", "processes", "groups", "directories") for one in traces(NAME, DATA)[what]]
