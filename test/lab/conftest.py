import os
import pathlib
import shutil

import pytest

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[1]
STEAD = pathlib.Path(os.environ.get("STEAD", ROOT / "build" / "stead")).resolve()


def missing() -> str | None:
    """Why these tests cannot run here; None when they can."""
    if os.geteuid() != 0:
        return "needs root"
    for program in ("systemd-nspawn", "mmdebstrap", "unshare"):
        if not shutil.which(program):
            return f"needs {program}"
    if not STEAD.exists():
        return f"needs {STEAD}: build it first"
    return None


def pytest_collection_modifyitems(items):
    reason = missing()
    if reason:
        for item in items:  # of all directories
            if HERE in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=reason))
