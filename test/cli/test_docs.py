"""What is documented works: examples, the generated reference, help for every row."""
import json
import pathlib
import re
import shutil
import subprocess

import pytest

from scratch import REPOSITORY, STEAD

DOCUMENTS = sorted(REPOSITORY.glob("*.md")) + sorted((REPOSITORY / "doc").glob("*.md"))


def stead(*arguments, **options):
    return subprocess.run([STEAD, *map(str, arguments)], capture_output=True, text=True, check=False, **options)


def examples():
    for document in DOCUMENTS:
        for n, text in enumerate(re.findall(r"^```lua(?: title=firewall.lua)?\n(.*?)^```", document.read_text(), re.DOTALL | re.MULTILINE)):
            yield pytest.param(text, id=f"{document.stem}-{n}")


@pytest.mark.parametrize("text", examples())
def test_example_is_valid(tmp_path, text):
    (tmp_path / "site.lua").write_text(text)
    (tmp_path / "kinds").mkdir(mode=0o755)
    for program in (REPOSITORY / "examples/kinds").iterdir():  # a clone may be writable by its group: refused
        pathlib.Path(shutil.copy(program, tmp_path / "kinds")).chmod(0o755)
    for name in re.findall(r'(?:template|read|source = )\(?"([^"/][^"]*)"', text):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "secrets.yaml").write_text(
        json.dumps({name: "x" for name in re.findall(r'secret "([^"]+)"', text)})
    )
    done = stead("check", "site.lua", "--secrets", "secrets.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_reference_is_what_the_program_says(tmp_path):
    assert stead("docs", tmp_path).returncode == 0
    assert (tmp_path / "reference.md").read_text() == (REPOSITORY / "doc/reference.md").read_text(), \
        "doc/reference.md is out of date: run make docs"


def test_manual_pages_are_valid(tmp_path):
    assert stead("docs", tmp_path).returncode == 0
    pages = sorted(tmp_path.glob("*.[17]"))
    assert len(pages) >= 14
    for page in pages:
        text = page.read_text()
        assert ".SH NAME" in text and "(null)" not in text


def test_every_command_and_option_has_help():
    listing = stead("--help").stdout
    commands = re.findall(r"^  (\w+) +\S", listing, re.MULTILINE)
    assert len(commands) >= 12
    for command in commands:
        text = stead(command, "--help").stdout
        assert f"stead {command}" in text
        for option in re.findall(r"^  (?:-\w, )?--\S+(.*)$", text, re.MULTILINE):
            assert option.strip(), f"{command}: an option without help:\n{text}"


def test_completion_is_accepted_by_the_shell(tmp_path):
    script = tmp_path / "completion"
    script.write_text(stead("completion", "bash").stdout)
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
    words = subprocess.run(
        ["bash", "-c", f"source {script}; COMP_WORDS=(stead ap); COMP_CWORD=1; _stead; echo ${{COMPREPLY[@]}}"],
        capture_output=True, text=True, check=True,
    ).stdout
    assert words.strip() == "apply"


def test_help_begins_with_the_call_and_options_are_suggested():
    assert stead("plan", "--help").stdout.startswith("Usage:\n  stead plan [OPTION…] FILE\n")
    assert "no such option '--valuse', did you mean '--values'?" in stead("plan", "--valuse", "x", "y").stderr
    assert "no such option '--zzz'; see 'stead plan --help'" in stead("plan", "--zzz", "y").stderr


def test_types_are_lua(tmp_path):
    text = stead("types").stdout
    assert "---@class stead.file" in text and "function file(name) end" in text
    (tmp_path / "stead.d.lua").write_text(text)
    assert subprocess.run(["luac5.4", "-p", tmp_path / "stead.d.lua"], check=False).returncode == 0


def test_kinds_show_their_manual():
    names = [line.split()[0] for line in stead("kinds").stdout.splitlines() if line and line[0].islower()]
    assert {"file", "exec", "pkg", "svc", "user"} <= set(names)
    assert "Parameters" in stead("kinds", "file").stdout
    assert "did you mean 'file'" in stead("kinds", "fiel").stderr
    assert "no such kind 'colour'; 'stead kinds' lists them all" in stead("kinds", "colour").stderr


def test_install_brings_manual_completion_and_unit(tmp_path):
    """`make install` leaves nothing that the manual names out."""
    done = subprocess.run(["meson", "install", "-C", STEAD.parent, "--no-rebuild", "--quiet", "--destdir", tmp_path],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    prefix = next(tmp_path.rglob("bin/stead")).parent.parent
    for name in ("share/man/man1/stead.1", "share/man/man1/stead-agent.1", "share/man/man7/stead-kinds.7",
                 "share/bash-completion/completions/stead", "share/zsh/site-functions/_stead",
                 "share/fish/vendor_completions.d/stead.fish"):
        assert (prefix / name).stat().st_size > 0, name
    unit = (prefix / "lib/systemd/system/stead-agent.service").read_text()
    installed = "/" + str((prefix / "bin/stead").relative_to(tmp_path))
    assert f'exec {installed} agent "$$@"' in unit and "@bindir@" not in unit


@pytest.fixture
def walk(tmp_path):
    """The files of the guide's first section, and a release."""
    text = (REPOSITORY / "doc/guide.md").read_text()
    for name, content in re.findall(r"^```\w+ title=(\S+)\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        (tmp_path / name).write_text(content)
    (tmp_path / "secrets.yaml").chmod(0o600)
    (tmp_path / "shop-1.0").mkdir()
    (tmp_path / "shop-1.0/index.html").write_text("shop\n")
    subprocess.run(["tar", "czf", "shop-1.0.tar.gz", "shop-1.0"], cwd=tmp_path, check=True)
    return tmp_path


INPUTS = ("--values", "values.yaml", "--secrets", "secrets.yaml")


def test_walk_through_of_the_guide_passes_its_own_test(walk):
    assert stead("check", "site.lua", *INPUTS, cwd=walk).returncode == 0
    done = stead("test", "site.test.lua", cwd=walk)
    assert done.returncode == 0, done.stdout
    assert done.stdout in (REPOSITORY / "doc/guide.md").read_text().replace("\n    ", "\n")
    missing = stead("check", "site.lua", "--secrets", "secrets.yaml", cwd=walk).stderr.splitlines()[0]
    assert f"\n    {missing}\n" in (REPOSITORY / "doc/guide.md").read_text()


def test_firewall_of_the_guide_passes_its_own_test(walk):
    (walk / "shop.conf.tmpl").write_text("listen {{ port }};\n")
    (walk / "nftables.conf").write_text("table inet filter {}\n")
    done = stead("test", "firewall.test.lua", cwd=walk)
    assert done.returncode == 0 and done.stdout.count("\n") == 3, done.stdout
    assert done.stdout in (REPOSITORY / "doc/guide.md").read_text().replace("\n    ", "\n")


def test_walk_through_of_the_guide_works_on_a_tree(walk):
    """All of it but packages, services and what they bring, which need a machine."""
    site = (walk / "site.lua").read_text()
    for part in (r'^pkg .*\n', r'^svc .*\n', r'^exec ".*?^}\n', r'^ini ".*?^}\n', r'    notify = svc.*\n', r', notify = exec[^}]*'):
        site = re.sub(part, "" if "exec[" not in part else " ", site, flags=re.MULTILINE | re.DOTALL if "?" in part else re.MULTILINE)
    (walk / "site.lua").write_text(site)
    for directory in ("etc/nginx/sites-enabled", "etc/ssl", "srv", "home"):
        (walk / "root" / directory).mkdir(parents=True)
    (walk / "root/etc/group").write_text("root:x:0:\nadm:x:4:\n")
    (walk / "root/etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    for expected in (2, 0):
        done = stead("apply", "site.lua", *INPUTS, "--root", "root", "--detailed-exitcode", cwd=walk)
        assert done.returncode == expected, done.stdout + done.stderr
    assert (walk / "root/srv/shop/current").readlink() == pathlib.Path("/srv/shop/releases/1.0")
    assert (walk / "root/srv/shop/releases/1.0/index.html").read_text() == "shop\n"
    assert (walk / "root/etc/ssl/site/shop.key").stat().st_mode & 0o777 == 0o600
