"""What people read: lines of apply, plans, the journal."""
import os
import re

START = """
group "ops" {}
file "/srv/x" { content = "one\\n", mode = "0644" }
file "/srv/tree/" { source = "tree/", recurse = true }
file "/srv/link" { target = "/srv/x" }
exec "run" { cmd = "/bin/true", creates = "/srv/never", returns = { "0" } }
"""


def prepare(site):
    site.write("a", "tree/a")
    site.write("b", "tree/sub/b")
    site.write(START.split("exec")[0])


def test_apply_says_what_changed_and_no_more(site):
    prepare(site)
    first = site.run("apply").out
    assert "created group 'ops'\n" in first
    assert "created file '/srv/x' (type, content, mode)" in first
    os.chmod(site.path("/srv/x"), 0o600)
    site.path("/srv/tree/sub/b").unlink()
    site.path("/srv/tree/a").write_text("other")
    second = site.run("apply").out
    assert "changed file '/srv/x' (mode \"0600\" -> \"0644\"), drift repaired\n" in second
    site.write('file "/srv/x" { content = "one\\n" }')
    third = site.run("apply").out
    assert "removed file '/srv/link'\n" in third and "removed group 'ops'\n" in third
    assert "nil" not in first + second + third


def test_plan_shows_removals_in_one_line(site):
    prepare(site)
    assert site.run("apply").code == 0
    site.write('file "/srv/x" { content = "one\\n" }')
    lines = site.run("plan").out.splitlines()
    removals = ["  - remove group 'ops'", "  - remove file '/srv/tree/'", "  - remove file '/srv/link'"]
    assert lines == [*removals, "", "plan: 3 to remove, 1 unchanged"]


def test_remarks_share_one_pair_of_brackets(site):
    site.write('file "/srv/x" { content = "x" }')
    assert site.run("apply").code == 0
    site.path("/srv/x").unlink()
    assert "  + create file '/srv/x' (drift, noop: will not be done)\n" in site.run("plan", "--noop").out


def test_journal_is_readable(site):
    prepare(site)
    assert site.run("apply").code == 0
    site.path("/srv/x").write_text("two\n")
    assert site.run("apply").code == 0
    site.write('file "/srv/x" { content = "' + "long " * 30 + '" }\nexec "' + "word " * 30 + '" { cmd = "/nowhere" }')
    assert site.run("apply").code == 4
    text = site.run("drift").out
    assert re.search(r"drift    change file '/srv/x': content sha256:[0-9a-f]{12} -> sha256:[0-9a-f]{12}$", text, re.M), text
    assert re.search(r"intended create file '/srv/tree/': type \"directory\", tree \+a \+sub \+sub/b$", text, re.M), text
    assert re.search(r"intended remove file '/srv/link'$", text, re.M), text
    assert "nil" not in text and " none " not in text
    for line in text.splitlines():
        assert line.count('"') % 2 == 0, line
    last = text.splitlines()[-1]
    assert last.startswith("1 drift repaired, 0 only seen, ") and "slowest" not in last, last


def test_latency_is_told_only_where_the_event_was_seen(site):
    """What a first look finds wrong may have been so for days."""
    site.write('file "/srv/x" { content = "x" }')
    assert site.apply().code == 0
    site.path("/srv/x").unlink()
    again = site.apply()
    assert again.of("changed")[0]["corrective"] and "latency_us" not in again.of("changed")[0]
    assert "latency_us" not in site.run("drift", "--json", "--corrective").of("drift")[0]


def test_a_wrong_word_is_followed_by_what_is_right(site):
    """Where no similar name is near, what there is."""
    for text, hint in {
        'file "/srv/x" { state = "directory" }': "found 'directory', which is for 'type'",
        'msg "x" { text = "hello" }': "no parameter 'text'; msg takes body, priority, fields, journal, syslog",
        'cron "x" { schedule = "@daily" }': "no parameter 'schedule'; see: stead kinds cron",
        'svc "web.servce" {}': "did you mean 'web.service'? Otherwise write 'web.servce.service'",
        'svc "x" { state = "started" }': "expected one of 'running', 'stopped', found 'started'\n",
        'svc "x" { enabled = "yes" }': "write true, without quotes",
        'user "x" { uid = "ten" }': "expected a whole number, found 'ten'\n",
        "for name in pairs(values.users) do user(name) {} end": "values.users is not set: give it in a file with --values",
    }.items():
        site.write(text)
        assert hint in site.run("check").err


def test_a_directory_declared_as_a_file_can_be_kept(site):
    site.path("/srv/www").mkdir(parents=True)
    site.path("/srv/www/index.html").write_text("x")
    site.write('file "/srv/www" { mode = "0755" }')
    assert "to keep it, write '/srv/www/'" in site.run("plan").out


def test_one_is_one(site):
    """Each summary counts one thing as one."""
    site.write('file "/etc/x" { content = "x" }')
    assert ": 1 resource, 0 edges (0 automatic)\n" in site.run("check").out
    assert "\n1 resource: 1 right, 1 changed (" in site.run("apply").out
    assert site.run("ledger", "list").out.endswith("1 resource is ours\n")
    assert " 1 intended change, " in site.run("drift").out
    site.write('file "/etc/a/" {}\nfile "/etc/a/x" { content = "x" }')
    assert ": 2 resources, 1 edge (1 automatic)\n" in site.run("check").out
