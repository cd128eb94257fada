"""Labs for tests: names that are no other session's, and what is left of them, which must be nothing."""
import fcntl
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
STEAD = pathlib.Path(os.environ.get("STEAD", ROOT / "build" / "stead")).resolve()
# The base is built once and stays, as those of test/container.
DATA = pathlib.Path(os.environ.get("STEAD_TEST_CACHE", "/var/tmp")) / "stead-test-lab"
PREFIX = f"t{os.getpid()}"  # of the names of labs: other sessions may use the same data
PATIENCE = 120  # seconds: the machine may be busy


def missing() -> str | None:
    """Why there can be no labs here; None when there can."""
    if os.geteuid() != 0:
        return "needs root"
    for program in ("systemd-nspawn", "mmdebstrap", "unshare"):
        if not shutil.which(program):
            return f"needs {program}"
    if not STEAD.exists():
        return f"needs {STEAD}: build it first"
    return None


def lab(*words, code=0, data=DATA, **options):
    done = subprocess.run([STEAD, "lab", words[0], "--data", data, *map(str, words[1:])], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False, timeout=1200, **options)
    assert code is None or done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done


def kill_hub_while(holds, name):
    """What is published lives for 2 s, and may be away for a moment on a busy machine: then the hub is killed once more."""
    for _ in range(5):
        wait_for("all to be published", holds)
        lab("kill", "hub", "--lab", name)
        if holds():
            return
        lab("start", "hub", "--lab", name)
    raise AssertionError("what was published goes with the hub")


def added(before, after):
    """What is there now, and was not before. Bases that others build do not count."""
    return [one for what in before if what != "unfinished" for one in after[what] if one not in before[what]]


def wait_for(what, check, timeout=PATIENCE):
    deadline = time.monotonic() + timeout
    while not (value := check()):
        assert time.monotonic() < deadline, f"waited {timeout} s for {what}"
        time.sleep(0.02)
    return value


def write(directory, name, text):
    """A lab's file; its name is that of no other session's."""
    path = directory / f"{PREFIX}-{name}.yaml"
    path.write_text(text)
    return path


def command_lines(pattern):
    """Of all processes, those that have the text in theirs; with pid."""
    found = {}
    for entry in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it has ended meanwhile
        if pattern in line and int(entry.parent.name) != os.getpid():
            found[int(entry.parent.name)] = line
    return found


def is_held(path):
    """Whether somebody works under the lock: then it is another session's."""
    try:
        with path.open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, FileNotFoundError):  # or it is gone meanwhile
        return True
    return False


def groups(parent, name):
    """Control groups below that one; others may go while we look, which glob() would not bear."""
    return sorted(f"{path}/{one}" for path, below, _ in os.walk("/sys/fs/cgroup") if path.endswith(parent)
                  for one in below if one.startswith(name))


def traces(name, data=DATA):
    """Everything on this machine that could be of a lab of that name (or start of one)."""
    mark = hashlib.sha256(str(data).encode()).hexdigest()[:8]
    mounts = pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout.splitlines()
    return {
        "mounts": [line for line in mounts if name in line or "stead-lab" in line],
        "links": sorted(re.sub(r"^\d+: |(qlen|state) \S+", "", line)[:40] for line in links),
        "namespaces": sorted(os.listdir("/run/netns")) if os.path.isdir("/run/netns") else [],
        "nspawn": sorted(p.name for p in pathlib.Path("/run/systemd/nspawn/locks").glob("*") if not is_held(p)),
        "processes": sorted(command_lines(f"{data}/labs/{name}").values()),
        "groups": groups(f"/stead-lab/{mark}", name),
        "directories": sorted(p.name for p in (data / "labs").glob(f"{name}*")) if data.exists() else [],
        "unfinished": sorted(p.name for p in (data / "bases").glob("*.new")) if data.exists() else [],
    }
