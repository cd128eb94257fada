"""Configurations without end or sense: told with line and limit, soon, with exit 1 and an untouched host."""
import os
import random

import pytest

from scratch import PATIENCE


def processor_time() -> float:
    """Of what has run so far: how busy the machine is does not count."""
    times = os.times()
    return times.children_user + times.children_system


def refused(site, *words: str, name="site.lua", command="check", seconds=PATIENCE) -> str:
    start = processor_time()
    result = site.run(command, file=name, timeout=10 * seconds)
    assert result.code == 1, result
    assert processor_time() - start < seconds
    assert "\x1b" not in result.err and len(result.err) < 20000
    for word in words:
        assert word in result.err, result
    return result.err


def write_bytes(site, content: bytes, name="site.lua") -> None:
    (site.directory / name).write_bytes(content)


@pytest.mark.parametrize("loop", ["while true do\n  n = n + 1\nend", "repeat\n  pcall(error)\nuntil false",
                                  "n = 1\nfor i = 1, 1e15 do local x = i end"])
def test_endless_loop(site, loop):
    site.write("local n = 0\n" + loop)
    error = refused(site, "runs more than 300000000 instructions (LIMIT_LUA_INSTRUCTIONS)", "endless")
    assert error.startswith(("site.lua:2:", "site.lua:3:"))


def test_memory_bomb(site):
    site.write('local s = "x"\nwhile true do\n  s = s .. s\nend')
    refused(site, "site.lua:3: uses more than 1024 MB of memory (LIMIT_LUA_MEMORY)", "s = s .. s")


def test_a_million_resources(site):
    site.write('for i = 1, 1000000 do\n  noop("n" .. i) {}\nend')
    refused(site, "site.lua:2: declares more than 500000 resources (LIMIT_RESOURCES)")


def test_endless_recursion(site):
    site.write("local function f(n)\n  return 1 + f(n)\nend\nf(1)")
    refused(site, "site.lua:2: stack overflow", "return 1 + f(n)")


def test_an_expensive_pattern(site):
    site.write('local s = ("a"):rep(40)\nlocal found = s:find(("a*"):rep(40) .. "b")')
    refused(site, "site.lua:2:", "LIMIT_LUA_INSTRUCTIONS")


def test_ten_thousand_needs_in_a_row(site):
    site.write('noop "n0" {}\nfor i = 1, 10000 do noop("n" .. i) { needs = noop("n" .. (i - 1)) } end')
    start = processor_time()
    done = site.apply()
    assert done.code == 0 and done.summary["ok"] == 10001, done
    assert processor_time() - start < 10


def test_a_cycle_shows_each_edge_with_its_place(site):
    site.write(
        """file "/srv/a" { content = "a", needs = file "/srv/b" }
file "/srv/b" {
  content = "b",
  listen = file "/srv/c" }
file "/srv/c" { content = "c", needs = file "/srv/a" }
"""
    )
    error = refused(site, "cycle of 3", "site.lua:1: file '/srv/a' needs file '/srv/b'",
                    "site.lua:4: file '/srv/b' listens to file '/srv/c'",
                    "site.lua:5: file '/srv/c' needs file '/srv/a'", command="apply")
    assert "file '/srv/c'" in error and not site.path("/srv/a").exists()


def test_a_cycle_of_ten_thousand(site):
    site.write('for i = 0, 9999 do noop("n" .. i) { needs = noop("n" .. (i + 1) % 10000) } end')
    refused(site, "cycle", "site.lua:1")


def test_binary_as_configuration(site):
    chooser = random.Random(1)
    for n in range(20):
        for name in ("site.lua", "site.yaml", "plan.json"):
            write_bytes(site, chooser.randbytes(chooser.randint(1, 5000)), name)
            refused(site, name, name=name, command="apply")
    write_bytes(site, b"\x1bLua\x54\x00\x19\x93\r\n\x1a\n" + bytes(100))
    refused(site, "compiled Lua is not accepted")
    write_bytes(site, "file '/srv/x' {}\n".encode("utf-16"))
    refused(site, "site.lua:1:")


def test_a_huge_line(site):
    site.write("x" * 10_000_000)
    refused(site, "site.lua:1: syntax error")
    site.write('file "/srv/x" { content = "' + "y" * 5_000_000 + '" }')
    assert site.apply().code == 0 and site.path("/srv/x").stat().st_size == 5_000_000


def test_a_file_larger_than_the_limit(site):
    with open(site.file, "wb") as sparse:
        sparse.truncate(300_000_000)
    refused(site, "larger than 67108864 bytes")


@pytest.mark.parametrize("brackets", ["{}", "()"])
def test_deep_nesting(site, brackets):
    site.write("local t = " + brackets[0] * 100_000 + brackets[1] * 100_000)
    refused(site, "site.lua: brackets or blocks are nested deeper than 200 levels")
    site.write("graph: " + "[" * 100_000, "site.yaml")
    refused(site, "site.yaml:1:", "nested deeper than 100 (LIMIT_NESTING)", name="site.yaml")
    site.write("[" * 100_000, "plan.json")
    refused(site, "plan.json", name="plan.json", command="apply")


def test_carriage_returns_and_byte_order_mark(site):
    write_bytes(site, b'\xef\xbb\xbffile "/srv/x" {\r\n  content = "x",\r\n}\r\n')
    assert site.apply().code == 0 and site.path("/srv/x").read_text() == "x"
    write_bytes(site, b'\xef\xbb\xbffile "/srv/x" {\r\n  contnet = "x",\r\n}\r\n')
    refused(site, "site.lua:1:", "did you mean 'content'")
    write_bytes(site, b"\xef\xbb\xbfgraph: x\r\nresources:\r\n  file:\r\n  - name: y\r\n    path: /srv/y\r\n    state: exists\r\n",
                "site.yaml")
    assert site.apply("--replace", file="site.yaml").code == 0 and site.path("/srv/y").exists()


def test_names_that_no_host_can_have(site):
    site.write('file "/srv/x\\0y" { content = "x" }')
    refused(site, "site.lua:1:", "control character")
    site.write('file "/srv/\\xff" { content = "x" }')
    refused(site, "site.lua:1:", "not UTF-8 text")
    site.write('file "/srv/' + "n" * 5000 + '" { content = "x" }')
    result = site.run("apply")
    assert result.code in (1, 4) and "shorter than 4096 bytes" in result.err, result


def test_what_is_no_configuration_at_all(site):
    (site.directory / "dir.lua").mkdir()
    refused(site, "it is a directory", name="dir.lua")
    refused(site, "No such file", name="none.lua")
    refused(site, ".lua, .yaml, .yml or .json", name="/dev/zero")
    site.write("")
    assert site.run("apply").code == 0
