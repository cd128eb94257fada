"""Edges nobody has to write, and plans of what packages and commands bring."""
import json
import subprocess

import pytest

from scratch import STEAD

NGINX = """
pkg "nginx" {}
file "/etc/nginx/sites-enabled/shop.conf" { content = "x", notify = svc "nginx" }
svc "nginx" { state = "running", enabled = true }
"""


def edges(site, text):
    """Pairs (from, to) of the graph."""
    site.write(text)
    done = site.run("graph", "--format", "json")
    assert done.code == 0, done
    graph = json.loads(done.out)
    names = [f"{r['kind']} {r['name']}" for r in graph["resources"]]
    return {(names[e["from"]], names[e["to"]]) for e in graph["edges"]}


@pytest.mark.parametrize("before, after, text", [
    ("pkg nginx", "file /etc/nginx/sites-enabled/shop.conf", NGINX),
    ("pkg redis-server", "ini x", 'pkg "redis-server" {}\nini "x" { path = "/etc/redis/a.ini", key = "a", value = "b" }'),
    ("pkg postgresql-15", "line x",
     'pkg "postgresql-15" {}\nline "x" { file = "/etc/postgresql/15/main/pg_hba.conf", content = "x" }'),
    ("pkg ntp", "file /etc/default/ntp", 'pkg "ntp" {}\nfile "/etc/default/ntp" { content = "x" }'),
    ("pkg sqlite3", "exec make", 'pkg "sqlite3" {}\nexec "make" { cmd = "sqlite3 /srv/x.db .schema" }'),
    ("tar /srv/1/", "file /srv/current",
     'tar "/srv/1/" { source = "a.tar" }\nfile "/srv/current" { target = "/srv/1" }'),
    ("exec clone", "file /srv/app/conf", 'exec "clone" { cmd = "git clone x", creates = "/srv/app" }\n'
     'file "/srv/app/conf" { content = "x" }'),
    ("exec clone", "file /srv/app/", 'file "/srv/app/" { mode = "0750" }\n'
     'exec "clone" { cmd = "git clone x", creates = "/srv/app/" }'),
    ("exec key", "file /etc/key.pem", 'exec "key" { cmd = "openssl x", creates = "/etc/key.pem" }\n'
     'file "/etc/key.pem" { mode = "0600" }'),
    ("exec key", "file /srv/copy", 'exec "key" { cmd = "openssl x", creates = "/etc/key.pem" }\n'
     'file "/srv/copy" { source = "/etc/key.pem" }'),
    ("exec init", "line x", 'exec "init" { cmd = "x init", creates = "/etc/x.conf" }\n'
     'line "x" { file = "/etc/x.conf", content = "x" }'),
    ("exec init", "ini x", 'exec "init" { cmd = "x init", creates = "/etc/x" }\n'
     'ini "x" { path = "/etc/x/x.ini", key = "a", value = "b" }'),
    ("exec build", "exec use", 'exec "use" { cmd = "/opt/x/bin/tool" }\n'
     'exec "build" { cmd = "make", creates = "/opt/x" }'),
    ("user ada", "tar /srv/1/", 'tar "/srv/1/" { source = "a.tar", owner = "ada" }\nuser "ada" {}'),
    ("group ops", "tar /srv/1/", 'tar "/srv/1/" { source = "a.tar", group = "ops" }\ngroup "ops" {}'),
])
def test_edge_is_found(site, before, after, text):
    assert (before, after) in edges(site, text)


def test_what_a_command_creates_does_not_wait_for_itself(site):
    """Declared edges go first; the directory that it creates something in comes before it."""
    assert edges(site, """
        file "/srv/app/" {}
        file "/srv/app/seed" { content = "x" }
        exec "unpack" { cmd = "x", creates = "/srv/app/data", needs = file "/srv/app/data/in" }
        file "/srv/app/data/in" { content = "x" }
    """) == {("file /srv/app/", "file /srv/app/seed"), ("file /srv/app/", "exec unpack"),
             ("file /srv/app/", "file /srv/app/data/in"), ("file /srv/app/data/in", "exec unpack")}


def test_removed_package_waits_for_nothing(site):
    assert edges(site, 'pkg "ntp" { state = "purged" }\nfile "/etc/ntp/" { state = "absent" }') == set()


def test_plan_does_not_fail_for_what_a_command_brings(site):
    site.write("""
        exec "unpack" { cmd = "/bin/sh -c 'mkdir /srv/app'", creates = "/srv/done" }
        file "/srv/app/x" { content = "x", needs = exec "unpack" }
        line "y" { file = "/srv/app/y", content = "y", needs = file "/srv/app/x" }
        file "/srv/z" { content = "z", needs = exec "unpack" }
    """)
    plan = site.plan()
    assert not plan["errored"], plan
    uncertain = {c["name"]: c["uncertain"] for c in plan["resource_changes"]}
    assert uncertain["/srv/app/x"] and uncertain["y"] and not uncertain["/srv/z"]
    text = site.run("plan")
    assert text.code == 0 and "create file '/srv/app/x' (decided when applied)" in text.out, text


def test_plan_fails_for_what_nothing_before_it_brings(site):
    site.write("""
        exec "unpack" { cmd = "/bin/sh -c 'mkdir /srv/app'", creates = "/srv/done" }
        file "/srv/app/x" { content = "x" }
    """)
    result = site.run("plan")
    assert result.code == 4 and "the directory '/srv/app' does not exist" in result.out, result


def test_plan_fails_when_the_command_need_not_run(site):
    """What is there already brings nothing new, so what is missing stays missing."""
    site.write('exec "unpack" { cmd = "/bin/true", creates = "/etc/passwd" }\n'
               'file "/srv/app/x" { content = "x", needs = exec "unpack" }')
    result = site.run("plan")
    assert result.code == 4, result


def test_first_example_of_the_readme_can_be_planned(site):
    """A package, a file in its directory and its service on a machine that has none of them."""
    site.write(NGINX)
    site.write("""
        case("fresh machine", { file = "site.lua", packages = { nginx = "" } }, function(t)
          expect(t.plan.pkg.nginx == "create", "package")
          expect(t.plan.file["/etc/nginx/sites-enabled/shop.conf"] == "create", "file")
          expect(t.plan.svc.nginx == "change", "service")
        end)
    """, "site.test.lua")
    done = subprocess.run([STEAD, "test", "site.test.lua"], cwd=site.directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
