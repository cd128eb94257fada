import pathlib
import sys

import pytest

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parent / "cli"))

from fleet import Hub  # noqa: E402
from scratch import STEAD  # noqa: E402


def pytest_collection_modifyitems(items):
    if not STEAD.exists():
        for item in items:  # of all directories
            if HERE in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=f"needs {STEAD}: build it first"))


@pytest.fixture
def hub(tmp_path):
    with Hub(tmp_path / "hub") as running:
        yield running
