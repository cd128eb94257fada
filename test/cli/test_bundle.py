"""Bundles, keys and signatures on the command line, as doc/deploys.md tells them."""
import json
import os
import re
import subprocess

import pytest

from scratch import REPOSITORY, STEAD


@pytest.fixture
def place(tmp_path):
    (tmp_path / "site/templates").mkdir(parents=True)
    (tmp_path / "site/main.lua").write_text('file "/etc/motd" { content = "one\\n" }\n')
    (tmp_path / "site/templates/a.tmpl").write_text("a")
    return tmp_path


def stead(place, *words, code=0):
    done = subprocess.run([STEAD, *map(str, words)], cwd=place, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


def deploy(place, record=1, previous=None, key="a.key"):
    """Packs and signs; returns the name of the bundle."""
    name = stead(place, "bundle", "pack", "site", "-o", "s.bundle").strip()
    after = ["--previous", previous] if previous else []
    stead(place, "bundle", "sign", "s.bundle", "--key", key, "--record", record, *after, "-m", "why")
    return name


def test_the_document_works(place):
    text = (REPOSITORY / "doc/deploys.md").read_text()
    script = "set -eu\n" + "".join(re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE))
    environment = dict(os.environ, PATH=f"{STEAD.resolve().parent}:{os.environ['PATH']}")
    done = subprocess.run(["sh", "-c", script], cwd=place, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ada at her desk: retired after record 2" in done.stdout.splitlines()[-1]
    assert (place / "unpacked/main.lua").read_text() == 'file "/etc/motd" { content = "two" }\n'
    assert (place / "ada.key").stat().st_mode & 0o777 == 0o600


def test_what_is_left_out_is_documented():
    """Every pattern of the program is in the document."""
    source = (REPOSITORY / "src/bundle/pack.c").read_text()
    table = source[source.index("patterns[] = {"):source.index("};")]
    patterns = re.findall(r'"([^"]+)"', table)
    assert ".git" in patterns
    text = (REPOSITORY / "doc/deploys.md").read_text()
    assert [p for p in patterns if f"`{p}`" not in text] == []


def test_the_archive_is_one_for_tar(place):
    stead(place, "bundle", "pack", "site", "-o", "s.bundle")
    shown = json.loads(stead(place, "bundle", "show", "s.bundle", "--json"))
    assert [entry["path"] for entry in shown["entries"]] == ["main.lua", "templates", "templates/a.tmpl"]
    listed = subprocess.run(["tar", "--zstd", "-tf", "s.bundle"], cwd=place, capture_output=True, text=True, check=False)
    if "zstd" not in listed.stderr:  # tar runs the program, which need not be there
        assert listed.stdout.splitlines() == ["main.lua", "templates/", "templates/a.tmpl"], listed.stderr


def test_verify_refuses(place):
    for name in ("a.key", "b.key"):
        stead(place, "key", "new", name)
    assert "is not signed" in (stead(place, "bundle", "pack", "site", "-o", "s.bundle"),
                               stead(place, "bundle", "verify", "s.bundle", "--key", "a.key.pub", code=1))[1]
    name = deploy(place)
    assert "signed by" in stead(place, "bundle", "verify", "s.bundle", "--key", "a.key.pub")
    error = stead(place, "bundle", "verify", "s.bundle", "--key", "b.key.pub", code=1)
    assert "which does not count here" in error
    signed = (place / "s.bundle.signed").read_text()
    (place / "s.bundle.signed").write_text(signed.replace("message why", "message hwy"))
    error = stead(place, "bundle", "verify", "s.bundle", "--key", "a.key.pub", code=1)
    assert "'s.bundle.signed': refuse the statement about the deploy: its signature is wrong" in error
    (place / "s.bundle.signed").write_text(signed)
    (place / "site/main.lua").write_text("-- another\n")
    other = stead(place, "bundle", "pack", "site", "-o", "s.bundle").strip()
    for verb in ("verify", "unpack"):
        error = stead(place, "bundle", verb, "s.bundle", "--key", "a.key.pub", *["-o", "out"] * (verb == "unpack"), code=1)
        assert f"it is '{other}', not '{name}'" in error
    assert "is about" in stead(place, "bundle", "show", "s.bundle", code=1)
    assert not (place / "out").exists()
    assert f"it is '{other}', not '{name}'" in stead(place, "bundle", "unpack", "s.bundle", "-o", "out", "--digest", name,
                                                    code=1)
    stead(place, "bundle", "unpack", "s.bundle", "-o", "out", "--digest", other)
    assert (place / "out/main.lua").read_text() == "-- another\n"


def test_a_signature_needs_a_history(place):
    stead(place, "key", "new", "a.key")
    name = stead(place, "bundle", "pack", "site", "-o", "s.bundle").strip()
    sign = ["bundle", "sign", "s.bundle", "--key", "a.key"]
    assert "--message TEXT are missing" in stead(place, *sign, "--record", 1, code=1)
    assert "counted from 1" in stead(place, *sign, "-m", "why", code=1)
    assert "give both or neither" in stead(place, *sign, "-m", "why", "--record", 2, code=1)
    assert "is no name of a bundle" in stead(place, *sign, "-m", "why", "--record", 2, "--previous", "x", code=1)
    assert not (place / "s.bundle.signed").exists()
    stead(place, *sign, "-m", "why", "--record", 2, "--previous", name)


def test_keys_are_kept(place):
    stead(place, "key", "new", "a.key")
    line = stead(place, "key", "show", "a.key").strip()
    assert line == (place / "a.key.pub").read_text().strip() and line.startswith("stead-ed25519 ")
    assert "keys are never replaced" in stead(place, "key", "new", "a.key", code=1)
    assert stead(place, "key", "show", "a.key").strip() == line
    (place / "a.key").chmod(0o644)
    assert "others may read it; chmod 600 it" in stead(place, "key", "show", "a.key", code=1)


@pytest.mark.parametrize("words, part", [
    (["key", "mew", "x"], "no such verb 'mew', did you mean 'new'?"),
    (["key", "add", "x"], "usage: stead key add LIST PUBLIC"),
    (["bundle", "pack"], "usage: stead bundle pack DIR"),
    (["bundle", "park", "x"], "no such verb 'park'"),
    (["bundle", "pack", "site"], "--out FILE is missing"),
    (["bundle", "pack", "absent", "-o", "x"], "open the directory 'absent'"),
    (["bundle", "unpack", "x", "-o", "y"], "say what may be unpacked"),
    (["bundle", "verify", "x"], "--key PUBLIC is missing"),
    (["bundle", "show", "site/main.lua"], "it is not compressed with zstd"),
])
def test_wrong_use(place, words, part):
    assert part in stead(place, *words, code=1)
