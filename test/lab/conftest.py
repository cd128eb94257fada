import pathlib

import pytest

from labs import DATA, PREFIX, lab, missing, traces, write

HERE = pathlib.Path(__file__).parent


def pytest_collection_modifyitems(items):
    reason = missing()
    if reason:
        for item in items:  # of all directories
            if HERE in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="module", autouse=True)
def base(tmp_path_factory):
    """The base is there, and at the end nothing else of ours."""
    before = traces(PREFIX)
    path = write(tmp_path_factory.mktemp("base"), "base", "hosts: { one: }\n")
    lab("up", path, "--quiet")
    lab("down", f"{PREFIX}-base")
    yield
    for directory in (DATA / "labs").glob(f"{PREFIX}-*"):
        lab("down", directory.name, code=None)
    after = traces(PREFIX)
    for what in before:
        if what not in ("links", "namespaces", "nspawn", "unfinished"):  # others may work here too
            assert after[what] == [], what
