"""Kinds as the whole program runs them, where unit tests do not reach."""
import re
import subprocess

from scratch import STEAD, eventually


def test_message_is_logged_once_for_a_definition(site):
    site.write('msg "hello" { body = "a message of a test", journal = false, syslog = false }')
    assert site.apply("--detailed-exitcode").code == 2
    assert site.apply("--detailed-exitcode").code == 0
    site.write('msg "hello" { body = "another message", journal = false, syslog = false }')
    assert site.apply("--detailed-exitcode").code == 2


def test_every_example_of_the_manual_is_valid(tmp_path):
    import json
    for line in subprocess.run([STEAD, "kinds", "--json"], capture_output=True, text=True, check=True).stdout.splitlines():
        kind = json.loads(line)
        (tmp_path / "site.lua").write_text(kind["example"])
        for name in re.findall(r'(?:source|key) = "([^"/ ][^" ]*)"', kind["example"]):  # beside the configuration
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        secrets = tmp_path / "secrets.yaml"
        secrets.write_text("{}\n")
        done = subprocess.run([STEAD, "check", tmp_path / "site.lua"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{kind['name']}: {done.stderr}"


KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIKp6g7pQyYnJkEoFrVn0BhLZSuP0MGl3xMXhXzFRCqSP"
OTHER_KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIOlQ0bGdT1cDp0l0mRkJ2x7d3F3vJ1oXbZ5h7m1cQ9aE"
MACHINE = f"""
hostname "web1" {{ pretty_hostname = "First" }}
host "web1" {{ ip = "192.0.2.1", host_aliases = "web" }}
user "ada" {{ managehome = true }}
ssh_authorized_key "laptop" {{ user = "ada", key = "{KEY}" }}
cron "tidy" {{ user = "ada", command = "tidy", minute = 0, hour = 3 }}
cron "sync" {{ target = "/etc/cron.d/sync", command = "sync", special = "hourly" }}
unit "app" {{ content = "[Service]\\nExecStart=/bin/app\\n" }}
unit "more" {{ unit = "app", dropin = "more", settings = {{ Service = {{ Nice = 5 }} }} }}
"""


def content(root):
    """Everything below that is not stead's own, nor the accounts: path to text."""
    skip = ("var/lib/stead", "etc/passwd", "etc/shadow", "etc/group", "etc/gshadow", "etc/.pwd.lock")
    return {str(path.relative_to(root)): path.read_text() for path in root.rglob("*")
            if path.is_file() and not str(path.relative_to(root)).startswith(skip)}


def test_a_machine_is_set_up_and_taken_down(site):
    site.path("/etc/hosts").write_text("127.0.0.1\tlocalhost\n192.0.2.9 web1 # old\n")
    site.path("/etc/hostname").write_text("old\n")
    site.path("/var/spool/cron/crontabs").mkdir(parents=True)
    before = content(site.root)
    site.write(MACHINE)
    assert site.run("plan", "--detailed-exitcode").code == 2
    assert content(site.root) == before
    assert site.apply("--detailed-exitcode").code == 2
    done = content(site.root)
    assert done["etc/hosts"] == "127.0.0.1\tlocalhost\n192.0.2.1\tweb1 web\t# old\n"
    assert done["etc/hostname"] == "web1\n" and done["etc/machine-info"] == 'PRETTY_HOSTNAME="First"\n'
    assert done["home/ada/.ssh/authorized_keys"] == f"ssh-ed25519 {KEY} laptop\n"
    assert done["var/spool/cron/crontabs/ada"].endswith("# stead: tidy\n0 3 * * * tidy\n")
    assert done["etc/cron.d/sync"].endswith("# stead: sync\n@hourly root sync\n")
    assert done["etc/systemd/system/app.service"] == "[Service]\nExecStart=/bin/app\n"
    assert done["etc/systemd/system/app.service.d/more.conf"].endswith("[Service]\nNice=5\n")
    assert site.apply("--detailed-exitcode").code == 0
    site.write('noop "nothing" {}')
    assert site.apply("--detailed-exitcode").code == 2
    after = {path: text for path, text in content(site.root).items() if not path.startswith("home/")}
    before["etc/hosts"] = "127.0.0.1\tlocalhost\n192.0.2.9\tweb1\t# old\n"
    assert after == before
    assert not site.path("/etc/systemd/system/app.service.d").exists()


def test_a_name_that_means_another_thing_leaves_nothing_behind(site):
    site.path("/var/spool/cron/crontabs").mkdir(parents=True)
    accounts = 'user "ada" { managehome = true }\nuser "eve" { managehome = true }\n'
    site.write(accounts + f'ssh_authorized_key "k" {{ user = "ada", key = "{KEY}" }}\n'
               'cron "c" { user = "ada", command = "x", minute = 1 }\n'
               'unit "u" { content = "[Service]\\nExecStart=/x\\n" }\n'
               'cron "s" { target = "/etc/cron.d/s", user = "ada", command = "x", minute = 1 }\n')
    assert site.apply("--detailed-exitcode").code == 2
    site.write(accounts + f'ssh_authorized_key "k" {{ user = "eve", key = "{OTHER_KEY}" }}\n'
               'cron "c" { user = "eve", command = "x", minute = 1 }\n'
               'unit "u" { unit = "v", content = "[Service]\\nExecStart=/x\\n" }\n'
               'cron "s" { target = "/etc/cron.d/s", user = "eve", command = "x", minute = 1 }\n')
    assert site.apply("--detailed-exitcode").code == 2
    done = content(site.root)
    assert "home/ada/.ssh/authorized_keys" not in done and OTHER_KEY in done["home/eve/.ssh/authorized_keys"]
    assert "var/spool/cron/crontabs/ada" not in done and "var/spool/cron/crontabs/eve" in done
    assert "etc/systemd/system/u.service" not in done and "etc/systemd/system/v.service" in done
    assert done["etc/cron.d/s"].endswith("# stead: s\n1 * * * * eve x\n")
    assert site.apply("--detailed-exitcode").code == 0


def test_agent_repairs_lines_of_others(site):
    site.path("/var/spool/cron/crontabs").mkdir(parents=True)
    site.write(MACHINE)
    with site.agent() as agent:
        agent.wait("converged")
        keys, hosts = site.path("/home/ada/.ssh/authorized_keys"), site.path("/etc/hosts")
        table = site.path("/var/spool/cron/crontabs/ada")
        for path, line in ((keys, KEY), (hosts, "192.0.2.1\tweb1"), (table, "0 3 * * * tidy")):
            new = path.with_name("new")
            new.write_text("# somebody's\n")
            new.rename(path)  # in one step: else the empty file may be repaired first
            eventually(lambda: line in path.read_text(), f"{path} to hold {line}")
            assert "# somebody's" in path.read_text()
