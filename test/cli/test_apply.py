"""stead apply: convergence, schedule, failures, exit codes."""
import contextlib
import os
import re
import signal
import subprocess
import time

from scratch import PATIENCE, STEAD, eventually, runs


def timed_chain(site, extra=""):
    """Three execs of 10 s in a row beside one of 15 s; on "/", where sleep is."""
    site.write(
        f"""
        exec "a" {{ cmd = "sleep 10" {extra} }}
        exec "b" {{ cmd = "sleep 10", needs = exec "a" {extra} }}
        exec "c" {{ cmd = "sleep 10", needs = exec "b" {extra} }}
        exec "d" {{ cmd = "sleep 15" {extra} }}
        """
    )
    start = time.monotonic()
    done = subprocess.run([STEAD, "apply", str(site.file), "--state", str(site.directory / "state")], timeout=60,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done
    return time.monotonic() - start


def test_chain_of_execs_takes_as_long_as_its_longest_path(site):
    assert 30 <= timed_chain(site) < 35  # one after the other: 45


def test_chain_of_execs_under_one_semaphore_is_serial(site):
    assert 45 <= timed_chain(site, ", sema = { 'mylock:1' }") < 50


def test_second_run_changes_nothing(site):
    site.write(
        """
        file "/srv/a/" {}
        file "/srv/a/b" { content = "b", mode = "0600" }
        file "/srv/link" { target = "/srv/a/b" }
        group "g" { gid = 500 }
        user "u" { uid = 500, group = "g", homedir = "/home/u" }
        line "l" { file = "/etc/hosts.x", content = "127.0.0.1 x" }
        """
    )
    first = site.apply("--detailed-exitcode")
    assert first.code == 2, first
    state = site.root / "var/lib/stead"
    before = {p: p.stat().st_mtime_ns for p in state.rglob("*") if p.name not in ("lock", "agent.sock")}
    second = site.apply("--detailed-exitcode")
    assert second.code == 0 and not second.of("changed"), second
    after = {p: p.stat().st_mtime_ns for p in state.rglob("*") if p.name not in ("lock", "agent.sock")}
    assert {p.name for p in after} <= {p.name for p in before}


def test_failure_blocks_its_cone_only(site):
    site.write(
        """
        file "/missing/dir/x" { content = "x" }
        file "/srv/after" { content = "x", needs = file "/missing/dir/x" }
        file "/srv/other" { content = "x" }
        """
    )
    done = site.apply()
    assert done.code == 4
    assert [e["name"] for e in done.of("failed")] == ["/missing/dir/x"]
    assert done.summary["blocked"] == 1 and done.summary["changed"] == 1
    assert [(e["name"], e["blocked_by"]) for e in done.of("blocked")] == [("/srv/after", ["file '/missing/dir/x'"])]
    assert site.path("/srv/other").exists() and not site.path("/srv/after").exists()
    assert "does not exist" in done.of("failed")[0]["error"]


def test_exit_codes(site):
    assert site.run("apply", file="/nowhere.lua").code == 1
    site.write('file "/srv/x" { contnet = "x" }')
    wrong = site.run("apply")
    assert wrong.code == 1 and "did you mean 'content'" in wrong.err
    assert not site.path("/srv/x").exists()
    site.write('exit "done" { code = 7 }')
    assert site.apply().code == 7
    assert site.run("apply", "--nonsense").code == 1
    assert subprocess.run([STEAD, "aply"], capture_output=True, text=True).stderr.strip().endswith("'apply'?")


def test_noop_changes_nothing_and_counts(site):
    site.write('file "/srv/x" { content = "x" }')
    done = site.apply("--noop", "--detailed-exitcode")
    assert done.code == 2 and done.summary["pending"] == 1
    assert not site.path("/srv/x").exists()
    assert not list(site.path("/var/lib").rglob("ledger.db"))


def test_meta_noop_keeps_one_resource(site):
    site.write('file "/srv/x" { content = "x", noop = true }\nfile "/srv/y" { content = "y" }')
    done = site.apply()
    assert done.code == 0 and not site.path("/srv/x").exists() and site.path("/srv/y").exists()


def test_retry_and_delay(site):
    site.add_programs()
    site.write(
        """
        exec "third time" {
          cmd = "echo x >> /tmp/tries; test $(cat /tmp/tries | { n=0; while read l; do n=$((n+1)); done; echo $n; }) -ge 3",
          shell = "/bin/sh", retry = 5, delay = 500,
        }
        """
    )
    start = time.monotonic()
    done = site.apply()
    assert done.code == 0, done
    assert len(done.of("retrying")) == 2
    assert 1.0 <= time.monotonic() - start < 15  # two pauses


def test_timeout_ends_a_hanging_command(site):
    site.write('exec "hang" { cmd = "sleep 100", meta = { timeout = 500 } }')
    start = time.monotonic()
    done = subprocess.run([STEAD, "apply", str(site.file), "--state", str(site.directory / "s"), "--json"],
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 4 and "timeout" in done.stdout
    assert time.monotonic() - start < 50


def test_run_timeout_is_exit_5(site):
    site.write('exec "hang" { cmd = "sleep 100" }')
    done = subprocess.run([STEAD, "apply", str(site.file), "--state", str(site.directory / "s"), "--timeout", "0.5"],
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in (4, 5)


def until(path) -> str:
    """A command that runs until there is path, or much too long."""
    return f'cmd = "n=0; until test -e {path} || test $n = 600; do n=$((n+1)); sleep 0.1; done", shell = "/bin/sh"'


def test_interrupt_finishes_what_runs(site):
    over, log = site.directory / "over", site.directory / "log"
    site.write(f'exec "a" {{ {until(over)} }}\nexec "b" {{ cmd = "sleep 600", needs = exec "a" }}')
    with open(log, "w") as out:
        process = subprocess.Popen([STEAD, "apply", str(site.file), "--state", str(site.directory / "s"), "--json"],
                                   stdout=out, stderr=out)
    try:
        eventually(lambda: runs(process, "sh"), "the first command")
        process.send_signal(signal.SIGINT)
        eventually(lambda: "finishing what runs" in log.read_text(), "it to be interrupted")
        over.touch()
        assert process.wait(PATIENCE) == 130
    finally:
        over.touch()
        process.kill()
        process.wait()
    assert '"event":"changed"' in log.read_text() and '"name":"a"' in log.read_text()


def test_two_applies_at_once(site):
    over = site.directory / "over"
    site.write(f'exec "a" {{ {until(over)} }}')
    state = ["--state", str(site.directory / "s")]
    first = subprocess.Popen([STEAD, "apply", str(site.file), *state], stdout=subprocess.DEVNULL)
    try:
        eventually(lambda: runs(first, "sh"), "the first apply's command")
        second = subprocess.run([STEAD, "apply", str(site.file), *state], capture_output=True, text=True, check=False)
        assert second.returncode == 1
        assert f"pid {first.pid}" in second.stderr
        over.touch()
        assert first.wait(PATIENCE) == 0
    finally:
        over.touch()
        first.kill()
        first.wait()


def test_notification_is_delivered_once(site):
    site.add_programs()
    config = """
        file "/etc/conf" { content = "%s", notify = exec "reload" }
        exec "reload" { cmd = "echo x >> /tmp/reloads", shell = "/bin/sh", refreshonly = true }
        """
    site.write(config % "one")
    assert site.apply().code == 0
    assert site.apply().code == 0
    assert site.path("/tmp/reloads").read_text() == "x\n"
    site.write(config % "two")
    assert site.apply().code == 0
    assert site.path("/tmp/reloads").read_text() == "x\nx\n"


def test_send_and_receive(site):
    site.add_programs()
    site.write(
        """
        exec "gen" { cmd = "echo generated", shell = "/bin/sh" }
        file "/srv/out" { content = out(exec "gen", "stdout") }
        """
    )
    done = site.apply()
    assert done.code == 0, done
    assert site.path("/srv/out").read_text() == "generated\n"


def test_removal_restores_and_removes_in_reverse_order(site):
    site.path("/etc/motd").write_text("by hand\n")
    os.chmod(site.path("/etc/motd"), 0o640)
    site.write(
        """
        file "/srv/d/" {}
        file "/srv/d/e/" {}
        file "/srv/d/e/f" { content = "f" }
        file "/etc/motd" { content = "managed", mode = "0600" }
        """
    )
    assert site.apply().code == 0
    site.write("")
    plan = site.plan()
    assert [c["removal"] for c in plan["resource_changes"]] == ["remove", "remove", "remove", "restore"] or \
        {c["removal"] for c in plan["resource_changes"]} == {"remove", "restore"}
    done = site.apply()
    assert done.code == 0, done
    assert not site.path("/srv/d").exists()
    assert site.path("/etc/motd").read_text() == "by hand\n"
    assert site.path("/etc/motd").stat().st_mode & 0o777 == 0o640
    assert site.run("ledger", "list").out.strip().startswith("0 resources")


def test_removed_directory_with_foreign_files_is_kept_and_told(site):
    site.write('file "/srv/d/" {}')
    assert site.apply().code == 0
    site.path("/srv/d/foreign").write_text("not ours")
    site.write("")
    done = site.apply()
    assert done.code == 4 and site.path("/srv/d/foreign").exists()
    assert "forget" in done.of("failed")[0]["error"] or "force" in done.of("failed")[0]["error"]
    assert site.run("ledger", "forget", "file", "/srv/d/").code == 0
    assert site.apply().code == 0


def test_protected_resource_outlives_its_block(site):
    site.write('file "/srv/x" { content = "x", protect = true }')
    assert site.apply().code == 0
    site.write("")
    done = site.run("apply")
    assert done.code == 1 and "protect" in done.err and site.path("/srv/x").exists()
    site.write('file "/srv/x" { content = "x" }')
    assert site.apply().code == 0
    site.write("")
    assert site.apply().code == 0 and not site.path("/srv/x").exists()


def test_renamed_resource_keeps_its_file(site):
    site.write('file "old" { path = "/srv/x", content = "x" }')
    assert site.apply().code == 0
    site.write('file "new" { path = "/srv/x", content = "x" }')
    done = site.apply("--detailed-exitcode")
    assert done.code == 0 and site.path("/srv/x").read_text() == "x", done
    site.write("")
    assert site.apply().code == 0 and not site.path("/srv/x").exists()


def test_ledger_shows_what_was_there_before(site):
    old = bytes(range(256)) * 1000
    site.path("/etc/adopted").write_bytes(old)
    site.path("/etc/adopted").chmod(0o640)
    site.write('file "/etc/adopted" { content = "new", mode = "0600" } file "/etc/made" { content = "made" }')
    assert site.apply().code == 0
    site.write('file "/etc/adopted" { content = "newer", mode = "0600" } file "/etc/made" { content = "made" }')
    assert site.apply().code == 0
    shown = site.run("ledger", "show", "file", "/etc/adopted")
    assert shown.code == 0 and "leaves by: restore" in shown.out and 'mode: "0640"' in shown.out, shown
    assert f"its {len(old)} bytes are kept" in shown.out, shown
    entry = site.run("ledger", "show", "file", "/etc/adopted", "--json").of("entry")[0]
    assert entry["preimage"]["mode"] == "0640" and not entry["created"]
    before = subprocess.run(site.command("ledger", "content", "file", "/etc/adopted"), capture_output=True, check=True)
    assert before.stdout == old and not before.stderr
    made = site.run("ledger", "content", "file", "/etc/made")
    assert made.code == 1 and "it was not there before stead made it" in made.err and not made.out, made
    missing = site.run("ledger", "show", "file", "/etc/none")
    assert missing.code == 1 and "the ledger does not have it" in missing.err, missing


def test_name_that_means_another_thing_leaves_nothing_behind(site):
    site.path("/etc/hosts").write_text("x=0\n")

    def declare(conf, line, key, matched, first, second):
        site.write(
            f"""
            file "conf" {{ path = "{conf}", content = "conf" }}
            line "l" {{ file = "/etc/hosts", content = "{line}" }}
            ini "k" {{ path = "/etc/k.ini", section = "s", key = "{key}", value = "1" }}
            line "m" {{ file = "/etc/hosts", content = "x={matched}", match = "^x=" }}
            file "first" {{ path = "{first}", content = "1" }}
            file "second" {{ path = "{second}", content = "2" }}
            """
        )

    declare("/etc/old", "old", "old", 1, "/etc/a", "/etc/b")
    assert site.apply().code == 0
    declare("/etc/new", "new", "new", 2, "/etc/b", "/etc/a")
    plan = site.plan()
    removed = {change["address"] for change in plan["resource_changes"] if "delete" in change["change"]["actions"]}
    assert removed == {"file '/etc/old'", "line '/etc/hosts old'", "ini '/etc/k.ini s old'"}, plan
    assert site.apply().code == 0
    assert not site.path("/etc/old").exists() and site.path("/etc/new").read_text() == "conf"
    assert site.path("/etc/hosts").read_text() == "x=2\nnew\n"
    assert site.path("/etc/k.ini").read_text() == "[s]\nnew = 1\n"
    assert site.path("/etc/a").read_text() + site.path("/etc/b").read_text() == "21"
    assert not site.plan()["resource_changes"]
    site.write("")
    assert site.apply().code == 0
    assert site.path("/etc/hosts").read_text() == "x=0\n"
    assert not [name for name in ("old", "new", "a", "b") if site.path("/etc/" + name).exists()]


def test_one_thing_under_two_names_is_refused(site):
    site.write(
        """
        file "/srv/x" { content = "a" }
        file "other" { path = "/srv/x", content = "b" }
        ini "one" { path = "/etc/x.ini", key = "k", value = "1" }
        ini "two" { path = "/etc/x.ini", key = "k", value = "2" }
        """
    )
    refused = site.run("apply")
    assert refused.code == 1
    assert "file 'other': manages the same thing as file '/srv/x' at" in refused.err
    assert "ini 'two': manages the same thing as ini 'one' at" in refused.err
    assert not site.path("/srv/x").exists()


def test_symlink_out_of_the_root_is_not_followed(site, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    site.path("/srv/escape").symlink_to(outside)
    site.path("/srv/up").symlink_to("../../../../../../" + str(outside))
    site.write('file "/srv/escape/x" { content = "x" }\nfile "/srv/up/y" { content = "y" }')
    site.apply()
    assert not list(outside.iterdir())


def test_what_leaves_notifies_whom_it_notified(site):
    """A virtual host that is gone is served until the server has read its directory again."""
    reload = 'exec "reload" { cmd = "echo x >> /srv/reloads", shell = "/bin/sh", refreshonly = true }\n'
    vhost = 'file "/srv/vhost-%s" { content = "x", notify = exec "reload" }\n'
    site.add_programs()
    log = site.path("/srv/reloads")
    site.write(reload + vhost % "a" + vhost % "b" + 'file "/srv/quiet" { content = "x", before = exec "reload" }')
    assert site.apply().code == 0
    assert log.read_text() == "x\n"
    site.write(reload + vhost % "a" + 'file "/srv/quiet" { content = "x", before = exec "reload" }')
    plan = site.plan()
    assert [(c["type"], c["change"]["actions"]) for c in plan["resource_changes"]] == [("file", ["delete"]), ("exec", ["run"])]
    done = site.apply()
    assert done.code == 0 and not site.path("/srv/vhost-b").exists(), done
    assert log.read_text() == "x\nx\n"
    site.write(reload + vhost % "a")  # one that did not notify goes silently
    assert site.apply().code == 0
    assert log.read_text() == "x\nx\n"
    again = site.apply()
    assert again.summary["changed"] == 0 and log.read_text() == "x\nx\n"


def test_only_drift_is_called_so(site):
    site.add_programs("/bin/sh")
    site.write('''exec "each time" { cmd = ": > /each", shell = "/bin/sh" }
    exec "guarded" { cmd = ": > /guarded", shell = "/bin/sh", nifcmd = { "test -e /guarded" }, nifshell = "/bin/sh" }
    exec "late" { cmd = "test -e /ready", shell = "/bin/sh" }''')
    assert site.run("apply").code == 4
    site.path("/ready").write_text("")
    second = site.run("apply")
    assert second.code == 0 and "ran exec 'late'" in second.out and "ran exec 'each time'" in second.out
    assert "drift" not in second.out
    site.path("/guarded").unlink()
    third = site.run("apply")
    assert "ran exec 'guarded', drift repaired" in third.out and third.out.count("drift") == 1


def two_files(site):
    site.write('file "/srv/a" { content = "a\\n" }\nfile "/srv/b" { content = "b\\n" }')
    other = site.write('file "/srv/c" { content = "c\\n" }', "other.lua")
    assert site.apply().summary["changed"] == 2
    return other


def test_another_file_is_refused(site):
    other = two_files(site)
    refused = site.run("apply", file=other)
    assert refused.code == 1 and not site.path("/srv/c").exists() and site.path("/srv/a").exists()
    for part in (str(other), str(site.file), "2 resources", "file '/srv/a'", "--state DIR", "--replace"):
        assert part in refused.err, refused
    with site.agent() as agent:  # the first one still may
        agent.wait("converged")
    assert site.run("agent", file=other).code == 1
    planned = site.run("plan", file=other)
    assert planned.code == 0 and "2 to remove" in planned.out and "--replace" in planned.err
    looked = site.run("apply", "--noop", file=other)
    assert looked.code == 0 and "--replace" in looked.err and site.path("/srv/a").exists()
    assert site.run("apply", "--state", str(site.directory / "second"), file=other).code == 0
    assert site.path("/srv/a").exists() and site.path("/srv/c").exists()


def test_another_file_takes_over(site):
    other = two_files(site)
    assert "--replace" not in site.run("plan", "--replace", file=other).err
    assert site.apply("--replace", file=other).summary["removed"] == 2
    assert site.apply(file=other).summary["changed"] == 0  # it is the one now
    assert site.run("apply").code == 1 and site.path("/srv/c").exists()


def test_saved_plan_of_another_file(site):
    other = two_files(site)
    assert site.run("plan", "--out", "plan.json", file=other).code == 0
    refused = site.run("apply", file="plan.json")
    assert refused.code == 1 and str(other) in refused.err and site.path("/srv/a").exists()
    assert site.run("plan", "--replace", "--out", "plan.json", file=other).code == 0
    assert site.apply(file="plan.json").summary["removed"] == 2
    assert site.apply(file=other).summary["changed"] == 0


def test_same_file_by_another_way_or_without_leaving(site):
    two_files(site)
    link = site.directory / "link.lua"
    link.symlink_to(site.file)
    site.write('file "/srv/a" { content = "a\\n" }')
    assert site.apply(file=link).summary["removed"] == 1
    more = site.write('file "/srv/a" { content = "a\\n" }\nfile "/srv/d" { content = "d\\n" }', "more.lua")
    assert site.apply(file=more).summary["changed"] == 1  # nothing leaves: it is the one from now on
    site.write('file "/srv/d" { content = "d\\n" }', "more.lua")
    assert site.apply(file=more).summary["removed"] == 1


def test_failures_are_told_again_after_a_long_run(site):
    for count in (25, 2):
        site.write(f'for i = 1, {count} do file("/proc" .. i .. "/x/y") {{ content = "x" }} end\n'
                   f'for i = 1, 40 do file("/srv/{count}-" .. i) {{ content = "x" }} end')
        run = site.run("apply", "--parallel", "1")
        assert run.code == 4, run
        tail = run.out[run.out.index("\nfailed:\n"):].splitlines()[2:-1]
        assert len([line for line in tail if line.startswith(f"  {site.file}:1: file '/proc")]) == min(count, 20)
        assert ("  and 5 more; stead status" in tail) == (count == 25)
    site.write('file "/proc1/x/y" { content = "x" }')
    site.run("apply")  # undoes the rest
    assert "\nfailed:" not in "\n" + site.run("apply").out  # it has not scrolled by


def test_what_would_lose_data_is_refused_until_forced(site):
    """A directory that left the configuration and holds what others put there: the plan tells how much, apply
    refuses, and one run may be allowed to lose it."""
    site.write('file "/srv/" {}\nfile "/srv/data/" {}\nfile "/srv/keep" { content = "k" }\n')
    assert site.apply().code == 0
    site.path("/srv/data/sub").mkdir()
    site.path("/srv/data/sub/orders").write_text("12345")
    site.path("/srv/data/a").write_text("1")
    site.write('file "/srv/" {}\nfile "/srv/keep" { content = "k" }\n')
    told = "it still holds 3 entries, 6 bytes (a, sub/)"
    planned = site.run("plan")
    assert planned.code == 4 and told in planned.out and "--force 'file[/srv/data/]'" in planned.out
    refused = site.run("apply")
    assert refused.code == 4 and told in refused.out and "stead ledger forget file '/srv/data/'" in refused.out
    assert site.path("/srv/data/a").exists()
    assert site.run("apply", "--force", "file[/srv/other/]").code == 4  # not of this one
    planned = site.run("plan", "--force", "file[/srv/data/]", "--out", "plan.json")
    assert planned.code == 0 and 'loses: "3 entries, 6 bytes (a, sub/)"' in planned.out
    applied = site.run("apply", file=site.directory / "plan.json")  # the permission is saved with the plan
    assert applied.code == 0 and 'loses "3 entries, 6 bytes (a, sub/)"' in applied.out
    assert not site.path("/srv/data").exists() and site.path("/srv/keep").exists()


def test_force_in_the_block_counts_when_it_is_gone(site):
    site.write('file "/srv/" {}\nfile "/srv/cache/" { force = true }\n')
    assert site.apply().code == 0
    site.path("/srv/cache/x").write_text("1")
    site.write('file "/srv/" {}\n')
    assert 'loses: "1 entry, 1 byte (x)"' in site.run("plan").out
    assert site.apply().code == 0 and not site.path("/srv/cache").exists()


def test_what_takes_long_shows_progress(site):
    """On a terminal, although nothing else happens meanwhile."""
    over = site.directory / "over"
    site.write(f'exec "slow" {{ {until(over)} }}\n')
    master, slave = os.openpty()
    process = subprocess.Popen([STEAD, "apply", str(site.file), "--state", str(site.directory / "state")],
                               stdout=subprocess.DEVNULL, stderr=slave)
    os.close(slave)
    shown = b""
    with contextlib.suppress(OSError):  # the other end is closed
        while part := os.read(master, 4096):
            shown += part
            if len(re.findall(rb"0 of 1 resource, working on exec 'slow' \(([0-9]+) s\)", shown)) == 2:
                over.touch()
    os.close(master)
    assert process.wait(PATIENCE) == 0
    seconds = re.findall(rb"working on exec 'slow' \(([0-9]+) s\)", shown)
    assert 1 <= int(seconds[0]) < int(seconds[1]), shown
