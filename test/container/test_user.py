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
    assert machine.out("stat -c '%U %G %a' /home/ada") == "ada ada 755"  # as UMASK of /etc/login.defs has it
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


def test_all_that_useradd_can_do(machine):
    machine.run("mkdir -p /srv/skel && echo hi >/srv/skel/welcome; touch /etc/subuid /etc/subgid")
    hash = "$y$j9T$abcdefghijklmnop$0123456789012345678901234567890123456789012"
    config = f"""
user "grace" {{
  uid = 2701, comment = "Grace Hopper", shell = "/bin/bash", managehome = true, skel = "/srv/skel",
  password = "{hash}", locked = true, expiry = "2031-05-06", inactive_days = 14,
  password_min_age = 1, password_max_age = 90, password_warn_days = 10,
  subuid = "auto", subgid = {{ "900000:1000" }},
}}
group "crypt" {{ gid = 2702, password = "{hash}", members = {{ "grace" }} }}
"""
    machine.converge(config)
    aged = getent(machine, "shadow", "grace").split(":")
    assert aged[1] == "!" + hash and aged[3:7] == ["1", "90", "10", "14"]
    assert machine.out("passwd --status grace").split()[1] == "L"
    assert machine.path("/home/grace/welcome").exists() and not machine.path("/home/grace/.profile").exists()
    assert machine.out("grep ^grace: /etc/subgid") == "grace:900000:1000"
    ours = machine.out("grep ^grace: /etc/subuid").split(":")
    machine.run("useradd henry")  # takes the next range after ours
    theirs = machine.out("grep ^henry: /etc/subuid").split(":")
    assert ours[2] == theirs[2] and int(theirs[1]) >= int(ours[1]) + int(ours[2])
    assert machine.out("getent gshadow crypt") == f"crypt:{hash}::grace"
    last = int(ours[1]) + int(ours[2]) - 1
    machine.run(f"usermod --unlock grace; chage --inactive 3 grace; usermod --del-subuids {ours[1]}-{last} grace")
    told = machine.stead("plan", config)
    assert "locked: false -> true" in told and "inactive_days: 3 -> 14" in told and "subuid" in told
    machine.converge(config)
    assert getent(machine, "shadow", "grace") == ":".join(aged)
    assert machine.run("pwck -r", check=False).stdout.count("grace") == 0
    machine.converge(config.replace("locked = true", "locked = false"))
    assert machine.out("passwd --status grace").split()[1] == "P"
    machine.converge('noop "empty" {}\n')
    assert getent(machine, "passwd", "grace") == "" and "grace" not in machine.out("cat /etc/subuid /etc/subgid")


def test_home_moves_and_uid_follows(machine):
    config = 'user "mo" { uid = UID, managehome = true, homedir = "HOME" }\n'
    machine.converge(config.replace("UID", "2710").replace("HOME", "/home/mo"))
    machine.run("echo work >/home/mo/work; chown mo:mo /home/mo/work; touch /var/tmp/mos; chown mo /var/tmp/mos")
    config = config.replace("UID", "2711").replace("HOME", "/srv/people/mo")
    assert 'moves: "/home/mo" -> "/srv/people/mo"' in machine.stead("plan", config)
    machine.converge(config)
    assert machine.out("stat -c '%u %n' /srv/people/mo/work /var/tmp/mos").splitlines() == [
        "2711 /srv/people/mo/work", "2710 /var/tmp/mos"]  # what is elsewhere keeps its number
    assert not machine.path("/home/mo").exists()
    machine.converge('noop "empty" {}\n')


def test_removal_tells_what_goes_and_stays(machine):
    machine.run("useradd --create-home ida; echo 12345 >/home/ida/data")
    config = 'user "ida" { state = "absent" }\n'
    assert 'keeps: "/home/ida"' in machine.stead("plan", config)
    purge = 'user "ida" { state = "absent", purge_home = true }\n'
    count = machine.out("find /home/ida -mindepth 1 | wc -l")
    told = machine.stead("plan", purge)
    assert f'loses: "/home/ida with {count} entries, ' in told and ".profile" in told
    machine.run("systemd-run --unit=idas --uid=ida sleep 1000")
    for verb in ("plan", "apply"):
        refused = machine.stead(verb, purge, code=4)
        assert "refuse to remove it: it runs 1 process" in refused and "sleep" in refused
    # what stops them first, in the same run, is foreseen
    machine.converge('svc "idas" { state = "stopped", on_remove = "forget" }\n' + purge.replace("absent\"", 'absent", needs = svc "idas"'))
    assert not machine.path("/home/ida").exists() and getent(machine, "passwd", "ida") == ""


def test_linger(machine):
    machine.converge('user "lin" { managehome = true, linger = true }\n')
    assert machine.path("/var/lib/systemd/linger/lin").exists()
    machine.run("loginctl disable-linger lin")
    machine.converge('user "lin" { managehome = true, linger = true }\n')
    machine.converge('noop "empty" {}\n')
    assert getent(machine, "passwd", "lin") == "" and not machine.path("/var/lib/systemd/linger/lin").exists()


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
    for _ in range(10):  # the user must wait for its group, and not fail for it
        machine.run("gpasswd --delete ada ops; groupdel ops")
        wait_for("the group's return", lambda: "ops" in machine.out("id -nG ada").split())
    assert "failed" not in machine.agent_log()
    machine.run("userdel --remove ada")
    wait_for("the user's return", lambda: getent(machine, "passwd", "ada").startswith("ada:x:2501:"))
    wait_for("the home", lambda: machine.path("/home/ada/.profile").exists())


if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__]))
