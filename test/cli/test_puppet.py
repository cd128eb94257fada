"""Puppet catalogs: compiled by a real puppet where there is one, and driven through the real binary."""
import json
import re
import shutil
import subprocess

import pytest

from scratch import REPOSITORY, STEAD

PUPPET = shutil.which("puppet")
needs_puppet = pytest.mark.skipif(not PUPPET, reason="needs puppet to compile catalogs: apt install puppet-agent")
MANIFEST = REPOSITORY / "test/puppet/site.pp"
EXAMPLES = re.findall(r"^```puppet\n(.*?)^```", (REPOSITORY / "doc/puppet.md").read_text(), re.DOTALL | re.MULTILINE)


def compile_catalog(directory, text, *options):
    """What `puppet catalog compile` prints on its standard output, messages included."""
    (directory / "site.pp").write_text(text)
    done = subprocess.run(
        [PUPPET, "catalog", "compile", "node.test", "--manifest", "site.pp", "--render-as", "json",
         "--facts_terminus", "memory", "--log_level", "notice",
         *[f"--{name}dir={directory / name}" for name in ("conf", "var", "ssl", "log", "code", "run")], *options],
        cwd=directory, capture_output=True, text=True, check=False, timeout=120,
        stdin=subprocess.DEVNULL,
        env={"PATH": "/usr/bin:/bin", "HOME": str(directory), "LANG": "C.UTF-8"},
    )
    assert done.returncode == 0 and '"resources"' in done.stdout, done
    return done.stdout


def catalog(*resources, edges=()):
    return json.dumps({
        "name": "node.test", "catalog_format": 2,
        "resources": [
            {"type": kind, "title": title, "file": "site.pp", "line": line, "parameters": parameters,
             "sensitive_parameters": [name for name in ("content",) if parameters.get(name) == "geheim"]}
            for line, (kind, title, parameters) in enumerate(resources, 1)
        ],
        "edges": [{"source": source, "target": target} for source, target in edges],
    })


@needs_puppet
def test_real_catalog_gives_the_expected_graph(site):
    file = site.write(compile_catalog(site.directory, MANIFEST.read_text()), "site.json")
    drawn = site.run("graph", "--format", "json", file=file)
    expected = json.loads((REPOSITORY / "test/puppet/graphs/site.graph").read_text())["graph"]
    assert drawn.code == 0 and json.loads(drawn.out.replace(f"{site.directory}/", "")) == expected


@needs_puppet
@pytest.mark.parametrize("text", EXAMPLES)
def test_example_of_the_documentation(tmp_path, text):
    (tmp_path / "site.json").write_text(compile_catalog(tmp_path, text))
    done = subprocess.run([STEAD, "check", "site.json"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@needs_puppet
def test_real_catalog_is_applied(site):
    text = """
      define greeting($text) {
        file { "/srv/${title}": ensure => file, content => "${text}\\n", mode => '0640' }
      }
      file { '/srv': ensure => directory }
      greeting { ['a', 'b']: text => Sensitive('geheim').unwrap }
      file { '/srv/secret': ensure => file, content => Sensitive('geheim') }
      file { '/srv/link': ensure => link, target => 'a', require => Greeting['a'] }
    """
    catalog_file = site.write(compile_catalog(site.directory, text), "node.json")
    first = site.apply(file=catalog_file)
    assert first.code == 0 and "geheim" not in first.out.replace("geheim\\n", ""), first
    assert site.path("/srv/a").read_text() == site.path("/srv/b").read_text() == "geheim\n"
    assert site.path("/srv/a").stat().st_mode & 0o7777 == 0o640
    assert site.path("/srv/link").readlink().name == "a"
    again = site.apply("--detailed-exitcode", file=catalog_file)
    assert again.code == 0, again


def test_catalog_is_planned_applied_and_left(site):
    file = site.write(catalog(
        ("Class", "Web", {}),
        ("File", "/srv/x", {"ensure": "file", "content": "geheim"}),
        ("File", "/srv/y", {"content": "y\n", "require": "Class[Web]"}),
        edges=[("Class[Web]", "File[/srv/x]")],
    ), "node.json")
    plan = site.run("plan", file=file)
    assert plan.code == 0 and "/srv/x" in plan.out and "geheim" not in plan.out + plan.err
    assert not site.path("/srv/x").exists()
    assert site.apply(file=file).code == 0
    assert site.path("/srv/x").read_text() == "geheim" and site.path("/srv/y").read_text() == "y\n"
    site.write(catalog(("File", "/srv/y", {"content": "y\n"})), "node.json")
    assert site.apply(file=file).code == 0
    assert not site.path("/srv/x").exists() and site.path("/srv/y").exists()


def test_mounts_are_those_of_fstab(site):
    (site.root / "etc").mkdir(exist_ok=True)
    fstab = site.root / "etc/fstab"
    fstab.write_text("# theirs\nLABEL=d /srv/data ext4 noatime 1 2\nLABEL=k /srv/keep ext4 noatime 1 2\nx /srv/gone ext4\n")
    file = site.write(catalog(
        ("Mount", "/srv/data/", {"ensure": "mounted", "device": "LABEL=d", "fstype": "ext4", "options": "noatime,nodev",
                                 "pass": 2, "remounts": True}),
        ("Mount", "/srv/keep", {"options": "ro"}),
        ("Mount", "cache", {"name": "/srv/cache", "ensure": "present", "device": "tmpfs", "fstype": "tmpfs",
                            "options": "size=1m", "atboot": False}),
        ("Mount", "/srv/gone", {"ensure": "absent"}),
    ), "node.json")
    assert site.apply("--detailed-exitcode", file=file).code == 2
    assert fstab.read_text() == ("# theirs\nLABEL=d /srv/data ext4 noatime,nodev 0 2\nLABEL=k /srv/keep ext4 ro 0 0\n"
                                 "tmpfs\t/srv/cache\ttmpfs\tsize=1m\t0\t0\n")
    assert site.apply("--detailed-exitcode", file=file).code == 0


def test_saved_plan_of_a_catalog_is_still_a_plan(site):
    file = site.write(catalog(("File", "/srv/x", {"ensure": "file", "content": "x"})), "node.json")
    assert site.run("plan", "--out", "plan.json", file=file).code == 0
    refused = site.run("plan", file="plan.json")
    assert refused.code == 1 and "this is a saved plan" in refused.err
    applied = site.run("apply", file="plan.json")
    assert applied.code == 0, applied
    assert site.path("/srv/x").read_text() == "x"


def test_plan_with_sensitive_values_is_not_saved(site):
    file = site.write(catalog(("File", "/srv/x", {"ensure": "file", "content": "geheim"})), "node.json")
    refused = site.run("plan", "--out", "plan.json", file=file)
    assert refused.code == 1 and "refuse to save" in refused.err and "geheim" not in refused.err
    assert not (site.directory / "plan.json").exists()


def test_nothing_is_touched_when_something_cannot_be_mapped(site):
    file = site.write(catalog(
        ("File", "/srv/x", {"ensure": "file", "content": "x"}),
        ("Augeas", "a", {"changes": []}),
        ("File", "/srv/y", {"source": "puppet:///modules/web/y"}),
        ("Notify", "n", {"schedule": "night"}),
    ), "node.json")
    refused = site.run("apply", file=file)
    assert refused.code == 1 and not site.path("/srv/x").exists()
    for message in ("site.pp:2: Augeas[a]: ", "site.pp:3: File[/srv/y]: 'source'", "site.pp:4: Notify[n]: 'schedule'",
                    "3 problems; nothing was touched"):
        assert message in refused.err, refused


def test_files_of_modules_are_beside_the_catalog(site):
    modules = site.directory / "modules/web/files"
    modules.mkdir(parents=True)
    (modules / "y").write_bytes(b"y\0\n")
    file = site.write(catalog(
        ("File", "/srv/x", {"ensure": "file", "source": ["puppet:///modules/web/x", "puppet://server/modules/web/y"]}),
        ("File", "/srv/y", {"source": "puppet:///modules/web/y", "show_diff": False}),
    ), "node.json")
    assert site.apply(file=file).code == 0
    assert site.path("/srv/x").read_bytes() == site.path("/srv/y").read_bytes() == b"y\0\n"
    (modules / "x").write_text("x\n")
    assert site.apply(file=file).code == 0
    assert site.path("/srv/x").read_text() == "x\n" and site.path("/srv/y").read_bytes() == b"y\0\n"


def test_files_of_modules_that_are_not_there(site):
    site.write("outside\n", "outside")
    (site.directory / "modules/web/files").mkdir(parents=True)
    file = site.write(catalog(*(
        ("File", f"/srv/{number}", {"ensure": "file", "source": source}) for number, source in enumerate((
            "puppet:///modules/web/none", "puppet:///modules/web/../../../outside", "puppet:///mount/x", "puppet:", "puppet://"))
    )), "node.json")
    refused = site.run("check", file=file)
    assert refused.code == 1 and "there is no 'modules/web/files/none' beside the catalog" in refused.err
    assert refused.err.count("only puppet:///modules/MODULE/NAME is looked for") == 4


def test_notification_goes_through_classes(site):
    site.add_programs()
    resources = [
        ("Class", "From", {"notify": "Class[To]"}),
        ("Class", "To", {}),
        ("Class", "Inner", {}),
        ("File", "/srv/x", {"ensure": "file", "content": "1"}),
        ("Exec", "told", {"command": "echo told >>/tmp/told", "provider": "shell", "refreshonly": True}),
        ("Exec", "quiet", {"command": "echo quiet >>/tmp/quiet", "provider": "shell", "refreshonly": True,
                           "require": "Class[From]"}),
    ]
    edges = [("Class[From]", "File[/srv/x]"), ("Class[To]", "Class[Inner]"), ("Class[Inner]", "Exec[told]")]
    file = site.write(catalog(*resources, edges=edges), "node.json")
    assert site.apply(file=file).code == 0
    assert site.path("/tmp/told").read_text() == "told\n" and not site.path("/tmp/quiet").exists()
    assert site.apply(file=file).code == 0
    assert site.path("/tmp/told").read_text() == "told\n"
