"""The kind apt_source with signed sources and several releases, as the real apt sees them."""
import shutil

import pytest

import debian

SIGNED = 'apt_source "signed" { uris = "file:/srv/signed", suites = "./", key = %s }\n'


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """One that signs, and one that does not."""
    if not shutil.which("gpg"):
        pytest.skip("needs gpg")
    made = [debian.Key(tmp_path_factory.mktemp("keys"), name) for name in ("ours", "theirs")]
    yield made
    for key in made:
        key.close()


def source(machine, tmp_path, key, name, specs, fields=""):
    """Makes the signed source /srv/NAME of specs: name, version, keywords of debian.build."""
    place = machine.path(f"/srv/{name}")
    place.mkdir(parents=True, exist_ok=True)
    for package, number, *options in specs:
        shutil.copy(debian.build(tmp_path / name, package, number, **(options[0] if options else {})), place)
    debian.write_index(place)
    debian.write_release(place, key, f"Origin: stead\nLabel: {name}\n{fields}")


def version(machine, name):
    return machine.run(f"dpkg-query -W -f '${{Version}}' {name}", check=False).stdout


@pytest.fixture(scope="module")
def signed(machine, keys, tmp_path_factory):
    source(machine, tmp_path_factory.mktemp("signed"), keys[0], "signed", [("stead-signed", "1.0")])


@pytest.mark.parametrize("form", ["text", "armoured", "binary"])
def test_source_signed_by_its_key(machine, keys, signed, form):
    text = keys[0].public().decode()
    machine.path("/root/key").write_bytes(keys[0].public(armoured=form != "binary"))
    machine.converge(SIGNED % (f"[[{text}]]" if form == "text" else '"/root/key"') + 'pkg "stead-signed" {}\n')
    assert version(machine, "stead-signed") == "1.0"
    kept = "/etc/apt/keyrings/signed." + ("gpg" if form == "binary" else "asc")
    assert machine.path(kept).exists() and not machine.path("/etc/apt/trusted.gpg.d/signed.asc").exists()
    machine.converge('noop "empty" {}\n')
    assert version(machine, "stead-signed") == ""
    assert not machine.path("/etc/apt/sources.list.d/signed.sources").exists() and not machine.path(kept).exists()


def test_source_signed_by_another_key(machine, keys, signed):
    """It is not added, and what was declared to come from it is not installed."""
    theirs = SIGNED % f"[[{keys[1].public().decode()}]]"
    text = machine.stead("apply", theirs + 'pkg "stead-signed" {}\n', code=4)
    assert "is signed by the key" in text and "not the one that is trusted for it" in text
    assert version(machine, "stead-signed") == ""
    assert not machine.path("/etc/apt/sources.list.d/signed.sources").exists()
    machine.run("apt-get -qq update")  # nothing is in the way of the others
    machine.stead("apply", 'noop "empty" {}\n')


def test_source_without_its_key(machine, signed):
    text = machine.stead("apply", SIGNED.replace(", key = %s", ""), code=4)
    assert "key" in text and "file:/srv/signed" in text
    machine.stead("apply", 'noop "empty" {}\n')


def test_source_whose_content_was_changed(machine, keys, signed, tmp_path):
    """Signed once, and changed since by somebody who has not the key."""
    machine.run("cp -a /srv/signed /srv/forged; sed -i s/1.0/6.6/ /srv/forged/Packages")
    forged = SIGNED.replace("/srv/signed", "/srv/forged") % f"[[{keys[0].public().decode()}]]"
    text = machine.stead("apply", forged, code=4)
    assert "signed" in text and "/srv/forged" in text
    assert not machine.path("/etc/apt/sources.list.d/signed.sources").exists()
    machine.stead("apply", 'noop "empty" {}\n')


def test_release_and_pin(machine, keys, tmp_path):
    """Two releases: the older one unless asked for, the newer one by name, and a pin that turns that round."""
    key = keys[0].public().decode()
    fields = "Suite: {0}\nCodename: {0}\nNotAutomatic: {1}\nButAutomaticUpgrades: {1}\n"
    source(machine, tmp_path, keys[0], "old", [("stead-rel", "1.0"), ("stead-pin", "1.0")], fields.format("old", "no"))
    source(machine, tmp_path, keys[0], "new", [("stead-rel", "2.0"), ("stead-pin", "2.0")], fields.format("new", "yes"))
    both = "".join(f'apt_source "{name}" {{ uris = "file:/srv/{name}", suites = "./", key = [[{key}]] }}\n'
                   for name in ("old", "new"))
    pin = 'file "/etc/apt/preferences.d/pin" { content = "Package: stead-pin\\nPin: release n=new\\nPin-Priority: 700\\n" }\n'
    machine.converge(both + 'pkg "stead-rel" {}\npkg "stead-pin" {}\n' + pin)
    assert (version(machine, "stead-rel"), version(machine, "stead-pin")) == ("1.0", "2.0")
    machine.converge(both + 'pkg "stead-rel" { state = "newest", release = "new" }\npkg "stead-pin" {}\n' + pin)
    assert version(machine, "stead-rel") == "2.0"
    text = machine.stead("apply", both + 'pkg "stead-rel" { state = "newest", release = "none" }\n', code=4)
    assert "none" in text
    machine.stead("apply", 'noop "empty" {}\n')


if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__]))
