"""libstead in another program: examples/embed, built out of the tree against what `meson install` brings."""
import os
import shutil
import subprocess

import pytest

from scratch import PATIENCE, REPOSITORY, STEAD, eventually

FLAGS = ["-std=c17", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    """An installed prefix, below a scratch directory that pkg-config takes for the root of another machine."""
    root = tmp_path_factory.mktemp("installed")
    done = subprocess.run(["meson", "install", "-C", STEAD.parent, "--no-rebuild", "--quiet", "--destdir", root],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return root


@pytest.fixture(scope="module")
def environment(prefix):
    pc = next(prefix.rglob("stead.pc"))
    library = next(prefix.rglob("libstead.so.0")).parent
    return dict(os.environ, PKG_CONFIG_PATH=str(pc.parent), PKG_CONFIG_SYSROOT_DIR=str(prefix),
                LD_LIBRARY_PATH=str(library))


def pkg_config(environment, *arguments):
    done = subprocess.run(["pkg-config", *arguments, "stead"], env=environment, capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.fixture
def embed(tmp_path, environment):
    source = tmp_path / "embed"
    shutil.copytree(REPOSITORY / "examples/embed", source, ignore=shutil.ignore_patterns("embed"))
    done = subprocess.run(["make", "-C", source, f"CFLAGS={' '.join(FLAGS + pkg_config(environment, '--cflags'))}"],
                          env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return source / "embed"


def drive(program, environment, root):
    """What the example promises, seen from outside."""
    root.mkdir()
    motd = root / "etc/motd"
    with open(root.parent / "log", "w") as log:
        process = subprocess.Popen([program, root], stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment)
    try:
        eventually(lambda: "converged" in (root.parent / "log").read_text(), "the first message")
        assert motd.read_text() == "hello\n"
        motd.write_text("mine\n")
        eventually(lambda: motd.read_text() == "hello\n", "the repair")
        process.stdin.write(b"news\n")
        process.stdin.flush()
        eventually(lambda: motd.read_text() == "news\n", "the second message")
        process.stdin.close()
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()
    said = (root.parent / "log").read_text()
    assert "create file '/etc/motd'" in said
    assert "change file '/etc/motd', drifted" in said
    assert "change file '/etc/motd'\n" in said and "converged" in said


def test_example_with_the_shared_library(tmp_path, environment, embed):
    drive(embed, environment, tmp_path / "root")
    # the command knows what the program did: they share the ledger
    listing = subprocess.run([STEAD, "ledger", "list", "--root", tmp_path / "root"], capture_output=True, text=True,
                             check=True).stdout
    assert "/etc/motd" in listing


def test_example_with_the_static_library(tmp_path, environment, prefix):
    program = tmp_path / "embed"
    archive = next(prefix.rglob("libstead.a"))
    # Ours alone is static: what it needs comes as shared libraries, of this machine.
    needs = [line.split()[0] for line in
             subprocess.run(["pkg-config", "--print-requires-private", "stead"], env=environment, check=True,
                            capture_output=True, text=True).stdout.splitlines()]
    libraries = subprocess.run(["pkg-config", "--libs", *needs], check=True, capture_output=True,
                               text=True).stdout.split() + ["-lm"]
    subprocess.run(["cc", *FLAGS, *pkg_config(environment, "--cflags"), REPOSITORY / "examples/embed/embed.c",
                    archive, *libraries, "-o", program], check=True, env=environment)
    needed = subprocess.run(["objdump", "-p", program], check=True, capture_output=True, text=True).stdout
    assert "libstead" not in needed
    drive(program, os.environ, tmp_path / "root")


def test_header_is_c_and_cxx(tmp_path, environment):
    for compiler, language in (("cc", "c"), ("c++", "c++")):
        if not shutil.which(compiler):
            pytest.skip(f"needs {compiler}")
        source = tmp_path / f"alone.{language}"
        source.write_text("#include <stead.h>\nint main() { return stead_version() == 0; }\n")
        subprocess.run([compiler, "-x", language, "-Wall", "-Wextra", "-Wpedantic", "-Werror", source,
                        *pkg_config(environment, "--cflags", "--libs"), "-o", tmp_path / "alone"],
                       check=True, env=environment)
        subprocess.run([tmp_path / "alone"], check=True, env=environment)


def test_example_refuses_a_root_that_is_not_there(tmp_path, environment, embed):
    done = subprocess.run([embed, tmp_path / "nowhere"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("embed: open: ") and "nowhere" in done.stderr
