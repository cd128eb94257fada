"""The kinds hostname, host and ssh_authorized_key on a machine of their own."""
import os

import pytest

from machine import wait_for

KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIKp6g7pQyYnJkEoFrVn0BhLZSuP0MGl3xMXhXzFRCqSP"


def test_hostname(machine):
    before = machine.out("uname -n")
    machine.converge('hostname "web1.example.com" { pretty_hostname = "Shop\'s first" }\n')
    assert machine.out("uname -n") == "web1.example.com"
    assert machine.path("/etc/hostname").read_text() == "web1.example.com\n"
    assert machine.out(". /etc/machine-info; echo $PRETTY_HOSTNAME") == "Shop's first"
    machine.agent('hostname "web2" {}\n')
    wait_for("the name", lambda: machine.out("uname -n") == "web2")
    machine.run("hostname changed-by-somebody")
    wait_for("its return", lambda: machine.out("uname -n") == "web2", 45)
    machine.run("echo other >/etc/hostname")
    wait_for("its file", lambda: machine.path("/etc/hostname").read_text() == "web2\n", 45)
    assert before


def test_host(machine):
    machine.converge('host "db.example.com" { ip = "192.0.2.10", host_aliases = "db" }\n'
                     'host "v6" { hostname = "db.example.com", ip = "2001:db8::10", family = "ipv6" }\n')
    assert machine.out("getent hosts db").split()[0] == "192.0.2.10"
    assert machine.out("getent hosts db.example.com").split()[0] == "2001:db8::10"


def test_key_for_a_new_user(machine):
    config = f'user "ada" {{ managehome = true }}\nssh_authorized_key "laptop" {{ user = "ada", key = "{KEY}" }}\n'
    machine.converge(config)
    path = "/home/ada/.ssh/authorized_keys"
    uid = int(machine.out("id -u ada"))
    file, directory = os.stat(machine.path(path)), os.stat(machine.path("/home/ada/.ssh"))
    assert (file.st_mode & 0o7777, file.st_uid) == (0o600, uid)
    assert (directory.st_mode & 0o7777, directory.st_uid) == (0o700, uid)
    machine.run("rm -r /home/ada/.ssh; ln -s /root /home/ada/.ssh; chown -h ada /home/ada/.ssh")
    assert "refuse to follow the link" in machine.stead("apply", config, code=4)
    assert not machine.path("/root/authorized_keys").exists()


def test_agent_keeps_the_key_of_a_user_who_comes_later(machine):
    machine.run("rm -f /home/ada/.ssh; rm -rf /home/zoe")
    machine.agent('user "zoe" { managehome = true }\n'
                  f'ssh_authorized_key "laptop" {{ user = "zoe", key = "{KEY}" }}\n')
    path = machine.path("/home/zoe/.ssh/authorized_keys")
    wait_for("the key", lambda: path.exists() and KEY in path.read_text())
    machine.run("echo gone >/home/zoe/.ssh/authorized_keys")
    wait_for("its return", lambda: KEY in path.read_text(), 45)


if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__]))
