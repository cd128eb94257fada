"""Every kind: its example is a configuration, and what the files' kinds do holds through the real engine and ledger."""
import json
import subprocess

import pytest

from scratch import STEAD, eventually


def kinds():
    if not STEAD.exists():
        return []
    lines = subprocess.run([STEAD, "kinds", "--json"], capture_output=True, text=True, check=True).stdout.splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind["name"])
def test_example(site, kind):
    site.write(kind["example"])
    result = subprocess.run([STEAD, "check", site.file], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_files_come_and_go(site):
    (site.root / "etc/motd").write_text("before\n")
    (site.root / "etc/motd").chmod(0o640)
    (site.root / "etc/app.conf").write_text("# app\n[main]\nport=80\n")
    (site.root / "etc/hosts").write_text("127.0.0.1 localhost")
    before = {path: (path.read_bytes(), path.stat().st_mode) for path in (site.root / "etc").iterdir()}
    for name in ("www/index.html", "www/js/app.js"):
        site.write(name, name)
    site.write(
        """
        file "/etc/motd" { content = "ours\\n", mode = "0644" }
        file "/srv/www/" { source = "www/", recurse = true, purge = true }
        file "/etc/link" { target = "motd" }
        ini "port" { path = "/etc/app.conf", section = "main", key = "port", value = "8080" }
        line "gateway" { file = "/etc/hosts", content = "10.0.0.1 gateway" }
        tar "/srv/www.tar.gz" { inputs = { "/srv/www" } }
        """
    )
    assert site.run("apply").code == 0
    assert (site.root / "srv/www/js/app.js").read_text() == "www/js/app.js"
    assert (site.root / "etc/app.conf").read_text() == "# app\n[main]\nport=8080\n"
    assert (site.root / "etc/hosts").read_text() == "127.0.0.1 localhost\n10.0.0.1 gateway\n"
    again = site.run("apply", "--detailed-exitcode")
    assert again.code == 0, again

    (site.directory / "www/js/app.js").unlink()
    assert site.run("apply").code == 0
    assert not (site.root / "srv/www/js/app.js").exists()

    site.write("")
    assert site.run("apply").code == 0
    assert not any((site.root / "srv").iterdir())
    after = {path: (path.read_bytes(), path.stat().st_mode) for path in (site.root / "etc").iterdir()}
    # The last line had no end; it needed one for another line to follow.
    hosts = site.root / "etc/hosts"
    before[hosts] = (before[hosts][0] + b"\n", before[hosts][1])
    assert after == before


def test_directory_with_foreign_entries_is_not_lost(site):
    site.write('file "/srv/app/" {}')
    assert site.run("apply").code == 0
    (site.root / "srv/app/data").write_text("precious")
    site.write("")
    result = site.run("apply")
    assert result.code == 4
    assert "still holds 1 entry" in result.out + result.err
    assert (site.root / "srv/app/data").read_text() == "precious"


def test_commands_of_an_agent(site):
    site.add_programs("/bin/sh", "/bin/touch", "/bin/rm")
    site.write(
        """
        exec "once" { cmd = "echo once >> /tmp/log", shell = "/bin/sh" }
        exec "guarded" { cmd = "echo guarded >> /tmp/log; touch /tmp/made", shell = "/bin/sh", creates = "/tmp/made" }
        exec "watched" { cmd = "echo watched >> /tmp/log", shell = "/bin/sh", watchfiles = { "/tmp/seen" } }
        exec "told" { cmd = "echo told >> /tmp/log", shell = "/bin/sh", refreshonly = true }
        file "/tmp/conf" { content = "1\\n", notify = exec "told" }
        """
    )
    log = site.root / "tmp/log"

    def count(word):
        return log.read_text().split().count(word) if log.exists() else 0

    with site.agent() as agent:
        agent.wait("converged")
        assert [count(word) for word in ("once", "guarded", "watched", "told")] == [1, 1, 1, 1]
        (site.root / "tmp/made").unlink()
        eventually(lambda: count("guarded") == 2, "the guarded command to run again")
        (site.root / "tmp/seen").write_text("x")
        eventually(lambda: count("watched") == 2, "the watched command to run again")
        (site.root / "tmp/conf").write_text("drift\n")
        eventually(lambda: count("told") == 2, "the notified command to run again")
        assert count("once") == 1
