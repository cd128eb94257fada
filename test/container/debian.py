"""Tiny Debian packages and a package source made of them."""
import hashlib
import pathlib
import subprocess


def build(directory: pathlib.Path, name: str, version: str, depends: str = "",
          conffile: bool | str = False, unit: str = "", postinst: str = "", size: int = 0,
          fields: str = "", scripts: dict[str, str] | None = None) -> pathlib.Path:
    """Builds NAME_VERSION_all.deb with /usr/share/NAME/version, and NAME.service made of unit.
    conffile: its text, or True. size: bytes that it takes besides. fields: of the control file.
    scripts: further files of the control archive by name."""
    tree = directory / f"{name}-{version}.tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "usr/share" / name).mkdir(parents=True)
    (tree / "usr/share" / name / "version").write_text(version + "\n")
    control = (f"Package: {name}\nVersion: {version}\nArchitecture: all\n"
               f"Maintainer: nobody <nobody@example.org>\nDescription: package for tests\n")
    if depends:
        control += f"Depends: {depends}\n"
    (tree / "DEBIAN/control").write_text(control + fields)
    for script, text in ((scripts or {}) | ({"postinst": f"#!/bin/sh\n{postinst}\n"} if postinst else {})).items():
        (tree / "DEBIAN" / script).write_text(text)
        (tree / "DEBIAN" / script).chmod(0o755)
    if size:
        (tree / "usr/share" / name / "big").write_bytes(b"x" * size)
    if conffile:
        (tree / "etc").mkdir()
        (tree / f"etc/{name}.conf").write_text(conffile if isinstance(conffile, str) else "setting = 1\n")
        (tree / "DEBIAN/conffiles").write_text(f"/etc/{name}.conf\n")
    if unit:
        (tree / "usr/lib/systemd/system").mkdir(parents=True)
        (tree / f"usr/lib/systemd/system/{name}.service").write_text(unit)
    deb = directory / f"{name}_{version}_all.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "--build", str(tree), str(deb)],
                   check=True, stdout=subprocess.DEVNULL)
    return deb


def write_index(directory: pathlib.Path) -> None:
    """Writes the Packages file of a flat source: what apt reads of it."""
    text = ""
    for deb in sorted(directory.glob("*.deb")):
        fields = subprocess.run(["dpkg-deb", "--field", str(deb)], check=True, capture_output=True,
                                text=True).stdout
        content = deb.read_bytes()
        text += (f"{fields}Filename: ./{deb.name}\nSize: {len(content)}\n"
                 f"SHA256: {hashlib.sha256(content).hexdigest()}\n\n")
    (directory / "Packages").write_text(text)


class Key:
    """A key that signs sources, in a keyring of its own below directory."""

    def __init__(self, directory: pathlib.Path, name: str):
        self.home = directory / f"gpg-{name}"
        self.home.mkdir(mode=0o700)
        self.gpg("--quick-generate-key", f"{name} <{name}@example.org>", "rsa2048", "sign", "never")

    def gpg(self, *words: str, stdin: bytes | None = None) -> bytes:
        return subprocess.run(["gpg", "--homedir", str(self.home), "--batch", "--quiet", "--passphrase", "", *words],
                              input=stdin, check=True, stdout=subprocess.PIPE).stdout

    def public(self, armoured: bool = True) -> bytes:
        return self.gpg("--export", *["--armor"] * armoured)

    def close(self) -> None:
        subprocess.run(["gpgconf", "--homedir", str(self.home), "--kill", "all"], check=False)


def write_release(directory: pathlib.Path, key: Key, fields: str) -> None:
    """Signs what write_index() wrote; fields as in a Release file."""
    index = (directory / "Packages").read_bytes()
    text = f"{fields}SHA256:\n {hashlib.sha256(index).hexdigest()} {len(index)} Packages\n"
    (directory / "InRelease").write_bytes(key.gpg("--clearsign", stdin=text.encode()))
