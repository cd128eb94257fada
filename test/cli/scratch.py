"""Drives the real binary below a scratch root: `site.write(lua)`, `site.run("apply")`, `with site.agent()`."""
import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import time

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
STEAD = pathlib.Path(os.environ.get("STEAD", REPOSITORY / "build" / "stead"))
PATIENCE = 60  # seconds to wait for what should take milliseconds, on a machine under any load


def eventually(condition, what="condition", patience=PATIENCE):
    """Waits until condition() is true and returns its value."""
    end = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"waited {patience} s in vain for {what}"
        time.sleep(0.005)


def free_ports(n: int) -> range:
    """So many in a row that nobody has, of those that connections do not get: who is killed finds its port again."""
    while True:
        ports = range(first := random.randrange(10000, 32768 - n), first + n)
        try:
            with contextlib.ExitStack() as stack:
                for port in ports:
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return ports
        except OSError:
            continue


def runs(process: subprocess.Popen, command: str) -> bool:
    """Whether process, or a thread of it, has a child that runs command by now."""
    try:
        threads = pathlib.Path(f"/proc/{process.pid}/task").iterdir()
        children = [child for thread in threads for child in (thread / "children").read_text().split()]
        return command in [pathlib.Path(f"/proc/{child}/comm").read_text().strip() for child in children]
    except OSError:  # one ended meanwhile
        return False


def ticks(process: subprocess.Popen) -> int:
    """Hundredths of a second of processor time that it has used so far."""
    fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def comes_to_rest(process: subprocess.Popen, seconds: float, most: int) -> bool:
    """Whether it uses no more than that in so many seconds; what is still to be done may go first."""
    for _ in range(5):
        before = ticks(process)
        time.sleep(seconds)
        if ticks(process) - before <= most:
            return True
    return False


class Result:
    def __init__(self, done: subprocess.CompletedProcess):
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    def __repr__(self):
        return f"exit {self.code}\n{self.out}\n{self.err}"

    @property
    def events(self) -> list[dict]:
        return [json.loads(line) for line in self.out.splitlines() if line.startswith("{")]

    def of(self, *names: str) -> list[dict]:
        return [event for event in self.events if event["event"] in names]

    @property
    def summary(self) -> dict:
        return self.of("summary")[-1]


class Agent:
    """A running agent and what it has said so far."""

    def __init__(self, process: subprocess.Popen, log: pathlib.Path):
        self.process, self.log = process, log

    @property
    def events(self) -> list[dict]:
        lines = self.log.read_text(errors="replace").split("\n")[:-1]
        return [json.loads(line) for line in lines if line.startswith("{")]

    def count(self, event: str, **members) -> int:
        return len(self.find(event, **members))

    def find(self, event: str, **members) -> list[dict]:
        return [e for e in self.events if e["event"] == event and all(e.get(k) == v for k, v in members.items())]

    def wait(self, event: str, n: int = 1, **members) -> dict:
        assert self.process.poll() is None, self.log.read_text()
        return eventually(lambda: self.find(event, **members)[n - 1 :], f"event {event} {members}")[0]

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


class Site:
    def __init__(self, directory: pathlib.Path):
        self.directory = directory
        self.root = directory / "root"
        self.file = directory / "site.lua"
        for part in ("etc", "tmp", "var", "srv"):
            (self.root / part).mkdir(parents=True)
        (self.root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
        (self.root / "etc/group").write_text("root:x:0:\n")

    def write(self, text: str, name: str = "site.lua") -> pathlib.Path:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        new = self.directory / "written"  # not beside it: trees and directories that are watched hold it never
        new.write_text(text)
        new.rename(path)
        return path

    def add_programs(self, *programs: str) -> None:
        """Copies programs with their libraries, for commands in a chroot."""
        for program in programs or ("/bin/sh", "/bin/cat", "/bin/sleep", "/bin/true", "/bin/false"):
            files = [program] + [
                word for word in subprocess.run(["ldd", program], capture_output=True, text=True).stdout.split()
                if word.startswith("/")
            ]
            for file in files:
                target = self.root / file.lstrip("/")
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(os.path.realpath(file), target)

    def command(self, command: str, *arguments: str, file=None) -> list[str]:
        takes_file = command in ("check", "plan", "apply", "agent", "graph")
        operands = [str(file or self.file)] if takes_file else []
        place = [] if command in ("check",) else ["--root", str(self.root)]
        return [str(STEAD), command, *operands, *place, *arguments]

    def run(self, command: str, *arguments: str, file=None, timeout=120, **options) -> Result:
        return Result(
            subprocess.run(self.command(command, *arguments, file=file), capture_output=True, text=True,
                           timeout=timeout, cwd=self.directory, check=False, **options)
        )

    def apply(self, *arguments: str, **options) -> Result:
        return self.run("apply", "--json", *arguments, **options)

    def plan(self, *arguments: str, **options) -> dict:
        result = self.run("plan", "--json", *arguments, **options)
        plans = result.of("plan")
        assert plans, result
        return plans[0]

    def path(self, name: str) -> pathlib.Path:
        return self.root / name.lstrip("/")

    @contextlib.contextmanager
    def agent(self, *arguments: str, **options):
        log = self.directory / "agent.log"
        with open(log, "w") as out:
            process = subprocess.Popen(self.command("agent", "--json", *arguments), stdout=out, stderr=out,
                                       cwd=self.directory, **options)
        agent = Agent(process, log)
        try:
            yield agent
        finally:
            if process.poll() is None:
                process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise
