import pathlib
import sys

import pytest

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent / "cli"))

import etcd  # noqa: E402
from scratch import STEAD  # noqa: E402


def pytest_collection_modifyitems(items):
    reason = f"needs {STEAD}: build it first" if not STEAD.exists() else "" if etcd.AVAILABLE else "needs etcd-server"
    for item in items:  # of all directories
        if reason and HERE in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=reason))
