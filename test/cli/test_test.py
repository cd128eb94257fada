"""stead test: cases on a machine in memory."""
import subprocess
import xml.etree.ElementTree

from scratch import STEAD

SITE = """
file "/etc/shop.conf" { content = "port = " .. values.port .. "\\n", mode = "0640" }
file "/etc/motd" { content = "kept\\n" }
if facts.os.id == "debian" then pkg "nginx" {} end
if clock.hour() >= 22 then file "/run-at-night" {content = ""} end
"""

CASES = """
local inputs = {
  file = "site.lua", values = { port = 8080 }, facts = { os = { id = "debian" } },
  files = { ["/etc/motd"] = "old\\n" }, packages = { nginx = "" }, time = "2026-01-31T22:00:00Z",
}
case("right", inputs, function(t)
  expect(#t.problems == 0, t.problems[1])
  expect(t.resources.file["/etc/shop.conf"].mode == "0640")
  expect(t.plan.file["/etc/shop.conf"] == "create")
  expect(t.plan.file["/etc/motd"] == "change")
  expect(t.applied.pkg["nginx"] == "create", t.applied.pkg["nginx"])
  expect(t.files["/etc/shop.conf"] == "port = 8080\\n")
  expect(t.plan.file["/run-at-night"] == "create")
  expect(next(t.failed.file) == nil)
  expect(t.again == 0)
end)
case("wrong", inputs, function(t)
  expect(t.files["/etc/motd"] == "old\\n", "motd was changed")
  expect(false, "second")
end)
case("bad configuration", { file = "bad.lua" }, function(t)
  expect(t.problems[1]:find("did you mean 'content'") ~= nil)
end)
"""


def run(site, *arguments):
    return subprocess.run([STEAD, "test", "site.test.lua", *arguments], capture_output=True, text=True,
                          cwd=site.directory, check=False)


def test_cases(site):
    site.write(SITE)
    site.write('file "/x" { contnet = "x" }', "bad.lua")
    site.write(CASES, "site.test.lua")
    done = run(site)
    lines = done.stdout.splitlines()
    assert done.returncode == 4, done
    assert [line for line in lines if not line.startswith("#")] == [
        "ok 1 - right", "not ok 2 - wrong", "ok 3 - bad configuration", "1..3"], done
    assert any("motd was changed" in line for line in lines) and any("second" in line for line in lines)


def test_junit(site):
    site.write(SITE)
    site.write('file "/x" { contnet = "x" }', "bad.lua")
    site.write(CASES, "site.test.lua")
    suite = xml.etree.ElementTree.fromstring(run(site, "--junit").stdout)
    assert suite.get("tests") == "3" and suite.get("failures") == "1"


def test_links_of_the_machine(site):
    site.write('net "eth0" { addrs = "192.0.2.10/24" }\nnet "br0" { type = "bridge" }')
    site.write("""
    case("there", { file = "site.lua", links = { eth0 = "" } }, function(t)
      expect(t.plan.net.eth0 == "change" and t.plan.net.br0 == "create" and #t.failed == 0)
      expect(t.again == 0)
    end)
    case("not there", { file = "site.lua" }, function(t) expect(#t.problems == 0 and t.plan.net.br0 == "create") end)
    """, "site.test.lua")
    done = run(site)
    assert "ok 1 - there" in done.stdout.splitlines() and "not ok 1" not in done.stdout, done


def test_mistakes_in_the_cases_are_told(site):
    site.write("case('a', { fiel = 'site.lua' }, function() end)", "site.test.lua")
    done = run(site)
    assert done.returncode == 4 and "did you mean 'file'" in done.stdout
    site.write("", "site.test.lua")
    assert run(site).returncode == 1


def test_failure_tells_what_a_second_run_would_change(site):
    site.write('exec "always" { cmd = "/bin/date" }\nfile "/etc/x" { content = "x" }')
    site.write("""
        case("again", { file = "site.lua", commands = { ["/bin/date"] = "" } }, function(t)
          expect(t.again == 0, "not idempotent")
          expect(#t.second == 1 and t.second[1]:find("run exec 'always'", 1, true), t.second[1])
        end)
        case("passes", { file = "site.lua", commands = { ["/bin/date"] = "" } }, function(t) expect(t.again == 1) end)
    """, "site.test.lua")
    done = run(site)
    assert ": not idempotent\n" in done.stdout and "\n# a second run would:\n#     run exec 'always' (cmd \"/bin/date\")\nok 2" in done.stdout, done


def test_failure_tells_what_failed_on_the_machine(site):
    site.write('file "/etc/x/y" { content = "y" }')
    site.write("""
        case("lacks a directory", { file = "site.lua" }, function(t) expect(t.files["/etc/x/y"] == "y", "no file") end)
    """, "site.test.lua")
    done = run(site)
    assert "\n# what failed on the machine in memory:\n#     file '/etc/x/y': create '/etc/x/y': the directory" in done.stdout
    assert done.returncode == 4, done


def test_problems_of_the_configuration_are_told(site):
    """Also when the case does not look at them, but at a plan that there is not."""
    site.write('file "/x" { content = "port " .. values.port .. "\\n" }')
    site.write("""
        case("looks at the problems", { file = "site.lua" }, function(t) expect(#t.problems == 0) end)
        case("looks at the plan", { file = "site.lua" }, function(t) expect(t.plan.file["/x"] == "create") end)
    """, "site.test.lua")
    done = run(site)
    assert done.returncode == 4, done
    assert done.stdout.count("\n# what is wrong with the configuration:\n#     ") == 2, done
    assert done.stdout.count("values.port is not set") == 2, done
