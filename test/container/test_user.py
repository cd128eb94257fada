"""The kinds user and group with the real files, read by getent and id."""
import pytest

from machine import wait_for

ADA = """
group "ops" { gid = 2500 }
user "ada" {
  uid = 2501, comment = "Ada Lovelace", shell = "/bin/bash", groups = { "ops", "adm" },
  managehome = true, password = "$y$j9T$abcdefghijklmnop$0123456789012345678901234567890123456789012",
}
"""


def getent(machine, database, key):
    return machine.run(f"getent {database} {key}", check=False).stdout.strip()


def test_create(machine):
    machine.converge(ADA)
    assert getent(machine, "passwd", "ada") == "ada:x:2501:2501:Ada Lovelace:/home/ada:/bin/bash"
    assert getent(machine, "group", "ops") == "ops:x:2500:ada"
    assert set(machine.out("id -nG ada").split()) == {"ada", "adm", "ops"}
    assert machine.out("stat -c '%U %G %a' /home/ada") == "ada ada 700"
    assert machine.out("stat -c '%U %G %a' /home/ada/.profile /etc/skel/.profile").splitlines() == [
        "ada ada 644", "root root 644"]
    assert getent(machine, "shadow", "ada").startswith("ada:$y$j9T$")
    assert machine.run("pwck -r", check=False).stdout.count("ada") == 0
    assert machine.run("grpck -r", check=False).stdout.count("ops") == 0
    assert machine.out("su ada -c id\\ -un") == "ada"


def test_change_and_restore(machine):
    machine.run("useradd --create-home --shell /bin/sh --groups adm bob")
    before = getent(machine, "passwd", "bob")
    machine.converge('user "bob" { shell = "/bin/bash", expiry = "2031-05-06", groups = "staff" }\n')
    assert getent(machine, "passwd", "bob").endswith("/bin/bash")
    assert "May 06, 2031" in machine.out("chage -l bob")
    assert set(machine.out("id -nG bob").split()) == {"bob", "adm", "staff"}
    machine.converge('noop "empty" {}\n')
    assert getent(machine, "passwd", "bob") == before
    assert set(machine.out("id -nG bob").split()) == {"bob", "adm"}


def test_removal(machine):
    machine.run("useradd --create-home eve")
    machine.converge('user "eve" { state = "absent" }\n')
    assert getent(machine, "passwd", "eve") == "" and getent(machine, "group", "eve") == ""
    assert machine.path("/home/eve").is_dir()
    machine.run("useradd --create-home mallory")
    machine.converge('user "mallory" { state = "absent", purge_home = true }\n')
    assert not machine.path("/home/mallory").exists()


def test_primary_group_is_protected(machine):
    machine.run("groupadd --gid 2600 crew; useradd --gid crew zoe")
    text = machine.stead("apply", 'group "crew" { state = "absent" }\n', code=4)
    assert "primary group of 'zoe'" in text
    machine.converge('group "crew" { state = "absent" }\nuser "zoe" { state = "absent", before = group "crew" }\n')
    assert getent(machine, "group", "crew") == ""


def test_many_users_at_once(machine):
    config = 'for i = 1, 30 do user("u" .. i) {} end\n'
    machine.converge(config)
    lines = machine.out("getent passwd | grep '^u[0-9]'").splitlines()
    assert len(lines) == 30 and len({line.split(":")[2] for line in lines}) == 30


def test_generated_password(machine):
    config = """
password "root of test" { length = 24 }
user "pat" { password = out(password "root of test", "hash") }
print "clear" { msg = out(password "root of test", "password") }
"""
    machine.converge(config)
    assert getent(machine, "shadow", "pat").split(":")[1].startswith("$y$")
    kept = machine.out("cat /var/lib/stead/password/*").splitlines()
    assert len(kept[0]) == 24 and kept[1] == getent(machine, "shadow", "pat").split(":")[1]
    everywhere = machine.stead("apply", config) + machine.stead("plan", config)
    assert kept[0] not in everywhere and kept[1] not in everywhere
    found = machine.run(f"grep -rlF '{kept[0]}' /var/lib/stead", check=False).stdout.split()
    assert found == ["/var/lib/stead/password/root%20of%20test"]


def test_agent_repairs(machine):
    machine.agent(ADA)
    wait_for("the user", lambda: getent(machine, "passwd", "ada"))
    machine.run("usermod --shell /bin/sh ada")
    wait_for("the shell", lambda: getent(machine, "passwd", "ada").endswith("/bin/bash"))
    machine.run("gpasswd --delete ada ops")
    wait_for("the group", lambda: "ops" in machine.out("id -nG ada").split())
    machine.run("userdel --remove ada")
    wait_for("the user's return", lambda: getent(machine, "passwd", "ada").startswith("ada:x:2501:"))
    wait_for("the home", lambda: machine.path("/home/ada/.profile").exists())


if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__]))
