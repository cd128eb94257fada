import shutil

import pytest


def pytest_addoption(parser):
    parser.addoption("--soak", action="store_true", help="run the random loops ten times as long")


@pytest.fixture(autouse=True)
def no_logs_of_etcd(request):
    """Each etcd makes 128 MB of them at its start; kept to the end, those of all tests would fill a /tmp in memory."""
    directory = request.getfixturevalue("tmp_path") if "tmp_path" in request.fixturenames else None
    yield
    for logs in directory.glob("**/member/wal") if directory else ():
        shutil.rmtree(logs, ignore_errors=True)  # one of another user's is that user's
