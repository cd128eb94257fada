"""`stead adopt` on a machine that people have worked on: what it writes changes nothing, and reads well."""
import json
import re

import pytest

PACKAGES = ("nginx-light", "openssh-server")

ADA_KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIKp6g7pQyYnJkEoFrVn0BhLZSuP0MGl3xMXhXzFRCqSP"
BOB_KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIOlQ0bGdT1cDp0l0mRkJ2x7d3F3vJ1oXbZ5h7m1cQ9aE"
BACKUP_SERVICE = """[Unit]
Description=Nightly backup

[Service]
Type=oneshot
ExecStart=/usr/bin/true
"""
BACKUP_TIMER = """[Timer]
OnCalendar=*-*-* 02:30

[Install]
WantedBy=timers.target
"""

# What administrators do in the course of the years, one line each.
WORK = r"""
hostnamectl set-hostname web1.example.com 2>/dev/null || { echo web1.example.com >/etc/hostname; hostname web1.example.com; }
groupadd -g 2000 ops
useradd -m -u 1500 -c 'Ada Lovelace' -s /bin/bash -G ops,sudo,adm ada
useradd -m -u 1501 -s /bin/sh bob
usermod -L bob
useradd --system -u 940 -d /srv/shop -m -s /usr/sbin/nologin shopd
usermod -aG ops www-data
echo 'ada:correct horse' | chpasswd
install -d -m 700 -o ada -g ada /home/ada/.ssh
install -m 600 -o ada -g ada /dev/null /home/ada/.ssh/authorized_keys
echo 'ssh-ed25519 %(ada)s ada@laptop' >/home/ada/.ssh/authorized_keys
install -d -m 755 -o bob -g bob /home/bob/.ssh
echo 'ssh-ed25519 %(bob)s' >/home/bob/.ssh/authorized_keys
chown bob:bob /home/bob/.ssh/authorized_keys
printf 'MAILTO=ops@example.com\n30 2 * * * /usr/local/bin/backup "$HOME"\n' | crontab -u ada -
printf '# stead: reindex\n5 */2 * * 1-5 /srv/shop/reindex --all\n' | crontab -u shopd -
echo '@daily www-data /usr/local/bin/rotate' >/etc/cron.d/rotate
sed -i 's/# gzip_vary on;/gzip_vary on;/' /etc/nginx/nginx.conf
printf 'server {\n    listen 8081;\n    root /srv/shop;\n}\n' >/etc/nginx/sites-available/shop
ln -s ../sites-available/shop /etc/nginx/sites-enabled/shop
rm /etc/nginx/sites-enabled/default /etc/nginx/sites-available/default
echo 'PermitRootLogin no' >/etc/ssh/sshd_config.d/10-site.conf
install -m 600 /dev/null /etc/nginx/shop.key
printf -- '-----BEGIN %%s PRIVATE KEY-----\nMIGH\n' EC >/etc/nginx/shop.key
systemctl daemon-reload
systemctl enable -q --now backup.timer
systemctl disable -q --now fstrim.timer
systemctl mask -q apt-daily.timer
systemctl stop apt-daily.timer
systemctl restart nginx ssh
printf '192.0.2.10\tdb.example.com db # primary\n2001:db8::10\tdb.example.com\n' >>/etc/hosts
echo 'kernel.panic = 10' >/etc/sysctl.d/50-site.conf
echo 'tmpfs /scratch tmpfs size=16M,noauto 0 0' >/etc/fstab
apt-mark -q hold openssh-client >/dev/null
mkdir /etc/shop; echo 'port = 8081' >/etc/shop/shop.conf
""" % {"ada": ADA_KEY, "bob": BOB_KEY}


@pytest.fixture(scope="module", autouse=True)
def worked_on(machine):
    machine.write("/etc/systemd/system/backup.service", BACKUP_SERVICE)
    machine.write("/etc/systemd/system/backup.timer", BACKUP_TIMER)
    machine.write("/etc/systemd/system/nginx.service.d/limits.conf", "[Service]\nLimitNOFILE=65536\n")
    machine.write("/root/work.sh", "set -e\n" + WORK)
    machine.run("sh /root/work.sh && rm /root/work.sh")


def state_of(machine) -> str:
    """What an apply could have touched, with times of change."""
    return machine.out("find /etc /home /srv /var/spool/cron /root/.ssh -xdev -printf '%p %m %u %g %s %C@ %l\\n' "
                       "2>/dev/null | grep -v '^/etc/.pwd.lock' | sort; dpkg --get-selections; "
                       "systemctl list-unit-files --no-legend; systemctl list-units --no-legend --plain")


def adopt(machine, directory: str, *options: str):
    done = machine.run(" ".join(["stead adopt --no-color --out", directory, *options]))
    assert "planned it: applying it changes nothing" in done.stdout, done.stdout + done.stderr
    return done


def test_changes_nothing(machine):
    before = state_of(machine)
    adopt(machine, "/root/site")
    machine.run("stead check /root/site/site.lua")
    machine.run("stead plan /root/site/site.lua --detailed-exitcode")
    machine.run("stead apply /root/site/site.lua --detailed-exitcode")
    assert state_of(machine) == before
    machine.run("stead apply /root/site/site.lua --detailed-exitcode --verify")
    assert state_of(machine) == before


def test_same_bytes_again(machine):
    adopt(machine, "/root/one")
    adopt(machine, "/root/two")
    assert machine.out("diff -r /root/one /root/two && echo same") == "same"


def test_reads_well(machine):
    adopt(machine, "/root/readable")
    text = machine.path("/root/readable/site.lua").read_text()
    print(text)
    assert max(map(len, text.splitlines())) <= 120  # keys are long
    sections = re.findall(r"^-- ([A-Z].*?) -+$", text, re.MULTILINE)
    assert sections == ["Names", "Time zone and language", "Package sources", "Packages", "Users and groups",
                        "Units and services", "Cron", "Mounts", "Kernel settings", "Configuration files of packages",
                        "Other files in /etc"]
    for expected in (
        'hostname "web1.example.com" {}',
        'host "db.example.com" { ip = "192.0.2.10", host_aliases = { "db" }, comment = "primary" }',
        '  "nginx-light", "openssh-server",\n} do\n  pkg(name) {}\nend',
        'pkg "openssh-client" { held = true, manual = false }',
        'group "ops" { gid = 2000, members = { "www-data" } }',
        'user "ada" {\n  uid = 1500, comment = "Ada Lovelace", groups = { "adm", "ops", "sudo" }, '
        'shell = "/bin/bash",\n  managehome = true,\n}\n'
        f'ssh_authorized_key "ada@laptop" {{\n  user = "ada", key = "{ADA_KEY}",\n}}\n',
        '30 2 * * * /usr/local/bin/backup "$HOME"\n]],\n  owner = "ada", group = "crontab", mode = "0600",',
        'user "bob" { uid = 1501, managehome = true }',
        'file "/home/bob/.ssh/" { owner = "bob", group = "bob" }',
        'user "shopd" {\n  uid = 940, homedir = "/srv/shop", shell = "/usr/sbin/nologin", managehome = true,\n}\n'
        'cron "reindex" {\n  user = "shopd", minute = 5, hour = "*/2", weekday = "1-5", '
        'command = "/srv/shop/reindex --all",\n}',
        'unit "backup.service" {\n  content = [[\n' + BACKUP_SERVICE + "]],\n}",
        'notify = svc "backup.timer",\n}\n',
        'svc "backup.timer" { state = "running", enabled = true }',
        'unit "nginx: limits" {\n  unit = "nginx.service", dropin = "limits",',
        'svc "apt-daily.timer" { masked = true }',
        'svc "fstrim.timer" { enabled = false }',
        'svc "nginx" { state = "running", enabled = true }',
        'file "/etc/cron.d/rotate" { content = "@daily www-data /usr/local/bin/rotate\\n" }',
        'file "/etc/nginx/nginx.conf" { source = "files/etc/nginx/nginx.conf", notify = svc "nginx" }',
        'file "/etc/nginx/sites-available/default" { state = "absent" }',
        'file "/etc/nginx/sites-enabled/shop" {\n  target = "../sites-available/shop", notify = svc "nginx",\n}',
        "--   /etc/shop/shop.conf\n",
    ):
        assert expected in text, expected
    for never in ("systemd-network", "pkg \"libc6", "$y$", "PRIVATE KEY", "ssh_host", "machine-id", "shadow"):
        assert never not in text, never


def test_secrets_only_where_asked(machine):
    hash_of_ada = machine.out("getent shadow ada").split(":")[1]
    assert hash_of_ada.startswith("$")
    adopt(machine, "/root/without")
    assert machine.run(f"grep -rF '{hash_of_ada}' /root/without", check=False).returncode == 1
    assert machine.run("grep -r 'PRIVATE KEY' /root/without", check=False).returncode == 1
    adopt(machine, "/root/with", "--with-secrets")
    assert machine.run(f"grep -rlF '{hash_of_ada}' /root/with").stdout == "/root/with/secrets.yaml\n"
    assert machine.out("grep -rl 'PRIVATE KEY' /root/with") == "/root/with/secrets.yaml"
    assert machine.out("find /root/with -perm /077") == ""
    machine.run("stead plan /root/with/site.lua --secrets /root/with/secrets.yaml --detailed-exitcode --replace")


def test_all_files_and_sections(machine):
    done = machine.run("stead adopt --out /root/all --all-files --only files,conffiles --json")
    told = json.loads(done.stdout)
    assert told["event"] == "adopted" and told["differences"] == [] and told["unread"] == []
    assert [section["name"] for section in told["sections"]] == ["conffiles", "files"]
    text = machine.path("/root/all/site.lua").read_text()
    assert 'file "/etc/shop/" {}\nfile "/etc/shop/shop.conf" { content = "port = 8081\\n" }' in text
    assert "pkg(name)" not in text and "notify" not in text
    refused = machine.run("stead adopt --only pakages", check=False)
    assert refused.returncode == 1 and "did you mean 'packages'?" in refused.stderr


def test_does_not_overwrite(machine):
    machine.run("mkdir -p /root/mine && echo mine >/root/mine/site.lua")
    refused = machine.run("stead adopt --out /root/mine", check=False)
    assert refused.returncode == 1 and "refuse to replace '/root/mine/site.lua'" in refused.stderr
    assert machine.path("/root/mine/site.lua").read_text() == "mine\n"
    adopt(machine, "/root/mine", "--overwrite")
    assert machine.out("ls -A /root/mine") == "files\nsite.lua"


def test_ordinary_user(machine):
    done = machine.run("su ada -s /bin/sh -c 'cd && stead adopt --no-color'", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not read: " in done.stderr and "/var/spool/cron/crontabs" in done.stderr
    text = machine.path("/home/ada/adopted/site.lua").read_text()
    assert "-- Could not be read, so nothing of it is here (root can read it all):" in text
    assert 'user "ada"' in text and 'svc "nginx"' in text


def test_new_machine_from_it(machine):
    """What adopt wrote brings back what is lost, as any configuration."""
    adopt(machine, "/root/again")
    machine.run("rm /etc/nginx/sites-enabled/shop /etc/systemd/system/nginx.service.d/limits.conf; "
                "crontab -r -u ada; sed -i /db.example.com/d /etc/hosts; rm -r /home/ada/.ssh; systemctl stop nginx")
    machine.run("stead apply /root/again/site.lua --replace --detailed-exitcode", check=False)
    machine.run("stead plan /root/again/site.lua --detailed-exitcode")
    assert machine.out("systemctl is-active nginx") == "active"
    assert ADA_KEY in machine.path("/home/ada/.ssh/authorized_keys").read_text()


if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__]))
