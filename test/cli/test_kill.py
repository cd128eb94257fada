"""kill -9 of apply and agent at random instants: the next apply ends right and no notification is lost."""
import collections
import json
import os
import random
import signal
import statistics
import subprocess
import time

import pytest

from scratch import PATIENCE

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="commands below --root need root")

APPLY_KILLS = 200
AGENT_KILLS = 100
SOURCES = 12  # files that notify
ADOPTED = "by hand\n"
FIXED = """
file "/srv/app/" { mode = "0750" }
file "/srv/app/conf.d/" {}
file "/srv/app/conf.d/deep/" {}
for i = 1, 4 do
  file("/srv/app/link" .. i) { target = "/srv/app/conf.d/" .. i }
  line("hosts " .. i) { file = "/etc/hosts", content = "10.0.0." .. i .. " host" .. i }
  user("user" .. i) { uid = 700 + i, homedir = "/home/user" .. i }
  group("group" .. i) { gid = 800 + i }
end
for i = 1, 12 do
  file("/srv/app/conf.d/" .. i) {
    content = "source " .. i .. " version " .. VERSION .. "\\n", mode = "0640",
    notify = { exec("seen " .. i), exec "seen all" },
  }
  exec("seen " .. i) { cmd = "cat /srv/app/conf.d/" .. i .. " >> /tmp/seen" .. i, shell = "/bin/sh",
                       refreshonly = true }
end
exec "seen all" {
  cmd = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do cat /srv/app/conf.d/$i; done >> /tmp/seen-all", shell = "/bin/sh",
  refreshonly = true,
}
"""
# What is there with every other version only; the adopted file goes back to what it was.
VARYING = """
file "/srv/app/extra/" {}
for i = 1, 4 do file("/srv/app/extra/" .. i) { content = "extra " .. i .. " version " .. VERSION } end
file "/etc/adopted" { content = "managed by version " .. VERSION }
group "extra" { gid = 900 }
for i = 1, 4 do
  file("/srv/left" .. i) { content = ("left %d "):format(i):rep(4000) .. VERSION, on_remove = ({ "forget", "report" })[i % 2 + 1] }
end
"""


class Model:
    """A site with a version, what must be there with it, and which sources must have been announced."""

    def __init__(self, site):
        self.site, self.version = site, 0
        self.durations = collections.deque(maxlen=5)  # seconds, of the last applies that were let finish
        site.add_programs("/bin/sh", "/bin/cat")
        site.path("/etc/adopted").write_text(ADOPTED)
        self.edit(1)

    @property
    def varies(self) -> bool:
        return self.version % 2 == 1

    def edit(self, version: int) -> None:
        self.version = version
        self.site.write(f"local VERSION = {version}\n{FIXED}{VARYING if self.varies else ''}")

    def source(self, n: int):
        return self.site.path(f"/srv/app/conf.d/{n}")

    def forget_announcements(self) -> None:
        for record in self.site.path("/tmp").glob("seen*"):
            record.unlink()

    def drift(self, chooser: random.Random) -> None:
        """Damages sources whose announcement has to follow the repair."""
        for n in chooser.sample(range(1, SOURCES + 1), 5):
            if chooser.random() < 0.5:
                self.source(n).unlink(missing_ok=True)
            elif self.source(n).parent.is_dir():
                self.source(n).write_text("damaged\n")

    def expected_files(self) -> dict:
        files = {f"/srv/app/conf.d/{n}": f"source {n} version {self.version}\n" for n in range(1, SOURCES + 1)}
        files["/etc/hosts"] = None
        files["/etc/adopted"] = f"managed by version {self.version}" if self.varies else ADOPTED
        for n in range(1, 5):
            if self.varies:
                files[f"/srv/app/extra/{n}"] = f"extra {n} version {self.version}"
        return files

    def check_files(self) -> None:
        for name, content in self.expected_files().items():
            found = self.site.path(name).read_text()
            if content is not None:
                assert found == content, name
        assert sorted(self.site.path("/etc/hosts").read_text().split("\n")) == \
            ["", *(f"10.0.0.{n} host{n}" for n in range(1, 5))]
        for n in range(1, 5):
            assert os.readlink(self.site.path(f"/srv/app/link{n}")) == f"/srv/app/conf.d/{n}"
        assert self.site.path("/srv/app/extra").exists() == self.varies
        for database, names in (("passwd", [f"user{n}" for n in range(1, 5)]), ("group", [f"group{n}" for n in range(1, 5)])):
            lines = [line.split(":")[0] for line in self.site.path(f"/etc/{database}").read_text().splitlines()]
            assert len(lines) == len(set(lines)) and set(names) <= set(lines), (database, lines)

    def unannounced(self, sources) -> list[str]:
        missing = []
        for n in sources:
            for record in (f"/tmp/seen{n}", "/tmp/seen-all"):
                path = self.site.path(record)
                if f"source {n} version {self.version}" not in (path.read_text() if path.exists() else "").split("\n"):
                    missing.append(f"source {n} in {record}")
        return missing

    def left_over(self) -> list:
        return [path for pattern in (".stead*", ".*.stead-candidate") for path in self.site.root.rglob(pattern)]

    def recover(self, announced=range(1, SOURCES + 1)) -> None:
        """An apply that is let finish; after it everything is as if nobody had been killed."""
        done = self.timed_apply()
        assert done.code == 0, done
        self.check_files()
        assert not self.unannounced(announced), (self.unannounced(announced), done)
        assert not self.left_over()
        plan = self.site.plan()
        pending = [c for c in plan["resource_changes"] if c["change"]["actions"] != ["no-op"]]  # but for reports
        assert not pending and not plan["resource_drift"], plan
        listed = self.site.run("ledger", "list")
        assert listed.code == 0, listed

    def timed_apply(self):
        start = time.monotonic()
        done = self.site.apply()
        self.durations.append(time.monotonic() - start)
        return done

    def warm_up(self) -> None:
        for _ in range(3):
            self.edit(self.version + 1)
            self.timed_apply()
        self.recover()

    @property
    def span(self) -> float:
        """Seconds that an apply takes these days, and a bit: the load of the machine comes and goes."""
        return 1.2 * statistics.median(self.durations)


def kill_after(process: subprocess.Popen, seconds: float) -> bool:
    """Whether it was still running."""
    try:
        process.wait(seconds)
        return False
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait(PATIENCE)
        return True


def start(site, command: str) -> subprocess.Popen:
    log = open(site.directory / f"{command}.log", "w")
    with log:
        return subprocess.Popen(site.command(command, "--json"), stdout=log, stderr=log, cwd=site.directory)


def times(request, n: int) -> int:
    return n * 10 if request.config.getoption("--soak") else n


def seeded(request) -> random.Random:
    seed = int(os.environ.get("STEAD_SEED", "7")) if not request.config.getoption("--soak") else time.time_ns()
    print(f"seed {seed}")
    return random.Random(seed)


def test_apply_killed_at_random_instants(site, request):
    chooser = seeded(request)
    model = Model(site)
    model.warm_up()
    kills = ended = 0
    wanted = times(request, APPLY_KILLS)
    while kills < wanted:
        if chooser.random() < 0.7:
            model.edit(model.version + 1)
            announced = range(1, SOURCES + 1)
        else:
            model.forget_announcements()
            model.drift(chooser)
            announced = [n for n in range(1, SOURCES + 1)
                         if not model.source(n).exists() or "damaged" in model.source(n).read_text()]
        for _ in range(chooser.choice([1, 1, 1, 2, 3, 5])):
            if kill_after(start(site, "apply"), chooser.uniform(0, model.span)):
                kills += 1
            else:
                ended += 1
        if chooser.random() < 0.1:  # what was begun leaves the configuration before the next run
            model.edit(model.version + 1)
            announced = range(1, SOURCES + 1)
        model.recover(announced)
    print(f"{kills} killed, {ended} had ended, within {model.span * 1000:.0f} ms at the end")
    assert ended < kills


def test_agent_killed_at_random_instants(site, request):
    chooser = seeded(request)
    model = Model(site)
    model.warm_up()
    kills = 0
    while kills < times(request, AGENT_KILLS):
        for _ in range(chooser.choice([1, 1, 2, 3])):
            if chooser.random() < 0.7:
                model.edit(model.version + 1)
            process = start(site, "agent")
            try:
                span = chooser.uniform(0, 2 * model.span)
                edit = chooser.uniform(0, span)
                time.sleep(edit)
                model.edit(model.version + 1)
                if chooser.random() < 0.3:
                    model.drift(chooser)
                assert process.poll() is None, (site.directory / "agent.log").read_text()
                assert kill_after(process, span - edit)
            finally:
                process.kill()
                process.wait()
            kills += 1
        model.recover()


def test_every_step_is_hit_by_some_kill(site, request):
    """The instants reach from before the first effect to after the last: otherwise the loops prove little."""
    chooser = seeded(request)
    model = Model(site)
    model.warm_up()
    progress = []

    def covered():
        return min(progress) == 0 and max(progress) >= SOURCES and len(set(progress)) >= 4

    while len(progress) < 30 or not covered() and len(progress) < 150:  # a busy machine is slower than it was
        model.edit(model.version + 1)
        kill_after(start(site, "apply"), chooser.uniform(0, model.span))
        text = (site.directory / "apply.log").read_text(errors="replace")
        events = [json.loads(line) for line in text.split("\n")[:-1] if line.startswith("{")]
        progress.append(sum(event["event"] == "changed" for event in events))
        model.recover()
    print(f"changes made before the kill: {sorted(progress)}")
    assert covered()
