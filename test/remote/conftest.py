import os
import pathlib
import shutil
import sys

import pytest

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE))

import sshd  # noqa: E402


def missing() -> str | None:
    if os.geteuid() != 0:
        return "needs root"
    for program in ("ssh", "/usr/sbin/sshd", "unshare", "nsenter"):
        if not shutil.which(program):
            return f"needs {program}"
    return None if sshd.STEAD.exists() else f"needs {sshd.STEAD}: build it first"


def pytest_collection_modifyitems(items):
    reason = missing()
    if reason:
        for item in items:  # of all directories
            if HERE in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    """A target that has stead already, so that runs are quick; what a test leaves on it is seen by the next."""
    with sshd.Sshd(tmp_path_factory.mktemp("remote") / "web1") as running:
        desk = sshd.Desk(running.directory / "first")
        desk.knows(running)
        desk.write('file "/run/made" { content = "x" }\n')
        desk.run("--keep")
        yield running


@pytest.fixture
def desk(tmp_path, target):
    """Where stead is called. What was declared before is let go of."""
    target.run("rm -rf /var/lib/stead")
    place = sshd.Desk(tmp_path / "desk")
    place.knows(target)
    return place
