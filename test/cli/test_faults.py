"""What goes wrong on real machines: full and read-only disks, damage, floods, rights, signals."""
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import time

import pytest

from scratch import PATIENCE, STEAD, Result, comes_to_rest, eventually, runs

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts and commands below --root need root")
NOBODY = 65534


@contextlib.contextmanager
def mounted(path, *options: str):
    path.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join(options) or "size=1m", "stead-test", str(path)], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def content(path):
    try:
        return path.read_text()
    except (FileNotFoundError, NotADirectoryError):
        return None


def error_of(result) -> str:
    return " ".join(event["error"] for event in result.of("failed"))


def no_temporaries(site) -> bool:
    return not list(site.root.rglob(".stead*"))


# --- file systems ---


@as_root
def test_full_file_system(site):
    with mounted(site.path("/srv/small"), "size=64k"):
        site.write('file "/srv/small/x" { content = string.rep("x", 200000) }\nfile "/srv/y" { content = "y" }')
        done = site.apply()
        assert done.code == 4 and "No space left on device" in error_of(done) and "df" in error_of(done), done
        assert not site.path("/srv/small/x").exists() and content(site.path("/srv/y")) == "y"
        assert no_temporaries(site)
        site.write('file "/srv/small/x" { content = "fits" }\nfile "/srv/y" { content = "y" }')
        assert site.apply().code == 0 and content(site.path("/srv/small/x")) == "fits"


@as_root
def test_read_only_file_system(site):
    with mounted(site.path("/srv/fixed")) as fixed:
        (fixed / "x").write_text("old")
        subprocess.run(["mount", "-o", "remount,ro", str(fixed)], check=True)
        site.write('file "/srv/fixed/x" { content = "new" }\nfile "/srv/y" { content = "y" }')
        done = site.apply()
        assert done.code == 4 and "mounted read-only: see 'findmnt -T /srv/fixed/x'" in error_of(done), done
        assert content(fixed / "x") == "old" and content(site.path("/srv/y")) == "y"
        subprocess.run(["mount", "-o", "remount,rw", str(fixed)], check=True)
        assert site.apply().code == 0 and content(fixed / "x") == "new"


@as_root
def test_full_state_directory(site):
    with mounted(site.directory / "state", "size=48k") as state:
        arguments = ["--state", str(state)]
        site.write('for i = 1, 500 do file("/srv/f" .. i) { content = "x" .. i } end')
        done = site.apply(*arguments)
        assert done.code == 1 and f"write '{state}': No space left on device" in done.out, done
        assert "needs about" in done.out and f"df -h {state}" in done.out, done
        assert not list(site.path("/srv").iterdir())
        subprocess.run(["mount", "-o", "remount,size=8m", str(state)], check=True)
        again = site.apply(*arguments)
        assert again.code == 0, again
        assert len(list(site.path("/srv").iterdir())) == 500
        plan = site.plan(*arguments)
        assert not plan["resource_changes"] and not plan["resource_drift"]
        site.write("")
        assert site.apply(*arguments).code == 0 and not list(site.path("/srv").iterdir())


@as_root
def test_small_state_directory_is_enough_or_nothing_is_touched(site):
    """Whatever its size: what the first look lets pass can be noted to the end."""
    site.write('for i = 1, 500 do file("/srv/f" .. i) { content = ("x%d "):format(i):rep(i % 50) } end')
    codes = []
    for size in range(64, 2048, 96):
        with mounted(site.directory / "state", f"size={size}k") as state:
            done = site.apply("--state", str(state))
            codes.append(done.code)
            assert done.code in (0, 1), (size, done)
            assert len(list(site.path("/srv").iterdir())) == (500 if done.code == 0 else 0), (size, done)
        for file in site.path("/srv").iterdir():
            file.unlink()
    assert codes == sorted(codes, reverse=True) and set(codes) == {0, 1}, codes


@as_root
def test_full_state_directory_stops_repairs(site):
    """What is known already and drifted: its journal could not be written either."""
    with mounted(site.directory / "state", "size=512k") as state:
        site.write('file "/srv/x" { content = "right" }')
        assert site.apply("--state", str(state)).code == 0
        site.path("/srv/x").write_text("drift")
        with contextlib.suppress(OSError), open(state / "ballast", "wb", buffering=0) as ballast:
            while ballast.write(bytes(4096)):
                pass
        done = site.apply("--state", str(state))
        assert done.code == 4 and "noting what is done needs about" in done.out, done
        assert content(site.path("/srv/x")) == "drift"
        (state / "ballast").unlink()
        assert site.apply("--state", str(state)).code == 0 and content(site.path("/srv/x")) == "right"


@as_root
def test_read_only_state_directory(site):
    with mounted(site.directory / "state") as state:
        subprocess.run(["mount", "-o", "remount,ro", str(state)], check=True)
        site.write('file "/srv/x" { content = "x" }')
        done = site.run("apply", "--state", str(state))
        assert done.code == 1 and "Read-only file system" in done.err and str(state) in done.err, done
        assert not site.path("/srv/x").exists()


def test_links_out_of_the_root(site, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("untouched")
    site.path("/srv/escape").symlink_to(outside)
    site.path("/srv/up").symlink_to("../" * 12 + str(outside).lstrip("/"))
    site.path("/srv/file").symlink_to(outside / "secret")
    site.write(
        """
        file "/srv/escape/x" { content = "x" }
        file "/srv/up/secret" { content = "x" }
        file "/srv/file" { content = "x" }
        line "l" { file = "/srv/escape/secret", content = "x" }
        file "/srv/../../../../../../srv/dots" { content = "x" }
        """
    )
    site.run("apply")
    assert [path.name for path in outside.iterdir()] == ["secret"] and content(outside / "secret") == "untouched"


def test_files_vanish_during_apply(site):
    site.write('file "/srv/d/" {}\nfor i = 1, 300 do file("/srv/d/f" .. i) { content = "x" .. i } end')
    for _ in range(5):
        log = site.directory / "apply.log"
        with open(log, "w") as output:
            process = subprocess.Popen(site.command("apply", "--json"), stdout=output, stderr=output,
                                       cwd=site.directory)
        end = time.monotonic() + PATIENCE
        while process.poll() is None and time.monotonic() < end:
            shutil.rmtree(site.path("/srv/d"), ignore_errors=True)
        process.kill()
        process.wait()
        out = log.read_text()
        assert process.returncode in (0, 4), out
        failed = [event for event in map(json.loads, out.splitlines()) if event["event"] == "failed"]
        assert (process.returncode == 4) == bool(failed)
        assert all(event["error"] for event in failed)
    assert site.apply().code == 0
    assert sum(content(site.path(f"/srv/d/f{i}")) == f"x{i}" for i in range(1, 301)) == 300
    assert no_temporaries(site)


# --- the agent under fire ---


def test_directory_is_replaced_while_the_agent_runs(site):
    site.write('file "/srv/d/" {}\nfor i = 1, 20 do file("/srv/d/f" .. i) { content = "x" } end')
    with site.agent("--flap", "0") as agent:
        agent.wait("converged")
        for way in range(6):
            if way % 3 == 0:
                shutil.rmtree(site.path("/srv/d"), ignore_errors=True)
            else:
                site.path("/srv/d").rename(site.path(f"/srv/gone{way}"))
            if way % 3 == 1:
                with contextlib.suppress(FileExistsError):  # the agent may be first
                    site.path("/srv/d").mkdir(mode=0o700)
            eventually(lambda: all(content(site.path(f"/srv/d/f{i}")) == "x" for i in range(1, 21)), f"way {way}")
            site.path("/srv/d/f7").write_text("drift")
            eventually(lambda: content(site.path("/srv/d/f7")) == "x", "repair in the new directory")


def test_queue_overflow_loses_nothing(site):
    limit = int(open("/proc/sys/fs/inotify/max_queued_events").read())
    if limit > 100_000:
        pytest.skip(f"fs.inotify.max_queued_events is {limit}: too many to overflow in a test")
    site.write('for i = 1, 20 do file("/srv/f" .. i) { content = "x" } end')
    with site.agent("--flap", "0") as agent:
        agent.wait("converged")
        agent.process.send_signal(signal.SIGSTOP)
        try:
            noise = [site.path(f"/srv/noise{i}") for i in range(2)]
            for n in range(limit // 2 + 100):  # events of the same kind in a row would be merged
                for file in noise:
                    file.touch()
                    file.unlink()
            site.path("/srv/f3").write_text("drift")
            site.path("/srv/f9").unlink()
        finally:
            agent.process.send_signal(signal.SIGCONT)
        eventually(lambda: content(site.path("/srv/f3")) == "x" and content(site.path("/srv/f9")) == "x",
                   "repair after the overflow")


def test_burst_of_thirty_thousand_events(site):
    site.write('for i = 1, 20 do file("/srv/f" .. i) { content = "x" } end')
    with site.agent("--flap", "0") as agent:
        agent.wait("converged")
        for n in range(10_000):  # three events each
            site.path(f"/srv/other{n % 100}").write_text("x")
            if n % 2000 == 1000:
                site.path("/srv/f1").write_text("drift")
                eventually(lambda: content(site.path("/srv/f1")) == "x", "repair within the burst")
                assert site.run("status").code == 0
        assert comes_to_rest(agent.process, 1, most=2), "still at work long after the burst"


def test_watch_limit_is_told_and_polled(site, request):
    """In a user namespace with its own limit of watches."""
    if subprocess.run(["unshare", "-Ur", "sh", "-c", "echo 8 > /proc/sys/user/max_inotify_watches"],
                      capture_output=True, check=False).returncode != 0:
        pytest.skip("needs a user namespace with a limit of its own: unshare -U is refused here")
    site.write('for i = 1, 30 do file("/srv/d" .. i .. "/") {} file("/srv/d" .. i .. "/f") { content = "x" } end')
    command = " ".join(site.command("agent", "--json", "--flap", "0"))
    with open(site.directory / "agent.log", "w") as out:
        process = subprocess.Popen(
            ["unshare", "-Ur", "sh", "-c", f"echo 8 > /proc/sys/user/max_inotify_watches; exec {command}"], stdout=out,
            stderr=out, cwd=site.directory)
    try:
        log = site.directory / "agent.log"
        eventually(lambda: "max_user_watches" in log.read_text(), "the limit is told")
        told = [json.loads(line) for line in log.read_text().split("\n")[:-1] if '"watch-lost"' in line]
        assert len(told) == 1 and told[0]["total"] == 60 and told[0]["count"] > 20 and "kind" not in told[0], told
        assert "of 60 resources, every 60 s" in told[0]["note"] and "to at least" in told[0]["error"], told
        assert "watch: watch '/srv" in told[0]["error"] and "the system allows no more" in told[0]["error"], told

        def explained():  # the place told of may be above many, and be watched again by now
            polled = [event for event in site.run("status", "--json").of("status")
                      if "the system allows no more" in event.get("unwatched", "")]
            why = site.run("why", "file", polled[-1]["name"]).out if polled else ""
            return "polled instead of watched: watch: watch '/srv" in why and "the system allows no more" in why

        eventually(explained, "the reason of one")
        eventually(lambda: content(site.path("/srv/d30/f")) == "x", "all files, watched or not")
        for i in range(1, 31):
            site.path(f"/srv/d{i}/f").write_text("drift")
        if not request.config.getoption("--soak"):  # the rest takes that long: broken watches are polled once a minute
            return
        eventually(lambda: all(content(site.path(f"/srv/d{i}/f")) == "x" for i in range(1, 31)), "repair by polling",
                   120)
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        finally:
            process.kill()
            process.wait()


def test_configuration_is_deleted_while_the_agent_runs(site):
    text = 'file "/srv/x" { content = "x" }'
    site.write(text)
    with site.agent("--flap", "0") as agent:
        agent.wait("converged")
        site.file.unlink()
        agent.wait("error")
        site.path("/srv/x").write_text("drift")
        eventually(lambda: content(site.path("/srv/x")) == "x", "the running configuration is kept")
        site.write(text.replace('"x" }', '"back" }'))
        eventually(lambda: content(site.path("/srv/x")) == "back", "the new file is read")


def test_reload_while_rounds_run(site):
    site.write('for i = 1, 200 do file("/srv/f" .. i) { content = "0" } end')
    with site.agent("--flap", "0") as agent:
        agent.wait("converged")
        for n in range(1, 31):
            count = 100 + 100 * (n % 2)
            site.write(f'for i = 1, {count} do file("/srv/f" .. i) {{ content = "{n}" }} end')
            agent.process.send_signal(signal.SIGHUP)
            time.sleep(random.Random(n).uniform(0, 0.06))
        eventually(lambda: {content(site.path(f"/srv/f{i}")) for i in range(1, 101)} == {"30"})
        eventually(lambda: len(list(site.path("/srv").iterdir())) == 100, "what left the configuration is gone")
        assert agent.stop() == 0
    assert no_temporaries(site)


# --- the ledger ---


def test_eight_applies_at_once(site):
    site.write('for i = 1, 200 do file("/srv/f" .. i) { content = "x" } end')
    for _ in range(5):  # each time without a state directory: making it is a race, too
        shutil.rmtree(site.path("/var/lib"), ignore_errors=True)
        processes = [subprocess.Popen(site.command("apply"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                      text=True) for _ in range(8)]
        outputs = [(process.communicate(timeout=PATIENCE)[0], process.returncode) for process in processes]
        assert any(code == 0 for _, code in outputs), outputs
        for out, code in outputs:
            assert code == 0 or (code == 1 and "another stead is at work" in out), out
        assert len(list(site.path("/srv").iterdir())) == 200
        assert site.apply("--detailed-exitcode").code == 0


def flip(data: bytes, chooser) -> bytes:
    changed = bytearray(data)
    for _ in range(200):
        changed[chooser.randrange(len(changed))] ^= 1 << chooser.randrange(8)
    return bytes(changed)


DAMAGES = {
    "flipped": flip,
    "header": lambda data, chooser: b"not a database at all" + data[21:],
    "truncated": lambda data, chooser: data[: len(data) // 2 + 100],
    "garbage": lambda data, chooser: chooser.randbytes(len(data)),
    "page": lambda data, chooser: data[:4096] + bytes(4096) + data[8192:],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_ledger(site, damage):
    site.write('for i = 1, 200 do file("/srv/f" .. i) { content = "x" .. i } end')
    assert site.apply().code == 0
    database = site.path("/var/lib/stead/ledger.db")
    for wal in ("-wal", "-shm"):
        (database.parent / ("ledger.db" + wal)).unlink(missing_ok=True)
    database.write_bytes(DAMAGES[damage](database.read_bytes(), random.Random(3)))
    site.write('for i = 1, 200 do file("/srv/f" .. i) { content = "y" .. i } end')
    refused = site.run("apply")
    assert refused.code in (1, 4) and "ledger.db" in refused.err + refused.out, refused
    assert "stead ledger repair" in refused.err + refused.out
    repaired = site.run("ledger", "repair")
    assert repaired.code == 0 and "kept" in repaired.out, repaired
    assert list(database.parent.glob("ledger.db.damaged-*"))
    done = site.apply()
    assert done.code == 0, done
    assert all(content(site.path(f"/srv/f{i}")) == f"y{i}" for i in range(1, 201))
    assert site.run("ledger", "list").out.strip().splitlines()[-1].startswith("200 ")
    assert site.apply("--detailed-exitcode").code == 0


def test_damaged_intent_log(site):
    site.write('file "/srv/x" { content = "x" }')
    assert site.apply().code == 0
    log = site.path("/var/lib/stead/intent.log")
    log.write_text("garbage\nmore garbage\n")
    refused = site.run("apply")
    assert refused.code == 1 and "intent.log" in refused.err and "stead ledger repair" in refused.err, refused
    assert site.run("ledger", "repair").code == 0
    assert site.apply("--detailed-exitcode").code == 0


# --- rights ---


@as_root
def test_ordinary_user_below_a_root(site):
    site.write(
        """
        file "/srv/d/" { mode = "0750" }
        file "/srv/d/x" { content = "x", mode = "0640" }
        file "/srv/link" { target = "/srv/d" }
        group "g" { gid = 500 }
        user "u" { uid = 500, group = "g", homedir = "/home/u" }
        line "l" { file = "/etc/hosts", content = "127.0.0.1 x" }
        """
    )
    for place in (site.directory, *site.directory.rglob("*")):
        os.chown(place, NOBODY, NOBODY, follow_symlinks=False)
    parents = [p for p in site.directory.parents if p.stat().st_mode & 0o005 != 0o005]
    if parents:  # pytest makes its directories for root only
        pytest_modes = {p: p.stat().st_mode for p in parents}
        for p in parents:
            os.chmod(p, p.stat().st_mode | 0o011)
    try:
        def run(*arguments):
            return Result(subprocess.run(
                ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *site.command(*arguments)],
                capture_output=True, text=True, cwd="/", timeout=60, check=False))
        first = run("apply", "--json")
        assert first.code == 0, first
        assert site.path("/srv/d/x").stat().st_uid == NOBODY and content(site.path("/srv/d/x")) == "x"
        assert "u:x:500:500:" in site.path("/etc/passwd").read_text()
        assert run("apply", "--detailed-exitcode", "--json").code == 0
        os.chown(site.path("/srv/d"), 0, 0)
        os.chmod(site.path("/srv/d"), 0o755)
        site.path("/srv/d/x").unlink()
        denied = run("apply", "--json")
        assert denied.code == 4 and "/srv/d" in error_of(denied), denied
        assert "Permission denied" in error_of(denied) or "not permitted" in error_of(denied), denied
    finally:
        if parents:
            for p, mode in pytest_modes.items():
                os.chmod(p, mode & 0o7777)


# --- signals and commands ---


@contextlib.contextmanager
def running(site):
    """An apply on this machine, and its log so far."""
    log = site.directory / "apply.log"
    with open(log, "w") as out:
        process = subprocess.Popen([STEAD, "apply", str(site.file), "--state", str(site.directory / "s"), "--json"],
                                   stdout=out, stderr=out)
    try:
        yield process, log
    finally:
        process.kill()
        process.wait()


def interrupt(process, number, log, answer: str) -> None:
    """Returns once it has been understood: another signal before that would be one with it."""
    process.send_signal(number)
    eventually(lambda: f"interrupted: {answer}" in log.read_text(), answer)


def alive(pid: int) -> bool:
    try:
        return open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("signals", [[signal.SIGINT] * 3, [signal.SIGTERM] * 3, [signal.SIGTERM, signal.SIGINT] * 2])
def test_third_signal_kills_a_command_that_ignores_termination(site, signals):
    pid_file = site.directory / "pid"
    site.write(f"""exec "deaf" {{ cmd = "trap '' TERM INT; echo $$ > {pid_file}; while :; do sleep 0.1; done",
                                 shell = "/bin/sh" }}
                   exec "after" {{ cmd = "true", needs = exec "deaf" }}""")
    with running(site) as (process, log):
        eventually(lambda: (content(pid_file) or "").endswith("\n"))
        pid = int(pid_file.read_text())
        for number, answer in zip(signals, ("finishing what runs", "cancelling", "killing")):
            interrupt(process, number, log, answer)
            if answer == "finishing what runs":
                time.sleep(0.3)
                assert process.poll() is None and alive(pid), "the first only stops what is to come"
        for number in signals[3:]:
            process.send_signal(number)
        assert process.wait(PATIENCE) == 130, log.read_text()
        eventually(lambda: not alive(pid), "the command is killed")
        assert '"name":"after"' not in log.read_text() or "blocked" in log.read_text()


def test_second_signal_cancels(site):
    site.write('exec "long" { cmd = "sleep 600" }')
    with running(site) as (process, log):
        eventually(lambda: runs(process, "sleep"), "the command")
        interrupt(process, signal.SIGTERM, log, "finishing what runs")
        time.sleep(0.3)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 130, log.read_text()


def apply_here(site, timeout=60):
    """On this machine: commands only."""
    return Result(subprocess.run([STEAD, "apply", str(site.file), "--state", str(site.directory / "s"), "--json"],
                                 capture_output=True, text=True, timeout=timeout, check=False))


def test_command_that_prints_100_megabytes(site):
    site.write('exec "spew" { cmd = "head -c 100000000 /dev/zero", shell = "/bin/sh" }')
    before = os.times().children_user
    done = apply_here(site)
    assert done.code == 0 and "only the first 16 MB" in done.out, done
    assert os.times().children_user - before < 20


def test_command_that_leaves_a_daemon(site):
    site.write('exec "daemon" { cmd = "sleep 70 & (setsid sleep 70 &) ; echo started", shell = "/bin/sh" }')
    done = apply_here(site, timeout=PATIENCE)  # less than the daemon runs
    assert done.code == 0 and "started" in done.out, done


def test_timeout_of_a_command_that_ignores_termination(site):
    pid_file = site.directory / "pid"
    for seconds in (0.3, 3, 20):  # on a busy machine the shell may not get as far as to its trap
        site.write(f"""exec "deaf" {{ cmd = "trap '' TERM; echo $$ > {pid_file}; while :; do sleep 0.1; done",
                                     shell = "/bin/sh", meta = {{ timeout = {int(seconds * 1000)} }} }}""")
        done = apply_here(site)
        assert done.code == 4 and f"longer than its 'timeout' of {seconds} s" in error_of(done), done
        if content(pid_file):
            break
    assert not alive(int(pid_file.read_text()))
