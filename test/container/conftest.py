import pathlib
import sys

import pytest

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE))

import machine as containers  # noqa: E402


def pytest_collection_modifyitems(items):
    reason = containers.missing()
    if reason:
        for item in items:  # of all directories
            if HERE in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def base():
    containers.sweep()
    return containers.base()


@pytest.fixture(scope="module")
def machine(base, request):
    """The module's machine, which has what the module calls PACKAGES beside the usual packages."""
    name = request.module.__name__.removeprefix("test_")
    with containers.Machine(name, packages=getattr(request.module, "PACKAGES", ())) as booted:
        yield booted


@pytest.fixture(autouse=True)
def agents_end(request):
    """No test leaves an agent behind, and a failed one shows what its agent said."""
    yield
    if "machine" in request.fixturenames:
        booted = request.getfixturevalue("machine")
        if booted.agents:
            print(booted.agent_log())
            booted.stop_agents()
