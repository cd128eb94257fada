"""`stead adopt` below a root, as its document says."""
import os
import re
import signal
import subprocess
import time

import pytest

from scratch import REPOSITORY, STEAD

DOCUMENT = REPOSITORY / "doc/adopt.md"
KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIKp6g7pQyYnJkEoFrVn0BhLZSuP0MGl3xMXhXzFRCqSP"


def package(name, priority="optional", depends="", extra="", status="install ok installed"):
    return (f"Package: {name}\nStatus: {status}\nPriority: {priority}\nArchitecture: amd64\nVersion: 1.0\n"
            f"Depends: {depends}\n{extra}\n")


FILES = {
    "etc/hostname": "web1.example.com\n",
    "etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
    "etc/hosts": "127.0.0.1\tlocalhost\n192.0.2.10\tdb.example.com db\n",
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nada:x:1000:1000:Ada Lovelace:/home/ada:/bin/bash\n"
                  "shop:x:900:900::/srv/shop:/usr/sbin/nologin\n",
    "etc/group": "root:x:0:\nsudo:x:27:ada\nada:x:1000:\nshop:x:900:\nops:x:2000:ada\ncrontab:x:102:\n",
    "etc/shadow": "root:*:19000:0:99999:7:::\nada:$y$j9T$salt$hash:19000:0:99999:7:::\nshop:!:19000::::::\n",
    "etc/login.defs": "PASS_MIN_DAYS 0\nPASS_MAX_DAYS 99999\nPASS_WARN_AGE 7\n",
    "usr/share/base-passwd/group.master": "sudo:*:27:\ncrontab:*:102:\n",
    "var/lib/dpkg/status": package("dpkg", "required", "libc6", "Essential: yes\n") + package("libc6")
    + package("nginx-light", depends="nginx-common")
    + package("nginx-common", extra="Conffiles:\n /etc/nginx/nginx.conf 00000000000000000000000000000000\n"
                                    " /etc/nginx/mime.types d41d8cd98f00b204e9800998ecf8427e\n")
    + package("openssh-client", status="hold ok installed") + package("libssl3"),
    "var/lib/apt/extended_states": "Package: nginx-common\nAuto-Installed: 1\n\nPackage: libssl3\nAuto-Installed: 1\n",
    "var/lib/dpkg/info/dpkg.list": "/etc/cron.d\n/etc/sysctl.d\n/etc/login.defs\n",
    "home/ada/.ssh/authorized_keys": f"ssh-ed25519 {KEY} ada@laptop\n",
    "var/spool/cron/crontabs/ada": '30 2 * * * /usr/local/bin/backup "$HOME"\n',
    "var/lib/dpkg/info/nginx-common.list": "/etc/nginx\n/etc/nginx/nginx.conf\n/etc/nginx/conf.d\n",
    "etc/nginx/nginx.conf": "events {}\nhttp {\n    include conf.d/*.conf;\n}\n",
    "etc/nginx/mime.types": "",
    "etc/nginx/conf.d/shop.conf": "server {\n    listen 8081;\n    root /srv/shop;\n}\n",
    "etc/cron.d/reindex": "5 * * * * shop /srv/shop/reindex\n",
    "etc/sysctl.d/50-site.conf": "kernel.panic = 10\n",
    "etc/shop/shop.conf": "port = 8081\n",
}


@pytest.fixture
def root(site):
    for name, text in FILES.items():
        path = site.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        private = name.endswith("shadow") or "ada" in name
        path.chmod(0o600 if private else 0o644)
    (site.root / "home/ada/.ssh").chmod(0o700)
    if os.geteuid() == 0:
        for path in [site.root / "home/ada", *(site.root / "home/ada").rglob("*")]:
            os.chown(path, 1000, 1000)
        os.chown(site.root / "var/spool/cron/crontabs/ada", 1000, 102)
    return site.root


def adopt(root, *options, **keywords):
    return subprocess.run([STEAD, "adopt", "--root", root, "--no-color", *options], capture_output=True, text=True,
                          cwd=root.parent, check=False, **keywords)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give users their homes")
def test_as_documented(root):
    done = adopt(root, "--out", "site")
    assert done.returncode == 0, done.stdout + done.stderr
    text = (root.parent / "site/site.lua").read_text()
    print(text)
    document = DOCUMENT.read_text()
    assert re.search(r"^```lua title=adopted\n(.*?)^```", document, re.DOTALL | re.MULTILINE).group(1) == text
    shown = re.search(r"^    \$ stead adopt --out site\n((?:    .*\n)+)", document, re.MULTILINE).group(1)
    assert re.sub(r"^    ", "", shown, flags=re.MULTILINE) == done.stdout.replace(f" --root {root}", "")
    plan = subprocess.run([STEAD, "plan", "site/site.lua", "--root", root, "--detailed-exitcode"], cwd=root.parent,
                          capture_output=True, text=True, check=False)
    assert plan.returncode == 0, plan.stdout + plan.stderr


def test_sections_are_documented(root):
    told = subprocess.run([STEAD, "adopt", "--help"], capture_output=True, text=True, check=True).stdout
    names = re.search(r"Sections: (.*?)\.\n", told, re.DOTALL).group(1).replace("\n", " ").split(", ")
    refused = adopt(root, "--only", "nothing")
    assert refused.returncode == 1
    assert refused.stderr.strip().endswith("there are: " + ", ".join(names))
    table = DOCUMENT.read_text().split("## What is in it")[1].split("##")[0]
    for name in names:
        assert f"`{name}`" in table, name


def test_interrupted_leaves_nothing_half(root):
    """Whenever it is killed: all of it, or nothing."""
    whole = None
    for delay in (0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 60):
        out = root.parent / f"killed-{delay}"
        process = subprocess.Popen([STEAD, "adopt", "--root", root, "--out", out], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            process.wait(60)
        left = sorted(path.name for path in out.glob("*")) if out.exists() else []
        assert left in ([], ["site.lua"]), left
        assert not list(out.glob(".adopt*"))
        if left:
            text = (out / "site.lua").read_text()
            whole = whole or text
            assert text == whole
    assert whole is not None, "never finished"


def test_overwrite_replaces_what_is_stale(root):
    big = "x" * 5000
    (root / "etc/nginx/nginx.conf").write_text(big)
    assert adopt(root, "--out", "site", "--with-secrets").returncode == 0
    site = root.parent / "site"
    (site / "notes.txt").write_text("mine\n")
    assert sorted(path.name for path in site.iterdir()) == ["files", "notes.txt", "secrets.yaml", "site.lua"]
    assert (site / "files/etc/nginx/nginx.conf").read_text() == big
    assert all(path.stat().st_mode & 0o077 == 0 for path in site.rglob("*") if path.name != "notes.txt")
    (root / "etc/nginx/nginx.conf").write_text("events {}\n")
    refused = adopt(root, "--out", "site")
    assert refused.returncode == 1 and "give another directory with --out, or --overwrite" in refused.stderr
    assert adopt(root, "--out", "site", "--overwrite").returncode == 0
    assert sorted(path.name for path in site.iterdir()) == ["notes.txt", "site.lua"]


def test_tells_when_it_would_change_something(root, tmp_path):
    """The proof at the end is one: a machine that moves meanwhile is noticed."""
    fifo = root / "etc/nginx/conf.d/moving.conf"
    fifo.write_text("a\n")
    stop = time.monotonic() + 60
    while time.monotonic() < stop:
        mover = subprocess.Popen(["sh", "-c", f"i=0; while [ $i -lt 20000 ]; do i=$((i+1)); echo $i >{fifo}; done"])
        done = adopt(root, "--out", "moved", "--overwrite")
        mover.kill()
        mover.wait()
        if done.returncode == 4:
            assert "would change content" in done.stderr and "applying it would change the" in done.stdout
            return
    raise AssertionError("never noticed")


if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__]))
