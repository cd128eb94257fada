"""stead agent: drift, live edits, removal, questions."""
import contextlib
import json
import os
import re
import signal
import subprocess
import time

from scratch import REPOSITORY, STEAD, Agent, comes_to_rest, eventually


def content(path):
    try:
        return path.read_text()
    except FileNotFoundError:
        return None


def mode(path):
    try:
        return path.stat().st_mode & 0o777
    except FileNotFoundError:
        return None


def test_a_thousand_drifts_are_repaired_every_time(site):
    """Three files and one that must be absent, deleted, overwritten and re-moded in a loop."""
    site.write(
        """
        for i = 1, 3 do file("/srv/f" .. i) { content = "content " .. i .. "\\n", mode = "0644" } end
        file "/srv/never" { state = "absent" }
        """
    )
    files = [site.path(f"/srv/f{i}") for i in (1, 2, 3)]
    never = site.path("/srv/never")
    with site.agent("--flap", "0") as agent:
        agent.wait("converged")
        for n in range(1000):
            file = files[n % 3]
            way = n % 4
            if way == 0:
                file.unlink()
            elif way == 1:
                file.write_text("something else\n")
            elif way == 2:
                os.chmod(file, 0o600)
            else:
                never.write_text("here")
            wanted = f"content {n % 3 + 1}\n"
            eventually(lambda: content(file) == wanted and mode(file) == 0o644 and not never.exists(),
                       f"repair {n}, way {way}")
        assert agent.stop() == 0
    latencies = sorted(e["latency_us"] for e in agent.find("changed", corrective=True))
    assert len(latencies) >= 900
    print(f"repair p50 {latencies[len(latencies) // 2] / 1000:.2f} ms, p99 {latencies[len(latencies) * 99 // 100] / 1000:.2f} ms")


def test_a_large_configuration_is_stopped_like_a_small_one(site):
    """Its resources are completed in a thread, which must not take the signal away from the loop."""
    site.write('for i = 1, 1000 do file("/srv/f" .. i) { content = "x" } end')
    with site.agent() as agent:
        agent.wait("converged")
        site.write('for i = 1, 1000 do file("/srv/f" .. i) { content = i == 7 and "y" or "x" } end')
        agent.wait("swapped", 2)
        assert agent.stop() == 0


def test_live_edit_touches_only_what_differs(site):
    site.write('for i = 1, 50 do file("/srv/f" .. i) { content = "x" } end')
    with site.agent() as agent:
        agent.wait("converged")
        site.write('for i = 1, 50 do file("/srv/f" .. i) { content = i == 7 and "y" or "x" } end')
        eventually(lambda: content(site.path("/srv/f7")) == "y")
        assert agent.wait("swapped", 2)["touched"] == 1


def test_broken_edit_keeps_the_running_configuration(site):
    site.write('file "/srv/x" { content = "x" }')
    with site.agent() as agent:
        agent.wait("converged")
        site.write('file "/srv/x" { content = ')
        agent.wait("error")
        site.path("/srv/x").unlink()
        eventually(lambda: content(site.path("/srv/x")) == "x")
        status = site.run("status")
        assert status.code == 4 and re.search(r"the configuration is refused since .*: .*site\.lua:1: ", status.out), status
        assert site.run("status", "--json").of("refused")[0]["problems"] == 1
        site.write('file "/srv/x" { content = "y" }')
        eventually(lambda: content(site.path("/srv/x")) == "y")
        eventually(lambda: site.run("status").code == 0, "all to be right")


def test_values_and_secrets_are_inputs_like_the_configuration(site):
    """Files given with --values and --secrets are watched, and read again on SIGHUP."""
    site.write("port: 80\n", "values.yaml")
    site.write("key: one\n", "secrets.yaml")
    site.write('file "/srv/port" { content = tostring(values.port) }\nfile "/srv/key" { content = secret "key" }')
    with site.agent("--values", "values.yaml", "--secrets", "secrets.yaml") as agent:
        agent.wait("converged")
        site.write("port: 81\n", "values.yaml")
        eventually(lambda: content(site.path("/srv/port")) == "81")
        site.write("key: two\n", "secrets.yaml")
        eventually(lambda: content(site.path("/srv/key")) == "two")
        site.write("port: [\n", "values.yaml")
        assert "values.yaml:" in agent.wait("error")["message"]
        site.path("/srv/port").unlink()
        eventually(lambda: content(site.path("/srv/port")) == "81")  # the running one is kept
        site.write("port: 82\n", "values.yaml")
        eventually(lambda: content(site.path("/srv/port")) == "82")


def test_lines_of_the_log_are_not_held_back(site):
    """People read the log of an agent that runs, through a file or the journal."""
    site.write('file "/srv/x" { content = "x" }')
    log = site.directory / "text.log"
    with open(log, "w") as out:
        process = subprocess.Popen([*site.command("agent")], stdout=out, stderr=out, cwd=site.directory)
    try:
        eventually(lambda: "created file '/srv/x'" in log.read_text(), "the line in the log", patience=20)
        assert process.poll() is None
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def logging_agent(site, *arguments, **options):
    """An agent as people see it: yields a function that gives the lines of its log."""
    log = site.directory / "text.log"
    with open(log, "w") as err, open(site.directory / "text.out", "w") as out:
        process = subprocess.Popen([*site.command("agent"), *arguments], stdout=out, stderr=err, cwd=site.directory, **options)
    def lines(text=""):
        return [line for line in log.read_text().splitlines() if text in line]
    try:
        yield process, lines
        process.terminate()
        process.wait(60)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    assert (site.directory / "text.out").read_text() == ""


def as_in_the_guide(line, site):
    """Without what differs from run to run."""
    line = line.replace(str(site.file), "/etc/stead/site.lua")
    return re.sub(r"(after|in) [0-9.]+ (ms|s|min|h|days)", r"\1 TIME", line)


def test_the_log_is_that_of_the_guide(site):
    """A line for each thing that happened; a failure that goes on is told once."""
    text = """
        file "/srv/shop/" {}
        file "/srv/shop/index.html" { content = "welcome\\n" }
        file "/mnt/backup/shop" { content = "x" }
    """
    site.write(text)
    with logging_agent(site) as (process, lines):
        eventually(lambda: lines("keeping"), "the line at the start")
        index = site.path("/srv/shop/index.html")
        site.write("somebody else's", index)  # in one step: one drift
        eventually(lambda: lines("drift repaired"), "the repair")
        site.path("/mnt").mkdir()
        process.send_signal(signal.SIGHUP)
        eventually(lambda: lines("nothing differs"), "the reload")
        site.path("/mnt/backup").mkdir()
        process.send_signal(signal.SIGHUP)
        eventually(lambda: lines("right again"), "the recovery")
        eventually(lambda: len(lines("nothing differs")) == 2, "the second reload")
        site.write(text.replace("welcome", "hello"))
        eventually(lambda: content(index) == "hello\n" and lines("1 changed"), "the edit")
    by_chance = "nothing differs|stopping when"  # the second: the signal comes while a file is looked at once more
    found = sorted({as_in_the_guide(line, site) for line in lines() if not re.search(by_chance, line)})
    guide = (REPOSITORY / "doc/guide.md").read_text()
    shown = re.search(r"until it says something else or is over:\n\n(.*?)\n\n", guide, re.DOTALL).group(1)
    assert found == sorted(as_in_the_guide(line.strip(), site) for line in shown.splitlines())
    assert len(lines("failed file")) == 1, lines()
    assert lines()[-1].startswith("stopped by SIGTERM")


def test_a_reload_counts_what_it_brings(site):
    text = "".join(f'file "/srv/{i}" {{ content = "x" }}\n' for i in range(6)) + 'file "/srv/" {}\n'
    site.write(text)
    with logging_agent(site) as (process, lines):
        eventually(lambda: lines("keeping"), "the line at the start")
        site.write(text.replace('file "/srv/0" { content = "x" }\n', "").replace('/srv/1"', '/srv/new"')
                   .replace('file "/srv/2" { content = "x" }', 'file "/srv/2" { content = "y" }'))
        eventually(lambda: content(site.path("/srv/2")) == "y" and lines("reloaded"), "the edit")
        site.write(text)
        eventually(lambda: len(lines("reloaded")) == 2, "the edit back")
        process.send_signal(signal.SIGHUP)
        eventually(lambda: len(lines("reloaded")) == 3, "the reload")
    told = [line.partition("site.lua: ")[2] for line in lines("reloaded")]
    assert told == ["1 added, 1 changed, 2 removed", "2 added, 1 changed, 1 removed", "nothing differs"], lines()


def test_the_log_is_that_of_the_readme(site):
    """It begins with one line when all is right."""
    readme = (REPOSITORY / "README.md").read_text()
    shown = re.search(r"keep it so; .*\n((?:    [^$\n].*\n)+)", readme).group(1)
    site.write(re.search(r"    \$ cat site.lua\n((?:    [^$\n].*\n)+)", readme).group(1))
    assert site.apply().code == 0
    with logging_agent(site) as (_, lines):
        eventually(lines, "the line at the start")
        time.sleep(0.1)
        assert len(lines()) == 1
        site.write("drift", site.path("/srv/hello.txt"))
        eventually(lambda: lines("repaired"), "the repair")
        found = [as_in_the_guide(line, site) for line in lines()]
    shown = shown.replace("/home/ada/site.lua", str(site.file))
    assert found == [as_in_the_guide(line.strip(), site) for line in shown.splitlines()]


def test_a_quiet_agent_is_quiet(site):
    site.write('file "/srv/x" { content = "x" }')
    assert site.apply().code == 0
    with logging_agent(site, "--quiet") as (_, lines):
        site.path("/srv/x").unlink()
        eventually(lambda: content(site.path("/srv/x")) == "x")
        assert not lines()
    assert not lines()


def test_the_journal_is_told_priorities(site):
    site.write('file "/srv/x" { content = "x" }\nfile "/nowhere/x" { content = "x" }')
    log = site.directory / "text.log"
    log.touch()
    stream = f"{log.stat().st_dev}:{log.stat().st_ino}"
    with logging_agent(site, env={**os.environ, "JOURNAL_STREAM": stream}) as (_, lines):
        eventually(lambda: lines("keeping"), "the line at the start")
        site.write("nonsense")
        eventually(lambda: lines("keeping to the one"), "the warning")
    assert lines("<3>failed file") and lines("<5>created file") and lines("<6>keeping"), lines()
    assert lines("site.lua:1: ") and lines("<4>stead: warning: the new"), lines()
    assert all(re.match(r"<[3-6]>", line) for line in lines()), lines()


@contextlib.contextmanager
def agent_of_this_machine(site):
    """An agent without --root, which below one does not watch sources. It writes below site.directory only."""
    log = site.directory / "machine.log"
    with open(log, "w") as out:
        process = subprocess.Popen([STEAD, "agent", site.file, "--json", "--flap", "0", "--state", site.directory / "state"],
                                   stdout=out, stderr=out, cwd=site.directory)
    try:
        yield Agent(process, log)
    finally:
        process.terminate()
        process.wait(60)


def test_an_edited_source_is_no_drift(site):
    page, tree = site.root / "srv/page", site.root / "srv/tree"
    site.write(f'''
        file "{page}" {{ source = "page.html" }}
        file "{tree}/" {{ source = "tree/", recurse = true }}
    ''')
    site.write("one", "page.html")
    site.write("one", "tree/a")
    with agent_of_this_machine(site) as agent:
        agent.wait("converged")
        site.write("two", "page.html")
        agent.wait("changed", name=str(page), action="change", corrective=False)
        site.write("two", "tree/a")
        agent.wait("changed", name=f"{tree}/", action="change", corrective=False)
        page.write_text("drift")
        agent.wait("changed", name=str(page), corrective=True)
        (tree / "a").write_text("drift")
        agent.wait("changed", name=f"{tree}/", corrective=True)
        assert content(page) == content(tree / "a") == "two"
        assert agent.stop() == 0
    site.write("three", "page.html")  # while nobody looks
    site.write("three", "tree/a")
    apply = [STEAD, "apply", site.file, "--json", "--state", site.directory / "state"]
    done = subprocess.run(apply, capture_output=True, text=True, check=True)
    changed = [json.loads(line) for line in done.stdout.splitlines() if '"changed"' in line]
    assert [event["corrective"] for event in changed if "corrective" in event] == [False, False], done.stdout


def write_slowly(path, *parts, pause=0.3):
    """As a program does that does not care who reads meanwhile."""
    with open(path, "w") as out:
        for part in parts:
            out.write(part)
            out.flush()
            time.sleep(pause)


def test_half_a_source_is_not_copied(site):
    page, tree = site.root / "srv/page", site.root / "srv/tree"
    site.write(f'''
        file "{page}" {{ source = "page.html" }}
        file "{tree}/" {{ source = "tree/", recurse = true }}
    ''')
    site.write("old", "page.html")
    site.write("old", "tree/0")
    with agent_of_this_machine(site) as agent:
        agent.wait("converged")
        write_slowly(site.directory / "page.html", "half ", "and half")
        agent.wait("changed", name=str(page), action="change")
        assert content(page) == "half and half" and agent.count("changed", name=str(page)) == 2

        def copies_of_many(text):
            before = agent.count("changed", name=f"{tree}/")
            for n in range(1, 20):
                site.write(text, f"tree/{n}")
                time.sleep(0.03)
            eventually(lambda: content(tree / "19") == text, "the tree")
            return agent.count("changed", name=f"{tree}/") - before

        # Once it rests; that somebody was not let run for a while between two files looks like rest, but not each time.
        copies = [copies_of_many(f"new {n}") for n in range(3)]
        assert sorted(copies)[1] <= 6, copies


def test_half_a_configuration_is_not_complained_of(site):
    site.write("port: 1\n", "values.yaml")
    site.write('file "/srv/x" { content = "x" }')
    with site.agent("--values", "values.yaml") as agent:
        agent.wait("converged")
        write_slowly(site.file, 'file "/srv/x" { content', ' = "y" }')
        eventually(lambda: content(site.path("/srv/x")) == "y")
        write_slowly(site.directory / "values.yaml", "port: [1,", " 2]\n")
        assert agent.count("error") == 0, agent.events

        def seconds_of_half_a_file(text):
            begun = time.monotonic()
            site.file.write_text('file "/srv/x" {')  # and closed: half a file all the same
            time.sleep(0.1)
            site.file.write_text(f'file "/srv/x" {{ content = "{text}" }}')
            return time.monotonic() - begun

        for n in range(100):
            errors = agent.count("error")
            took = seconds_of_half_a_file(f"z{n}")
            eventually(lambda: content(site.path("/srv/x")) == f"z{n}")
            if took < 0.25:  # else it was there for longer than anybody waits: we were not let run
                break
        assert took < 0.25 and agent.count("error") == errors, agent.events


def test_removal_live(site):
    site.write('file "/srv/x" { content = "x" }\nfile "/srv/y" { content = "y" }')
    with site.agent() as agent:
        agent.wait("converged")
        site.write('file "/srv/y" { content = "y" }')
        eventually(lambda: not site.path("/srv/x").exists())
        site.path("/srv/x").write_text("somebody else's")
        time.sleep(0.3)
        assert content(site.path("/srv/x")) == "somebody else's"


def test_own_writes_cause_no_second_look(site):
    site.write('for i = 1, 20 do file("/srv/f" .. i) { content = "x" } end')
    with site.agent("--verbose") as agent:
        agent.wait("converged")
        time.sleep(0.5)
        assert agent.count("ok") == 0 and agent.count("changed") == 20


def test_missing_and_replaced_directories(site):
    site.write('file "/srv/a/" {}\nfile "/srv/a/b/" {}\nfile "/srv/a/b/c" { content = "c" }')
    with site.agent("--flap", "0") as agent:
        agent.wait("converged")
        for _ in range(5):
            site.path("/srv/a").rename(site.directory / f"moved{_}")
            eventually(lambda: content(site.path("/srv/a/b/c")) == "c", "directory moved away")
            site.path("/srv/a/b/c").unlink()
            eventually(lambda: content(site.path("/srv/a/b/c")) == "c", "file in the new directory")


def test_what_failed_for_want_of_a_directory_is_made_when_it_comes(site):
    site.write('file "/srv/disk/data/f" { content = "x" }')
    with site.agent() as agent:
        agent.wait("failed")
        site.path("/srv/disk/data").mkdir(parents=True)
        eventually(lambda: content(site.path("/srv/disk/data/f")) == "x", "the directory came")


def test_flapping_is_told_and_slowed_down(site):
    site.write('file "/srv/x" { content = "x" }')
    with site.agent() as agent:
        agent.wait("converged")
        def drift_again():
            site.path("/srv/x").write_text("other")
            time.sleep(0.05)
            return agent.find("flapping", name="/srv/x")
        eventually(drift_again, "flapping to be told")
        eventually(lambda: content(site.path("/srv/x")) == "x")


def test_status_and_why(site):
    site.write(
        """
        file "/srv/ok" { content = "x" }
        file "/nowhere/bad" { content = "x" }
        file "/srv/blocked" { content = "x", needs = file "/nowhere/bad" }
        """
    )
    with site.agent() as agent:
        agent.wait("failed")
        eventually(lambda: "1 right, 2 not" in site.run("status").out, "three that are settled")
        status = site.run("status")
        assert status.code == 4 and "failed" in status.out and "blocked" in status.out
        why = site.run("why", "file", "/srv/blocked")
        assert "blocked by file '/nowhere/bad'" in why.out, why
        why = site.run("why", "file", "/nowhere/bad")
        assert "does not exist" in why.out and "next try" in why.out
        assert site.run("why", "file", "/none").code == 1
        site.path("/nowhere").mkdir()
        agent.process.send_signal(signal.SIGHUP)
        eventually(lambda: site.run("status").code == 0)
    offline = site.run("status")
    assert offline.code == 0 and "no agent runs" in offline.out


def test_apply_beside_an_agent_is_refused(site):
    site.write('file "/srv/x" { content = "x" }')
    with site.agent() as agent:
        agent.wait("converged")
        refused = site.run("apply")
        assert refused.code == 1 and "agent" in refused.err and str(agent.process.pid) in refused.err


def test_drift_journal(site):
    site.write('file "/srv/x" { content = "x" }')
    with site.agent() as agent:
        agent.wait("converged")
        site.path("/srv/x").write_text("drift")
        agent.wait("changed", name="/srv/x", corrective=True)
        assert agent.stop() == 0
    drift = site.run("drift", "--json")
    entries = drift.of("drift")
    assert [e["corrective"] for e in entries] == [True, False]
    assert entries[0]["latency_us"] >= 0
    assert site.run("drift", "--since", "nonsense").code == 1


def test_idle_agent_uses_no_cpu(site):
    site.write('for i = 1, 1000 do file("/srv/f" .. i) { content = "x" } end')
    with site.agent() as agent:
        agent.wait("converged")
        assert comes_to_rest(agent.process, 3, most=1)


