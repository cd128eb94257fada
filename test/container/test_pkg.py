"""The kind pkg with the real apt and dpkg."""
import shutil

import pytest

import debian
from machine import wait_for

REPO = "/srv/repo"


def packages(machine, tmp_path, *specs, extra=""):
    """Makes a package source of specs (name, version, keywords of debian.build)."""
    repo = machine.path(REPO)
    repo.mkdir(parents=True, exist_ok=True)
    for name, version, *options in specs:
        shutil.copy(debian.build(tmp_path, name, version, **(options[0] if options else {})), repo)
    debian.write_index(repo)
    machine.write("/etc/apt/sources.list.d/test.list", f"deb [trusted=yes] file:{REPO} ./\n")
    machine.run("apt-get -qq update")


def version(machine, name):
    """The installed version, or None."""
    text = machine.run(f"dpkg-query --show --showformat='${{Status}} ${{Version}}' {name}",
                       check=False).stdout
    return text.split()[-1] if text.startswith(("install ok installed", "hold ok installed")) else None


def transactions(machine):
    log = machine.path("/var/log/apt/history.log")
    return log.read_text().count("Start-Date:") if log.exists() else 0


def test_three_packages_are_one_transaction(machine, tmp_path):
    packages(machine, tmp_path, ("stead-a", "1.0"), ("stead-b", "1.0"), ("stead-c", "1.0"))
    config = 'pkg "stead-a" {}\npkg "stead-b" {}\npkg "stead-c" {}\n'
    before = transactions(machine)
    machine.converge(config)
    assert transactions(machine) == before + 1
    assert [version(machine, f"stead-{x}") for x in "abc"] == ["1.0"] * 3
    # what leaves the configuration and came with us goes
    machine.converge('pkg "stead-a" {}\n')
    assert [version(machine, f"stead-{x}") for x in "abc"] == ["1.0", None, None]


def test_newest_follows_the_source(machine, tmp_path):
    packages(machine, tmp_path, ("stead-n", "1.0"))
    config = 'pkg "stead-n" { state = "newest" }\n'
    machine.converge(config)
    packages(machine, tmp_path, ("stead-n", "1.1"))
    plan = machine.stead("plan", config, "--detailed-exitcode", code=2)
    assert "1.0" in plan and "1.1" in plan
    machine.converge(config)
    assert version(machine, "stead-n") == "1.1"
    # any version will do
    packages(machine, tmp_path, ("stead-n", "1.2"))
    machine.settled('pkg "stead-n" {}\n')


def test_version_and_downgrade(machine, tmp_path):
    packages(machine, tmp_path, ("stead-v", "1.0"), ("stead-v", "2.0"))
    machine.converge('pkg "stead-v" { version = "2.0" }\n')
    text = machine.stead("apply", 'pkg "stead-v" { version = "1.0" }\n', code=4)
    assert "allowdowngrade" in text
    machine.converge('pkg "stead-v" { version = "1.*", allowdowngrade = true }\n')
    assert version(machine, "stead-v") == "1.0"
    machine.stead("apply", 'pkg "stead-v" { version = "9.9" }\n', code=4)
    assert version(machine, "stead-v") == "1.0"


def test_hold(machine, tmp_path):
    packages(machine, tmp_path, ("stead-h", "1.0"))
    machine.converge('pkg "stead-h" { state = "held" }\n')
    assert machine.out("apt-mark showhold") == "stead-h"
    packages(machine, tmp_path, ("stead-h", "1.1"))
    text = machine.stead("apply", 'pkg "stead-h" { state = "newest" }\n', code=4)
    assert "it is held at 1.0" in text
    machine.converge('pkg "stead-h" { state = "newest", held = true }\n')
    assert (version(machine, "stead-h"), machine.out("apt-mark showhold")) == ("1.1", "stead-h")
    machine.converge('pkg "stead-h" { held = false }\n')
    assert machine.out("apt-mark showhold") == ""


def test_removal_and_purge(machine, tmp_path):
    packages(machine, tmp_path, ("stead-r", "1.0", {"conffile": True}))
    machine.converge('pkg "stead-r" {}\n')
    machine.converge('pkg "stead-r" { state = "uninstalled" }\n')
    assert version(machine, "stead-r") is None
    assert machine.path("/etc/stead-r.conf").exists()
    machine.converge('pkg "stead-r" { state = "purged" }\n')
    assert not machine.path("/etc/stead-r.conf").exists()


def test_removal_takes_nothing_else_with_it(machine, tmp_path):
    packages(machine, tmp_path, ("stead-lib", "1.0"), ("stead-app", "1.0", {"depends": "stead-lib"}))
    machine.converge('pkg "stead-app" {}\n')
    text = machine.stead("apply", 'pkg "stead-lib" { state = "absent" }\n'
                         'pkg "stead-app" { }\n', code=4)
    assert "stead-app" in text
    assert (version(machine, "stead-lib"), version(machine, "stead-app")) == ("1.0", "1.0")


def test_unknown_package_fails_alone(machine, tmp_path):
    packages(machine, tmp_path, ("stead-k", "1.0"), ("stead-l", "1.0"))
    config = 'pkg "stead-k" {}\npkg "stead-nothing" {}\npkg "stead-l" {}\n'  # one transaction
    text = machine.stead("apply", config, code=4)
    assert "pkg 'stead-nothing': no source of apt has it" in text
    assert (version(machine, "stead-k"), version(machine, "stead-l")) == ("1.0", "1.0")
    text = machine.stead("apply", 'pkg "stead-nothing" { version = "1.0" }\n', code=4)
    assert "stead-nothing" in text


def test_untrusted_source(machine, tmp_path):
    packages(machine, tmp_path, ("stead-u", "1.0"))
    machine.write("/etc/apt/sources.list.d/test.list", f"deb [allow-insecure=yes] file:{REPO} ./\n")
    machine.run("apt-get -qq update --allow-insecure-repositories")
    machine.stead("apply", 'pkg "stead-u" {}\n', code=4)
    assert version(machine, "stead-u") is None
    machine.stead("apply", 'pkg "stead-u" { allowuntrusted = true }\n')
    assert version(machine, "stead-u") == "1.0"


def test_package_with_its_service(machine, tmp_path):
    """A plan of a service whose package is not there yet, and both leaving in the right order."""
    unit = "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n"
    packages(machine, tmp_path, ("stead-s", "1.0", {"unit": unit}))
    config = 'svc "stead-s" { state = "running", enabled = true }\npkg "stead-s" {}\n'
    plan = machine.stead("plan", config, "--detailed-exitcode", code=2)
    assert plan.index("pkg 'stead-s'") < plan.index("svc 'stead-s'")
    machine.converge(config)
    assert machine.out("systemctl is-active stead-s; systemctl is-enabled stead-s").split() == [
        "active", "enabled"]
    machine.converge('noop "empty" {}\n')
    assert version(machine, "stead-s") is None
    assert machine.run("systemctl is-active stead-s", check=False).returncode != 0
    assert not machine.path("/etc/systemd/system/multi-user.target.wants/stead-s.service").is_symlink()


def marked_auto(machine, name):
    return name in machine.out("apt-mark showauto").split()


def test_what_comes_and_goes_is_told(machine, tmp_path):
    packages(machine, tmp_path, ("stead-dep", "1.0"), ("stead-use", "1.0", {"depends": "stead-dep"}))
    plan = machine.stead("plan", 'pkg "stead-use" {}\n')
    assert "also installs" in plan and "stead-dep 1.0" in plan
    machine.converge('pkg "stead-use" {}\n')
    assert version(machine, "stead-dep") == "1.0" and marked_auto(machine, "stead-dep")
    machine.converge('pkg "stead-use" {}\npkg "stead-dep" {}\n')  # now wanted for its own sake
    assert not marked_auto(machine, "stead-dep")
    machine.converge('pkg "stead-use" {}\n')
    assert marked_auto(machine, "stead-dep")


def test_nothing_goes_that_others_need(machine, tmp_path):
    packages(machine, tmp_path, ("stead-base", "1.0"), ("stead-top", "1.0", {"depends": "stead-base"}))
    machine.run("apt-get -qq -y install stead-top")  # by somebody else
    away = 'pkg "stead-base" { state = "absent"%s }\n'
    for verb in ("plan", "apply"):
        text = machine.stead(verb, away % "", code=4)
        assert "it would remove other packages (stead-top); set force = true" in text
    assert version(machine, "stead-top") == "1.0"
    plan = machine.stead("plan", away % ", force = true")
    assert "also removes" in plan and "stead-top 1.0" in plan
    machine.converge(away % ", force = true")
    assert (version(machine, "stead-base"), version(machine, "stead-top")) == (None, None)


def test_unneeded_dependencies_go_on_request(machine, tmp_path):
    packages(machine, tmp_path, ("stead-dep2", "1.0"), ("stead-use2", "1.0", {"depends": "stead-dep2"}))
    machine.converge('pkg "stead-use2" { autoremove = true }\n')
    machine.converge('pkg "stead-use2" { state = "purged", autoremove = true }\n')
    assert (version(machine, "stead-dep2"), version(machine, "stead-use2")) == (None, None)


def test_essential_stays(machine):
    for name, why in (("bash", "essential"), ("libglib2.0-0", "stead itself needs it")):
        text = machine.stead("apply", f'pkg "{name}" {{ state = "absent" }}\n', code=4)
        assert why in text and "force = true" in text
        assert version(machine, name)


def test_install_file(machine, tmp_path):
    packages(machine, tmp_path, ("stead-need", "1.0"))
    for number in ("1.0", "1.1"):
        shutil.copy(debian.build(tmp_path, "stead-file", number, depends="stead-need"),
                    machine.path("/root"))
    config = 'pkg "stead-file" { source = "/root/stead-file_1.0_all.deb" }\n'
    plan = machine.stead("plan", config)
    assert "stead-need 1.0" in plan and "1.0" in plan
    machine.converge(config)
    # beside the configuration, and followed
    machine.converge('pkg "stead-file" { state = "newest", source = "stead-file_1.1_all.deb" }\n')
    assert (version(machine, "stead-file"), version(machine, "stead-need")) == ("1.1", "1.0")


def test_conffiles_ask_nobody(machine, tmp_path):
    packages(machine, tmp_path, ("stead-cf", "1.0", {"conffile": "setting = 1\n"}))
    machine.converge('pkg "stead-cf" {}\n')
    machine.write("/etc/stead-cf.conf", "setting = mine\n")
    packages(machine, tmp_path, ("stead-cf", "1.1", {"conffile": "setting = 2\n"}))
    machine.converge('pkg "stead-cf" { state = "newest" }\n')
    assert machine.path("/etc/stead-cf.conf").read_text() == "setting = mine\n"
    packages(machine, tmp_path, ("stead-cf", "1.2", {"conffile": "setting = 3\n"}))
    machine.converge('pkg "stead-cf" { state = "newest", configfiles = "replace" }\n')
    assert machine.path("/etc/stead-cf.conf").read_text() == "setting = 3\n"


def test_recommended_packages(machine, tmp_path):
    packages(machine, tmp_path, ("stead-rec", "1.0"), ("stead-with", "1.0", {"fields": "Recommends: stead-rec\n"}))
    machine.converge('pkg "stead-with" { recommends = false }\n')
    assert (version(machine, "stead-with"), version(machine, "stead-rec")) == ("1.0", None)
    machine.converge('noop "empty" {}\n')
    plan = machine.stead("plan", 'pkg "stead-with" { recommends = true }\n')
    assert "also installs" in plan and "stead-rec 1.0" in plan
    machine.converge('pkg "stead-with" { recommends = true }\n')
    assert version(machine, "stead-rec") == "1.0" and marked_auto(machine, "stead-rec")
    machine.converge('noop "empty" {}\n')


def test_answers_for_debconf(machine, tmp_path):
    """Given before the package asks; it writes down what it was told."""
    scripts = {
        "templates": "Template: stead-ask/colour\nType: string\nDefault: grey\nDescription: which colour?\n",
        "config": "#!/bin/sh\n. /usr/share/debconf/confmodule\ndb_input high stead-ask/colour || true\ndb_go || true\n",
        "postinst": "#!/bin/sh\n. /usr/share/debconf/confmodule\ndb_get stead-ask/colour\n"
                    "echo \"$RET\" > /etc/stead-ask\ndb_stop\n"}
    packages(machine, tmp_path, ("stead-ask", "1.0", {"scripts": scripts, "depends": "debconf"}))
    machine.converge('pkg "stead-ask" { debconf = { "stead-ask/colour string deep green" } }\n')
    assert machine.path("/etc/stead-ask").read_text() == "deep green\n"
    machine.converge('noop "empty" {}\n')


def test_nothing_to_do_runs_no_apt(machine):
    """All packages of the machine, each declared: apt is neither run nor asked."""
    names = machine.out("dpkg-query -W -f '${Package}\\n'").splitlines()
    config = "".join(f'pkg "{name}" {{ manual = false, on_remove = "forget" }}\n' for name in sorted(set(names)))
    assert len(names) > 80
    machine.stead("apply", config)
    machine.run("mkdir /root/bin && for name in apt-get apt-cache apt-mark; do mv /usr/bin/$name /root/bin; "
                "printf '#!/bin/sh\\necho $0 >> /root/called\\nexec /root/bin/%s \"$@\"\\n' $name > /usr/bin/$name; "
                "chmod 755 /usr/bin/$name; done")
    try:
        machine.run("apt-get -s -q install bash")
        assert machine.path("/root/called").read_text() == "/usr/bin/apt-get\n"
        machine.settled(config)
        assert machine.path("/root/called").read_text() == "/usr/bin/apt-get\n"
    finally:
        machine.run("mv /root/bin/* /usr/bin")
    machine.stead("apply", 'noop "empty" {}\n')


def test_source_and_package_in_one_apply(machine, tmp_path):
    other = machine.path("/srv/other")
    other.mkdir(parents=True)
    shutil.copy(debian.build(tmp_path, "stead-new", "1.0"), other)
    debian.write_index(other)
    config = ('apt_source "other" { uris = "file:/srv/other", suites = "./", '
              'options = { Trusted = "yes" } }\npkg "stead-new" {}\n')
    machine.converge(config)
    assert version(machine, "stead-new") == "1.0"
    machine.converge('noop "empty" {}\n')
    assert version(machine, "stead-new") is None
    assert not machine.path("/etc/apt/sources.list.d/other.sources").exists()
    # likewise by a plain file
    machine.converge('file "/etc/apt/sources.list.d/other.list" '
                     '{ content = "deb [trusted=yes] file:/srv/other ./\\n" }\n'
                     'pkg "stead-new" { state = "newest" }\n')
    assert version(machine, "stead-new") == "1.0"
    machine.converge('noop "empty" {}\n')


def test_agent_repairs(machine, tmp_path):
    packages(machine, tmp_path, ("stead-g", "1.0"))
    machine.agent('pkg "stead-g" {}\n')
    wait_for("the package", lambda: version(machine, "stead-g") == "1.0")
    machine.run("apt-get -qq -y -o DPkg::Lock::Timeout=30 remove stead-g")
    wait_for("its return", lambda: version(machine, "stead-g") == "1.0")


if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__]))
