import pathlib
import sys

import pytest

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE))

from scratch import STEAD, Site  # noqa: E402


def pytest_collection_modifyitems(items):
    if not STEAD.exists():
        for item in items:  # of all directories
            if HERE in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=f"needs {STEAD}: build it first"))


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)
