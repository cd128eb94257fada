"""What the tests of faults share: one resource fails in words, all others are done, and it is mended."""
import contextlib
import itertools
import os
import pathlib
import re
import subprocess

import pytest

from machine import children

counter = itertools.count(1)


def other() -> str:
    """A resource that has nothing to do with the fault."""
    return f'file "/srv/other-{next(counter)}" {{ content = "other" }}\n'


def run_to_failure(machine, run: str = "stead apply /root/site.lua", tries: int = 5):
    """Applies, again when all seemed to be right: a start is looked at for 0.1 s, and what crashes may do so later where
    others have the processor. The next run finds it."""
    for _ in range(tries):
        done = machine.run(run, check=False)
        if done.returncode != 0:
            break
    return done


def fails(machine, config: str, *words: str, run: str = "stead apply /root/site.lua", tries: int = 1) -> list[str]:
    """Applies with the fault: its message has these words, and the rest is done. The lines of failures."""
    rest = other()
    machine.write("/root/site.lua", config + rest)
    done = run_to_failure(machine, run, tries)
    text = done.stdout + done.stderr
    print(text)
    text = re.sub(r"^failed \S+:\d+: ", "failed ", text, flags=re.MULTILINE)  # where it is declared
    assert done.returncode == 4, f"exit code {done.returncode}\n{text}"
    for word in words:
        assert word in text, f"no '{word}' in:\n{text}"
    assert machine.path(rest.split('"')[1]).read_text() == "other"
    return [line for line in text.splitlines() if line.startswith("failed")]


def recovers(machine, config: str) -> None:
    """Without the fault the next apply makes everything right, and the one after it nothing."""
    machine.stead("apply", config)
    machine.settled(config)


def heard(machine, *words: str):
    """Whether the agents have said all of this."""
    said = machine.agent_log()
    return all(word in said for word in words)


@contextlib.contextmanager
def limited(controller: str, setting: str, value: str):
    """A control group of this machine with a limit, as a prefix for commands; v1 or v2."""
    top = pathlib.Path("/sys/fs/cgroup")
    place = (top / controller if (top / controller).is_dir() else top) / f"stead-test-{os.getpid()}"
    try:
        place.mkdir()
        (place / setting).write_text(value)
    except OSError as error:
        with contextlib.suppress(OSError):
            place.rmdir()
        pytest.skip(f"needs a control group with {setting}: {error}")
    try:
        yield ["sh", "-c", f'echo 0 > {place}/cgroup.procs && exec "$@"', "sh"]
    finally:
        place.rmdir()


def run_limited(machine, prefix: list[str], command: str) -> subprocess.CompletedProcess:
    return subprocess.run([*prefix, *machine.command("sh", "-c", command)], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300, check=False)


def pid_of(agent) -> int:
    """Of stead itself, which nsenter has started."""
    return children(agent.pid)[0]
