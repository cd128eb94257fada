"""Kinds that programs speak for, by the real binary: the examples, and programs that misbehave."""
import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess

import pytest

from scratch import REPOSITORY, STEAD, eventually

EXAMPLES = REPOSITORY / "examples/kinds"

# A kind with one property in a file below the root; MISBEHAVE is what it does wrong.
PROGRAM = r'''#!/usr/bin/python3
import json, os, signal, sys, time
root = "/"
kind = {"summary": "s", "help": "h", "example": 'KIND "x" { text = "y" }',
        "params": [{"name": "text", "type": "string", "property": True, "help": "h"},
                   {"name": "token", "type": "string", "secret": True, "help": "h"},
                   {"name": "many", "type": "int", "default": 1, "help": "h"},
                   {"name": "wait", "type": "duration", "default": "90s", "help": "h"}],
        "outputs": [{"name": "was", "type": "string", "help": "h"}],
        "predicts": "properties", "root": True, "refreshes": True}
def put(answer): print(json.dumps(answer), flush=True)
def path(r): return os.path.join(root, "srv", r["name"])
def note(text):
    with open(os.path.join(root, "tmp/notes"), "a") as f: f.write(text + "\n")
def misbehave(r): pass
#MISBEHAVE
def describe(r):
    global root
    root = r["root"]
    return {"protocol": 1, "kind": kind}
def observe(r):
    if not os.path.exists(path(r)): return {"exists": False}
    text = open(path(r)).read()
    return {"exists": True, "props": {"text": text}, "outputs": {"was": text}}
def apply(r):
    note("apply %s %s notified=%s predict=%s" % (r["name"], r["action"], r["notified"], r["predict"]))
    if r["params"]["state"] == "absent": os.unlink(path(r))
    else: open(path(r), "w").write(r["params"].get("text") or "")
    return {"note": "wrote it"}
def main():
    for line in sys.stdin:
        r = json.loads(line)
        out = misbehave(r)
        if out is None:
            out = {"describe": describe, "observe": observe, "apply": apply}[r["request"]](r)
        put({"id": r["id"], **out})
main()
'''


def install(site, name="thing", misbehave="", text=None):
    """The program as kinds/NAME beside the configuration."""
    path = site.directory / "kinds" / name
    path.parent.mkdir(exist_ok=True, mode=0o755)
    os.chmod(path.parent, 0o755)
    new = path.with_name("NEW")
    new.write_text(text or PROGRAM.replace("KIND", name).replace("#MISBEHAVE", misbehave))
    new.chmod(0o755)
    new.rename(path)
    return path


def example(site, name):
    return install(site, name, text=(EXAMPLES / name).read_text())


def notes(site):
    path = site.path("/tmp/notes")
    return path.read_text().splitlines() if path.exists() else []


def running(path):
    """Process ids of that program."""
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if str(path).encode() in (entry / "cmdline").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return found


@pytest.mark.parametrize("name", ["json_key", "timezone"])
def test_examples_pass_the_tester(site, name):
    done = subprocess.run([STEAD, "kinds", "--check", example(site, name)], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "wrong" not in done.stdout, done
    assert done.stdout.count("ok") == 13


def test_tester_tells_what_is_wrong(site):
    path = install(site, misbehave='kind["sumary"] = 1\nimport random\n'
                   'def misbehave(r):\n'
                   '    if r["request"] == "observe":\n'
                   '        return {"exists": True, "props": {"text": str(random.random())}}')
    done = subprocess.run([STEAD, "kinds", "--check", path], capture_output=True, text=True, check=False)
    assert done.returncode == 4
    for text in ("wrong the description has a member 'sumary'", "wrong observes the same twice",
                 "wrong answers a request it does not know with an error: program", "wrong its example is applied"):
        assert text in done.stdout, done.stdout


def test_json_key_plan_is_apply_tamper_restore(site):
    example(site, "json_key")
    shop = site.path("/etc/shop.json")
    shop.write_text('{"log": {"level": "debug"}, "port": 80}')
    site.write('json_key "level" { file = "/etc/shop.json", key = "log.level", value = "info" }\n'
               'json_key "tags" { file = "/etc/shop.json", key = "tags", value = { "a", "b" } }\n')
    changes = {c["name"]: c["change"] for c in site.plan()["resource_changes"]}
    assert changes["level"]["before"] == {"value": "debug"} and changes["level"]["after"] == {"value": "info"}
    assert changes["tags"]["actions"] == ["create"]
    assert json.loads(shop.read_text())["log"]["level"] == "debug"
    first = site.apply("--detailed-exitcode")
    assert first.code == 2, first
    assert {e["name"]: e["action"] for e in first.of("changed")} == {"level": "change", "tags": "create"}
    assert json.loads(shop.read_text()) == {"log": {"level": "info"}, "port": 80, "tags": ["a", "b"]}
    assert site.apply("--detailed-exitcode").code == 0
    shop.write_text('{"log": {"level": "x"}, "port": 81, "tags": ["a", "b"]}')
    again = site.apply("--detailed-exitcode")
    assert [e["corrective"] for e in again.of("changed")] == [True]
    site.write("")
    plan = site.plan()["resource_changes"]
    assert {c["name"]: c["removal"] for c in plan} == {"level": "restore", "tags": "remove"}
    assert site.apply("--detailed-exitcode").code == 2
    assert json.loads(shop.read_text()) == {"log": {"level": "debug"}, "port": 81}
    assert site.apply("--detailed-exitcode").code == 0


def test_plan_that_rests_on_a_predicted_file_says_so(site):
    example(site, "json_key")
    site.path("/etc/shop.json").write_text('{"a": 1}')
    site.write('file "/etc/shop.json" { content = "{}" }\n'
               'json_key "a" { file = "/etc/shop.json", key = "a", value = 1 }\n')
    (key,) = [c for c in site.plan()["resource_changes"] if c["type"] == "json_key"]
    assert key["uncertain"] is True


def test_timezone_below_a_root(site):
    example(site, "timezone")
    site.path("/etc/localtime").symlink_to("/usr/share/zoneinfo/Europe/Paris")
    site.write('timezone "Europe/Berlin" {}')
    assert site.apply().code == 0
    assert os.readlink(site.path("/etc/localtime")) == "/usr/share/zoneinfo/Europe/Berlin"
    assert site.path("/etc/timezone").read_text() == "Europe/Berlin\n"
    site.write("")
    assert site.apply().code == 0
    assert os.readlink(site.path("/etc/localtime")) == "/usr/share/zoneinfo/Europe/Paris"


def test_agent_repairs_by_the_files_a_kind_names(site):
    example(site, "json_key")
    shop = site.path("/etc/shop.json")
    site.write('json_key "a" { file = "/etc/shop.json", key = "a", value = 1 }')
    with site.agent() as agent:
        agent.wait("converged")
        shop.write_text('{"a": 2}')
        eventually(lambda: '"a": 1' in shop.read_text(), "the key")
    assert not running(site.directory / "kinds/json_key")


def test_errors_have_place_and_nearest_name(site):
    install(site)
    site.write('thing "a" { texd = "x" }\n'
               'thing "b" { text = "x", many = "lots" }\n'
               'thng "c" {}\n')
    done = site.run("check")
    assert done.code == 1
    assert "site.lua:1:" in done.err and "did you mean 'text'" in done.err
    assert "site.lua:2:" in done.err and "many" in done.err
    assert "site.lua:3:" in done.err and "did you mean 'thing'" in done.err


def test_pattern_is_checked_without_the_host(site):
    example(site, "timezone")
    site.write('timezone "Europe/Ber lin" {}')
    done = site.run("check")
    assert done.code == 1 and "must match the pattern" in done.err and "site.lua:1" in done.err


def test_yaml_graphs_know_it_too(site):
    install(site)
    file = site.write("graph: x\nresources:\n  thing:\n  - name: a\n    text: hello\n", "graph.yaml")
    assert site.run("apply", file=file).code == 0
    assert site.path("/srv/a").read_text() == "hello"


def test_stead_test_keeps_it_in_memory(site):
    install(site)
    site.write('thing "a" { text = "hello" }')
    cases = site.write('case("a", { file = "site.lua" }, function(r)\n'
                       '  expect(r.plan.thing.a == "create", "planned")\n'
                       '  expect(r.applied.thing.a == "create", "applied")\n'
                       '  expect(r.again == 0, "again")\nend)\n', "site.test.lua")
    done = subprocess.run([STEAD, "test", cases], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done
    assert not notes(site)


def test_only_programs_that_are_used_run(site):
    install(site, "used")
    install(site, "unused", misbehave='open("%s/ran", "w")' % site.directory)
    site.write('used "a" { text = "x" }')
    assert site.apply().code == 0
    assert not (site.directory / "ran").exists()


def test_one_process_for_all_resources(site):
    path = install(site, misbehave='open("%s/starts", "a").write("x")' % site.directory)
    site.write("\n".join(f'thing "a{i}" {{ text = "x" }}' for i in range(50)))
    assert site.apply().summary["changed"] == 50
    assert (site.directory / "starts").read_text() == "x"
    assert not running(path)


def test_notification_outputs_and_durations(site):
    install(site, misbehave='def misbehave(r):\n'
            '    if r["request"] == "apply": note("wait=%s" % r["params"]["wait"])')
    site.write('file "/srv/f" { content = "1", notify = thing "a" }\n'
               'thing "a" { text = "x", wait = "1h" }\n'
               'thing "b" { text = out(thing "a", "was") }\n')
    assert site.apply().code == 0
    assert "wait=3600" in notes(site)
    assert site.path("/srv/b").read_text() == "x"
    site.write(site.file.read_text().replace('content = "1"', 'content = "2"'))
    assert site.apply().code == 0
    assert "apply a restart notified=True predict=False" in notes(site)


def test_plan_runs_nothing_and_simulation_can_refuse(site):
    install(site)
    site.write('thing "a" { text = "x" }')
    assert site.plan()["resource_changes"][0]["change"]["after"]["text"] == "x"
    assert notes(site) == []
    install(site, misbehave='kind["predicts"] = "simulate"\ndef misbehave(r):\n'
            '    if r["request"] == "apply" and r["predict"]:\n'
            '        note("simulated")\n'
            '        return {"props": {"text": r["params"]["text"].lower()}}')
    site.write('thing "a" { text = "x" }\nthing "b" { text = "BIG" }\n')
    changes = {c["name"]: c for c in site.plan()["resource_changes"]}
    assert notes(site) == ["simulated"] * 2
    assert not changes["a"].get("error")
    assert "foresees that 'text' will be \"big\", not \"BIG\"" in changes["b"]["error"]


def test_what_cannot_be_predicted_is_unknown(site):
    install(site, misbehave='kind["predicts"] = "none"')
    site.write('thing "a" { text = "x" }')
    change = site.plan()["resource_changes"][0]
    assert change["uncertain"] and change["change"]["after_unknown"] == {"text": True}, change


def test_saved_plan_finds_the_programs(site):
    install(site)
    site.write('thing "a" { text = "x" }')
    plan = site.directory / "elsewhere/plan.json"
    plan.parent.mkdir()
    assert site.run("plan", "--out", str(plan)).code == 0
    assert site.run("apply", file=plan).code == 0
    assert site.path("/srv/a").read_text() == "x"


def test_secret_is_shown_nowhere(site):
    install(site, misbehave='def misbehave(r):\n    if r["request"] == "apply":\n'
            '        print("dying of " + r["params"]["token"], file=sys.stderr, flush=True)\n'
            '        put({"log": "it is " + r["params"]["token"], "id": r["id"]})\n'
            '        return {"error": "cannot log in with " + r["params"]["token"]}')
    site.write('thing "a" { text = "x", token = secret "t" }')
    secrets = site.write('{"t": "hunter2hunter2"}', "secrets.json")
    done = site.apply("--secrets", str(secrets))
    assert done.code == 4 and "cannot log in with (secret)" in done.out
    state = b"".join(p.read_bytes() for p in site.path("/var/lib/stead").iterdir() if p.is_file())
    assert "hunter2" not in done.out + done.err and b"hunter2" not in state


# --- programs that misbehave

WRONG = {
    "nonsense": ('print("hello")', "of its output is no message", '"hello"'),
    "not utf-8": (r'sys.stdout.buffer.write(b"{\"a\":\"\xff\"}\n"); sys.stdout.flush()', "is no message: column 7", "not UTF-8"),
    "dies": ('print("last " + "words", file=sys.stderr); os._exit(3)',
             "ended with status 3 before it answered to 'apply'", "its last words: last words"),
    "killed": ("os.kill(os.getpid(), 9)", "was ended by signal 9 (Killed) before it answered to 'apply'", ""),
    "too long": ('sys.stdout.write("x" * (17 << 20)); sys.stdout.flush(); time.sleep(60)',
                 "of its output is longer than 16 MiB (LIMIT_PROGRAM_LINE)", ""),
    "silent": ("sys.stdout.close(); os.close(1); time.sleep(60)", "closed its output and ran on", ""),
    "error": ('return {"error": "no disk", "remedy": "buy one"}', "no disk; buy one", ""),
}


@pytest.mark.parametrize("name", WRONG)
def test_misbehaviour_fails_the_resource_only(site, name):
    does, text, more = WRONG[name]
    path = install(site, misbehave='def misbehave(r):\n    if r["request"] == "apply" and r["name"] == "bad":\n'
                   f'        {does}')
    site.write('thing "bad" { text = "x" }\nthing "good" { text = "y", needs = file "/srv/f" }\n'
               'file "/srv/f" { content = "" }\n')
    done = site.apply()
    assert done.code == 4, done
    (failed,) = done.of("failed")
    assert failed["name"] == "bad" and text in failed["error"] and more in failed["error"], failed
    assert str(path) in failed["error"] or name == "error"
    assert site.path("/srv/good").read_text() == "y"
    assert not running(path)


def test_answer_without_a_property(site):
    install(site, misbehave='def misbehave(r):\n    if r["request"] == "observe": return {"exists": True, "props": {}}')
    site.write('thing "a" { text = "x" }')
    assert "does not say what 'text' is" in site.apply().of("failed")[0]["error"]


def test_retry_starts_it_anew(site):
    install(site, misbehave='def misbehave(r):\n    if r["request"] == "apply" and not os.path.exists(root + "/tmp/once"):\n'
            '        open(root + "/tmp/once", "w"); os.kill(os.getpid(), 9)')
    site.write('thing "a" { text = "x", retry = 2 }')
    assert site.apply().code == 0
    assert site.path("/srv/a").read_text() == "x"


def test_a_question_is_asked_again_when_somebody_killed_the_program(site):
    """What is asked has no effects, and it was not the question's fault."""
    install(site, misbehave='def misbehave(r):\n    if r["request"] == "observe" and not os.path.exists(root + "/tmp/once"):\n'
            '        open(root + "/tmp/once", "w"); os.kill(os.getpid(), 9)')
    site.write('thing "a" { text = "x" }')
    assert site.apply().code == 0
    install(site, misbehave='def misbehave(r):\n    if r["request"] == "observe": os.kill(os.getpid(), 9)')
    (failed,) = site.apply().of("failed")  # whoever does that again and again
    assert "was ended by signal 9 (Killed) before it answered to 'observe'" in failed["error"]


def test_hang_ends_at_the_timeout_with_its_children(site):
    seconds = random.randrange(10**6, 10**8)  # nobody else sleeps so long
    install(site, misbehave='def misbehave(r):\n    if r["request"] == "apply" and r["name"] == "bad":\n'
            '        signal.signal(signal.SIGTERM, signal.SIG_DFL); os.system("sleep %s")' % seconds)
    site.write('thing "bad" { text = "x", timeout = "1s" }\nthing "good" { text = "y" }\n')
    done = site.apply()
    assert done.code == 4
    assert "take longer than its 'timeout' of 1 s" in done.of("failed")[0]["error"], done
    assert site.path("/srv/good").read_text() == "y"
    assert not running(seconds)


def test_it_dies_with_stead(site):
    path = install(site, misbehave='def misbehave(r):\n    if r["request"] == "apply":\n'
                   '        note("hanging"); signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)')
    site.write('thing "a" { text = "x" }')
    process = subprocess.Popen(site.command("apply"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    eventually(lambda: "hanging" in notes(site), "the apply")
    assert running(path)
    process.send_signal(signal.SIGKILL)
    process.wait()
    eventually(lambda: not running(path), "its end")
    install(site)
    assert site.apply().code == 0  # and the next run repairs what was begun
    assert site.path("/srv/a").read_text() == "x"


DESCRIPTIONS = {
    'kind["predicts"] = "maybe"': '"predicts": expected "properties", "simulate" or "none", found "maybe"',
    'del kind["predicts"]': "found nothing",
    'kind["params"][0]["name"] = "needs"': "parameter 'needs': this name has a meaning already",
    'kind["params"][0]["type"] = "text"': "parameter 'text': \"type\": expected \"string\"",
    'del kind["params"][0]["help"]': "parameter 'text': it: expected some text in \"help\"",
    'kind["watch"] = "files"': 'no parameter has "file": true',
    'kind["name"] = "other"': "it calls itself 'other'",
}


@pytest.mark.parametrize("change", DESCRIPTIONS)
def test_wrong_description_has_a_place(site, change):
    path = install(site, misbehave=change)
    site.write('thing "a" { text = "x" }')
    done = site.run("check")
    assert done.code == 1
    assert "site.lua:1" in done.err and f"understand how '{path}' describes itself" in done.err, done
    assert DESCRIPTIONS[change] in done.err, done


def test_other_protocol(site):
    install(site, misbehave='def misbehave(r): return {"protocol": 2, "kind": kind}')
    site.write('thing "a" { text = "x" }')
    assert "speaks protocol 2, this stead speaks 1" in site.run("check").err


def test_names_that_are_taken(site):
    for name, text in (("file", "there is a built-in kind 'file' already"),
                       ("template", "the language has a word 'template' already")):
        path = install(site, name)
        site.write("")
        done = site.run("check")
        assert done.code == 1 and f"refuse the program '{path}': {text}" in done.err, done
        path.unlink()
    path = install(site)
    other = site.directory / "more/thing"
    shutil.copytree(path.parent, other.parent)
    done = site.run("check", "--kinds", str(other.parent))
    assert done.code == 1 and str(path) in done.err and str(other) in done.err, done


def test_what_others_may_write_does_not_run(site):
    path = install(site, misbehave='open("%s/ran", "w")' % site.directory)
    site.write('thing "a" { text = "x" }')
    for what, mode in ((path, 0o775), (path.parent, 0o777)):
        what.chmod(mode)
        done = site.run("check")
        assert done.code == 1 and "others than its owner may write it" in done.err and "chmod go-w" in done.err
        what.chmod(0o755)
    if os.geteuid() == 0:
        os.chown(path, 1, 1)
        assert "belongs to user 1" in site.run("check").err
    assert not (site.directory / "ran").exists()


def test_the_ledger_remembers_what_is_missing(site):
    path = install(site)
    site.write('thing "a" { text = "x" }')
    assert site.apply().code == 0
    path.rename(site.directory / "away")
    site.write("")
    done = site.run("apply")
    assert done.code == 1 and f"'{path}', is missing; put it back" in done.err, done
    assert "stead ledger forget thing a" in done.err
    assert site.run("plan").code == 1
    (site.directory / "away").rename(path)
    assert site.apply().code == 0
    assert not site.path("/srv/a").exists()


def test_not_below_a_root(site):
    install(site, misbehave='kind["root"] = False')
    site.write('thing "a" { text = "x" }')
    assert "manages only the machine itself" in site.apply().of("failed")[0]["error"]


def test_kinds_are_listed_with_their_program(site):
    path = install(site)
    install(site, "broken", misbehave="os._exit(1)")
    done = subprocess.run([STEAD, "kinds"], capture_output=True, text=True, check=False, cwd=site.directory)
    assert f"{'thing':18} s ({path})" in done.stdout and "broken" in done.stderr and done.returncode == 4
    page = subprocess.run([STEAD, "kinds", "thing"], capture_output=True, text=True, check=True, cwd=site.directory)
    for text in ("many (integer, default 1", "token (string, can be received, secret)", "Outputs", str(path)):
        assert text in page.stdout


def test_agent_takes_a_new_version_of_the_program(site):
    path = install(site)
    site.write('thing "a" { text = "x" }')
    with site.agent() as agent:
        agent.wait("converged")
        install(site, misbehave='def misbehave(r):\n    if r["request"] == "apply": note("new one")')
        site.write('thing "a" { text = "z" }')
        eventually(lambda: site.path("/srv/a").read_text() == "z", "the change")
        assert "new one" in notes(site)
        install(site, misbehave='kind["help"] = "another"')
        site.write('thing "a" { text = "zz" }')
        eventually(lambda: site.path("/srv/a").read_text() == "zz", "the change by what describes itself differently")
        eventually(lambda: len(running(path)) == 1, "the end of the process of before")
        for version in ("3", "4"):  # with a watch that is to be armed anew
            install(site, misbehave=f'{EVENTS}\nkind["help"] = "{version}"')
            site.write(f'thing "a" {{ text = "{version}" }}')
            eventually(lambda: site.path("/srv/a").read_text() == version, "the change by one that watches")
            site.path("/srv/a").write_text("tampered")
            eventually(lambda: site.path("/srv/a").read_text() == version, "the repair")
            eventually(lambda: len(running(path)) == 1, "the end of the process of before")


EVENTS = '''
import threading
kind["watch"] = "events"
watched = {}
def look(r):
    return os.path.exists(path(r)) and open(path(r)).read()
def follow(r, last):
    while True:
        now = look(r)
        if now != last: put({"changed": r["id"]})
        last = now
        time.sleep(0.02)
def misbehave(r):
    if r["request"] == "watch":
        note("watch " + r["name"])
        # What it is now, before we say that we watch: a change that comes then is one.
        threading.Thread(target=follow, args=(r, look(r)), daemon=True).start()
        return {"watching": True}
    if r["request"] == "unwatch": return {}
'''


def test_events_are_repaired_also_after_it_was_killed(site):
    path = install(site, misbehave=EVENTS)
    site.write('thing "a" { text = "x" }\nthing "b" { text = "y" }\n')
    with site.agent() as agent:
        agent.wait("converged")
        site.path("/srv/a").write_text("tampered")
        eventually(lambda: site.path("/srv/a").read_text() == "x", "the repair")
        (pid,) = eventually(lambda: len(found := running(path)) == 1 and found, "the program")
        watches = notes(site).count("watch b")
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: notes(site).count("watch b") > watches, "its new watches")
        site.path("/srv/b").write_text("tampered")
        eventually(lambda: site.path("/srv/b").read_text() == "y", "the repair by the new one")
        site.write('thing "a" { text = "x" }')
        eventually(lambda: not site.path("/srv/b").exists(), "the removal")
        site.path("/srv/a").write_text("again")
        eventually(lambda: site.path("/srv/a").read_text() == "x", "the repair of the rest")
    assert agent.process.returncode == 0
    assert not running(path)


def test_polled_kinds_are_looked_at(site):
    install(site, misbehave='kind["poll"] = 1')
    site.write('thing "a" { text = "x" }')
    with site.agent() as agent:
        agent.wait("converged")
        site.path("/srv/a").write_text("tampered")
        eventually(lambda: site.path("/srv/a").read_text() == "x", "the repair")


def test_types_for_editors_know_it(site):
    install(site)
    done = subprocess.run([STEAD, "types"], capture_output=True, text=True, check=True, cwd=site.directory)
    assert "function thing(name) end" in done.stdout
