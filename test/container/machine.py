"""Debian containers with a real systemd, for tests of what no fake can prove.

A base tree, with further packages where a test asks for them, is built once by mmdebstrap and kept
in /var/tmp. A Machine boots systemd-nspawn on an overlay of it; the overlay is mounted in a mount namespace of its own, so that nothing stays mounted
however the test ends. Commands run in the machine by nsenter(1).
"""
import ctypes
import fcntl
import hashlib
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

SUITE = "bookworm"
PACKAGES = ["systemd", "systemd-sysv", "dbus", "apt", "libglib2.0-0", "libsystemd0", "liblua5.4-0",
            "libsqlite3-0", "libarchive13", "libyaml-0-2", "libjansson4", "libssl3", "libcrypt1", "cron"]
CACHE = pathlib.Path(os.environ.get("STEAD_TEST_CACHE", "/var/tmp"))  # where trees and overlays are
BASE_PREFIX = "stead-test-base-"
RUN_PREFIX = "stead-test-run-"
BOOT_TIMEOUT = 180
STOP_TIMEOUT = 400  # systemd's own limits are below
ROOT = pathlib.Path(__file__).resolve().parents[2]
STEAD = pathlib.Path(os.environ.get("STEAD", ROOT / "build" / "stead"))


def missing() -> str | None:
    """Why these tests cannot run here; None when they can."""
    if os.geteuid() != 0:
        return "needs root"
    for program in ("systemd-nspawn", "mmdebstrap", "unshare", "nsenter", "dpkg-deb"):
        if not shutil.which(program):
            return f"needs {program}"
    if not STEAD.exists():
        return f"needs {STEAD}: build it first"
    return None


def base(packages: tuple[str, ...] = ()) -> pathlib.Path:
    """The tree that machines start from, with these packages besides; built when it is not there."""
    wanted = PACKAGES + sorted(set(packages) - set(PACKAGES))
    key = hashlib.sha256(" ".join([SUITE, *wanted]).encode()).hexdigest()[:12]
    tree = CACHE / (BASE_PREFIX + key)
    with open(CACHE / (BASE_PREFIX + "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not tree.exists():
            build_base(tree, wanted)
    return tree


def build_base(tree: pathlib.Path, packages: list[str]) -> None:
    for old in CACHE.glob(BASE_PREFIX + "*.new"):
        shutil.rmtree(old)
    new = tree.with_name(tree.name + ".new")
    subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", "--include=" + ",".join(packages),
                    '--aptopt=Acquire::Retries "3"', SUITE, str(new)], check=True)
    (new / "etc/apt/sources.list").write_text("")  # machines have no network
    new.rename(tree)


def sweep() -> None:
    """Removes what test processes that were killed have left."""
    for left in CACHE.glob(RUN_PREFIX + "*"):
        pid = left.name.removeprefix(RUN_PREFIX).split("-")[0]
        if not pathlib.Path("/proc", pid).exists():
            shutil.rmtree(left, ignore_errors=True)


def die_with_parent() -> None:
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def children(pid: int) -> list[int]:
    return [int(pid) for pid in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_for(what: str, check, timeout: float = 60, interval: float = 0.05):
    """Returns the first true value that check() gives."""
    deadline = time.monotonic() + timeout
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout} s for {what}")
        time.sleep(interval)


class Machine:
    """One booted container, with our stead in it unless said otherwise. Use it as a context manager.

    packages: those that it has beside PACKAGES, as from the Debian installer: services enabled.
    """

    def __init__(self, name: str, stead: bool = True, packages: tuple[str, ...] = ()):
        self.name = name
        self.has_stead = stead
        self.packages = packages
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix=f"{RUN_PREFIX}{os.getpid()}-{name}-",
                                                       dir=CACHE))
        self.process = None
        self.leader = None
        self.agents = []

    def __enter__(self):
        try:
            self.boot()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *unused):
        self.stop()

    def boot(self) -> None:
        for part in ("upper", "work", "root"):
            (self.directory / part).mkdir()
        if self.has_stead:
            programs = self.directory / "upper/usr/bin"
            programs.mkdir(parents=True)
            shutil.copy2(STEAD, programs / "stead")
        self.start()

    def start(self) -> None:
        """Boots what is on the overlay."""
        mount = (f"lowerdir={base(self.packages)},upperdir={self.directory}/upper,"
                 f"workdir={self.directory}/work")
        script = ('mount -t overlay overlay -o "$1" "$2" && exec systemd-nspawn --directory="$2" '
                  '--boot --register=no --keep-unit --quiet --private-network --link-journal=no '
                  '--console=pipe --machine="$3"')
        with open(self.directory / "console", "wb") as console:
            self.process = subprocess.Popen(
                ["unshare", "--mount", "--propagation=private", "sh", "-c", script, "sh", mount,
                 str(self.directory / "root"), "stead-" + self.name.replace("_", "-")],
                stdin=subprocess.DEVNULL, stdout=console, stderr=console,
                preexec_fn=die_with_parent)
        self.leader = wait_for("the container's first process", self.find_leader, BOOT_TIMEOUT)
        wait_for("the system bus", lambda: self.run("test -S /run/dbus/system_bus_socket",
                                                    check=False).returncode == 0, BOOT_TIMEOUT)
        state = self.run("systemctl is-system-running --wait", check=False).stdout.strip()
        assert state in ("running", "degraded"), f"{state}\n{self.console()}"

    def crash(self) -> None:
        """Ends everything in the machine at once, as a loss of power would, but for the disk's cache."""
        os.kill(self.leader, signal.SIGKILL)
        self.process.wait(60)

    def reboot(self, how: str = "systemctl reboot") -> float:
        """Orderly, or by crash(): what is on the overlay stays, /run does not. Seconds until it was down."""
        begin = time.monotonic()
        if how == "crash":
            self.crash()
        else:
            self.run(how, check=False)
            wait_for("the machine to go down", self.is_down, STOP_TIMEOUT, 0.1)
        seconds = time.monotonic() - begin
        self.start()
        return seconds

    def is_down(self) -> bool:
        """Whether it has ended. systemd-shutdown stops all processes for a moment; nsenter(1), which is not among them,
        then stops itself as its child did, never goes on, and keeps the machine up with a child that nobody waits for."""
        for child in children(os.getpid()):
            stat = pathlib.Path(f"/proc/{child}/stat").read_text()
            name, state = stat[stat.index("(") + 1:].rsplit(")", 1)
            if name == "nsenter" and state.split()[0] == "T":
                os.kill(child, signal.SIGCONT)
        return self.process.poll() is not None

    def console(self) -> str:
        return (self.directory / "console").read_text(errors="replace")[-4000:]

    def find_leader(self) -> int | None:
        """The child of nspawn that is process 1 in a namespace below ours."""
        if self.process.poll() is not None:
            raise AssertionError(f"nspawn ended with {self.process.returncode}\n{self.console()}")
        for child in children(self.process.pid):
            try:
                status = pathlib.Path(f"/proc/{child}/status").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue  # a helper of nspawn that has ended meanwhile
            fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
            if fields["Name"] == "systemd" and fields["NSpid"].split()[-1] == "1":
                return child
        return None

    def stop(self) -> None:
        for agent in self.agents:  # what they started ends with the container
            agent.kill()
            agent.wait()
        if self.leader and self.process.poll() is None:
            os.kill(self.leader, signal.SIGKILL)
        if self.process:
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def command(self, *argv: str) -> list[str]:
        return ["nsenter", "--target", str(self.leader), "--all", "env", "-i",
                "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8", *argv]

    def run(self, command: str, check: bool = True, timeout: float = 300):
        """Runs a shell command in the machine; its output is in .stdout and .stderr."""
        done = subprocess.run(self.command("sh", "-c", command), stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=timeout)
        if check and done.returncode != 0:
            raise AssertionError(f"{command}: exit code {done.returncode}\n"
                                 f"{done.stdout}{done.stderr}")
        return done

    def out(self, command: str) -> str:
        return self.run(command).stdout.strip()

    def path(self, path: str) -> pathlib.Path:
        """A path of the machine as seen from here."""
        return pathlib.Path(f"/proc/{self.leader}/root{path}")

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        target = self.path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(mode)

    # --- stead

    def stead(self, verb: str, config: str, *options: str, code: int = 0):
        """Runs `stead VERB` on config, Lua text; code is the exit code expected."""
        self.write("/root/site.lua", config)
        done = self.run(" ".join(["stead", verb, *options, "/root/site.lua"]), check=False)
        assert done.returncode == code, (f"stead {verb}: exit code {done.returncode}, not {code}\n"
                                         f"{config}\n{done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def converge(self, config: str) -> str:
        """A plan that promises changes, an apply that makes them, a second one that has none."""
        self.stead("plan", config, "--detailed-exitcode", code=2)
        text = self.stead("apply", config, "--detailed-exitcode", code=2)
        self.settled(config)
        return text

    def settled(self, config: str) -> None:
        self.stead("apply", config, "--detailed-exitcode", code=0)

    def agent(self, config: str, *options: str) -> "subprocess.Popen":
        """Starts an agent, which takes over from what was applied before."""
        self.write("/root/site.lua", config)
        log = open(self.directory / f"agent-{len(self.agents)}.log", "wb")
        agent = subprocess.Popen(self.command("stead", "agent", *options, "/root/site.lua"),
                                 stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.agents.append(agent)
        return agent

    def stop_agents(self) -> None:
        """Asks them to stop, as a service manager would; they must end by themselves."""
        for agent in self.agents:
            for child in children(agent.pid):  # nsenter does not pass signals on
                os.kill(child, signal.SIGTERM)
        for agent in self.agents:
            agent.wait(60)
        self.agents.clear()

    def agent_log(self) -> str:
        logs = sorted(self.directory.glob("agent-*.log"))
        return "".join(log.read_text(errors="replace") for log in logs)[-8000:]
