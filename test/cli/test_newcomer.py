"""The first mistakes people make say what to do instead."""
import json
import os
import shutil
import subprocess

import pytest

from scratch import REPOSITORY, STEAD, eventually


def stead(*arguments, binary=STEAD, **options):
    return subprocess.run([binary, *map(str, arguments)], capture_output=True, text=True, check=False, **options)


def test_missing_root_says_how_to_make_it(site):
    site.write('file "/x" {}')
    done = stead("plan", site.file, "--root", site.directory / "nowhere")
    assert done.returncode == 1
    assert done.stderr.endswith(f"; make it first: mkdir -p '{site.directory}/nowhere'\n"), done.stderr


def test_accounts_of_an_empty_root_wait_for_etc(tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "site.lua").write_text('user "ada" {}\ngroup "ops" {}\n')
    done = stead("apply", tmp_path / "site.lua", "--root", tmp_path / "root")
    assert done.returncode == 4 and "'/etc/.pwd.lock': its directory does not exist; declare file '/etc/'" in done.stdout
    (tmp_path / "site.lua").write_text('user "ada" {}\ngroup "ops" {}\nfile "/etc/" {}\n')
    done = stead("apply", tmp_path / "site.lua", "--root", tmp_path / "root")
    assert done.returncode == 0, done.stdout


def test_command_below_an_empty_root_says_where_it_looked(tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "site.lua").write_text('exec "x" { cmd = "true", shell = "/bin/sh" }\n')
    done = stead("apply", tmp_path / "site.lua", "--root", tmp_path / "root")
    assert done.returncode == 4 and "is not below the root" in done.stdout, done.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
@pytest.mark.parametrize("command", [["status"], ["drift"], ["ledger", "list"], ["plan", "site.lua"]])
def test_state_of_root_tells_others_what_to_do(site, command):
    state = site.directory / "state"
    site.write('file "/x" { content = "x" }')
    assert stead("apply", "site.lua", "--root", site.root, "--state", state, cwd=site.directory).returncode == 0
    os.chmod(state, 0o700)
    for directory in [site.directory, *site.directory.parents][:3]:
        os.chmod(directory, os.stat(directory).st_mode | 0o055)
    binary = shutil.copy(STEAD, site.directory / "stead")  # the tree may lie where only root may look
    done = stead(*command, "--root", site.root, "--state", state, binary=binary, cwd=site.directory, user=65534,
                 group=65534)
    assert done.returncode == 1, done
    assert "; run stead as root, or practise below --root DIR\n" in done.stderr, done.stderr


def test_help_of_a_command():
    assert stead("help", "plan").stdout == stead("plan", "--help").stdout != ""
    for command in ("plan", "why", "ledger", "completion"):
        text = stead("help", command).stdout
        assert "--help" in text and f"\nExample:\n  stead {command} " in text, text
    unknown = stead("help", "plam")
    assert unknown.returncode == 1 and "did you mean 'plan'" in unknown.stderr


def test_word_that_is_missing_is_asked_for():
    assert stead("ledger").stderr.startswith("stead ledger: say one of: list | show KIND NAME | ")
    assert stead("why", "svc").stderr.startswith("stead why: KIND NAME is missing; ")


def test_kinds_are_listed_below_each_other():
    lines = [line for line in stead("kinds").stdout.splitlines() if " " in line and not line.startswith("`")]
    assert len(lines) > 20
    assert all(line[18] == " " != line[19] for line in lines), lines


OWNERLESS = [
    'user "ada" { groups = { "docker" } }',
    'user "ada" { group = "docker" }',
    'file "/etc/x" { content = "x", owner = "ada" }',
    'file "/etc/x" { content = "x", group = "docker" }',
    'exec "x" { cmd = "/bin/true", user = "ada" }',
    'cron "x" { special = "daily", command = "/bin/true", user = "ada" }',
    'ssh_authorized_key "x" { user = "ada", type = "ed25519", key = '
    '"AAAAC3NzaC1lZDI1NTE5AAAAIKZkNyIiOtWImDXHNEHiyMOsgZAzO6XJSAKQUHqbpBjU" }',
]


@pytest.mark.parametrize("text", OWNERLESS)
def test_plan_tells_of_accounts_that_nobody_makes(site, text):
    """As the apply does, with what to do; where something goes first that may make them, it is no error."""
    site.add_programs("/bin/true")
    site.write(text)
    plan, apply = site.run("plan"), site.run("apply")
    assert plan.code == apply.code == 4, (plan, apply)
    what = "docker" if "docker" in text else "ada"
    for result in (plan, apply):
        assert f"no such {'group' if what == 'docker' else 'user'} '{what}'; declare " in result.out, result
    site.write(text[:-1] + ', needs = exec "maker" }\nexec "maker" { cmd = "/bin/true" }')
    assert site.run("plan").code == 0, site.run("plan")


def test_plan_of_accounts_in_an_empty_root_is_that_of_apply(tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "site.lua").write_text('user "ada" {}\n')
    for command in ("plan", "apply"):
        done = stead(command, tmp_path / "site.lua", "--root", tmp_path / "root")
        assert done.returncode == 4 and "declare file '/etc/'" in done.stdout, done
    (tmp_path / "site.lua").write_text('user "ada" {}\nfile "/etc/" {}\n')
    assert stead("plan", tmp_path / "site.lua", "--root", tmp_path / "root").returncode == 0


def test_plan_tells_of_a_timer_without_its_program(site):
    """A plan shows what kinds have to say; what is declared is no surprise."""
    timer = 'systemd_timer "x" { command = "/usr/local/bin/job -v", interval = "1h" }\n'
    site.write(timer)
    told = "      note: its program '/usr/local/bin/job' does not exist, so its runs will fail; declare file "
    assert told in site.run("plan").out
    site.write(timer + 'file "/usr/local/bin/job" { content = "x", mode = "0755", force = true }\n'
               'file "/usr/" {}\nfile "/usr/local/" {}\nfile "/usr/local/bin/" {}\n')
    assert "note: " not in site.run("plan").out


def test_a_line_of_a_file_is_shown_as_such(site):
    site.write('host "db" { ip = "10.0.0.2", aliases = { "db1" } }\nhostname "machine" { hostname = "web" }\n')
    (site.root / "etc/hosts").write_text("127.0.0.1 localhost\n10.0.0.1 db\n")
    text = stead("plan", site.file, "--root", site.root).stdout
    shown = text[text.index("change host 'db'"):].splitlines()
    assert shown[1] == "      line:", text
    assert "        -10.0.0.1 db" in shown and any(line.startswith("        +10.0.0.2") for line in shown), text
    assert '      ip: "10.0.0.1" -> "10.0.0.2"' in shown, text
    (change,) = [c for c in site.plan()["resource_changes"] if c["type"] == "host"]
    assert list(change["diffs"]) == ["line"] and "-10.0.0.1 db" in change["diffs"]["line"], change


def test_no_secret_gets_into_fstab(site):
    (site.directory / "secrets.yaml").write_text("p: hunter2\n")
    site.write('mount "/mnt/x" { device = "//srv/x", fstype = "cifs", options = "password=" .. secret "p" }\n')
    done = stead("check", site.file, "--secrets", site.directory / "secrets.yaml")
    assert done.returncode == 1 and "site.lua:1: mount '/mnt/x': refuse a secret in 'options'" in done.stderr, done
    assert "credentials=FILE" in done.stderr and "hunter2" not in done.stderr + done.stdout


def test_notes_of_a_plan_are_in_its_json(site):
    site.write('user "ada" { shell = "/bin/zsh" }\n')
    (site.root / "bin").mkdir()
    (site.root / "bin/sh").write_text("")
    text = stead("plan", site.file, "--root", site.root).stdout
    (note,) = [line.removeprefix("      note: ") for line in text.splitlines() if "      note: " in line]
    (change,) = site.plan()["resource_changes"]
    assert change["note"] == note and "its shell '/bin/zsh' does not exist" in note, change
    site.write('user "ada" { shell = "/bin/zsh" }\nfile "/bin/zsh" { content = "", mode = "0755" }\n')
    assert "note: " not in stead("plan", site.file, "--root", site.root).stdout


@pytest.mark.parametrize("resource", [
    'file "/etc/motd" { source = "files/motd" }',
    'file "/etc/conf/" { source = "files/conf/", recurse = true }',
    'tar "/opt/x/" { source = "files/x.tar" }',
    'pkg "hello" { source = "files/x.deb" }',
])
def test_check_finds_what_is_not_beside_the_configuration(site, resource):
    site.write(f"-- first line\n{resource}\n")
    done = stead("check", site.file)
    assert done.returncode == 1, done
    name = resource.split("{", maxsplit=1)[0].strip().replace('"', "'")
    assert f"site.lua:2: {name}: read '{site.directory}/files/" in done.stderr, done.stderr
    assert done.stderr.endswith("No such file or directory\n"), done.stderr


def test_check_as_a_host_of_a_fleet(site):
    site.write('''
        local roles = { web = "nginx", lb = "haproxy" }
        pkg(roles[exchange.label("role")] or error("no such role")) {}
        file("/etc/" .. exchange.host) { content = "" }
    ''')
    assert "no such role" in stead("check", site.file).stderr
    command = next(line.strip() for line in (REPOSITORY / "doc/exchange.md").read_text().splitlines() if "stead check" in line
                   and line.startswith("    "))
    done = stead(*command.split()[1:], cwd=site.directory)
    assert done.stdout.startswith("site.lua: 2 resources, "), done
    wrong = stead("check", site.file, "--label", "web")
    assert (wrong.returncode, wrong.stderr) == (1, "--label: read 'web': write a label as NAME=TEXT, like role=web\n")


def test_failures_begin_with_their_line(site):
    site.write('-- first line\nfile "/etc/motd" { source = "files/motd" }\n')
    plan = stead("plan", "site.lua", "--root", site.root, cwd=site.directory)
    assert "  x site.lua:2: file '/etc/motd': " in plan.stdout, plan
    done = stead("apply", "site.lua", "--root", site.root, "--state", site.directory / "own", cwd=site.directory)
    assert "\nfailed site.lua:2: file '/etc/motd': " in "\n" + done.stdout, done
    (failed,) = site.run("apply", "--json").of("failed")
    assert failed["origin"].endswith("/site.lua:2"), failed


def test_ledger_shows_no_line_that_has_moved(site):
    site.write('file "/x" { content = "x", protect = true }\n')
    assert site.run("apply").code == 0
    site.write('-- a new first line\nfile "/x" { content = "x", protect = true }\n')
    assert site.run("apply").code == 0
    assert site.run("ledger", "list").out.splitlines()[0].endswith(f") {site.file}")
    assert [e["origin"] for e in site.run("ledger", "list", "--json").of("entry")] == [str(site.file)]
    assert f"  declared in {site.file}\n" in site.run("why", "file", "/x").out
    site.write("\n")
    refused = site.run("apply")
    assert refused.code != 0 and f"protect = true in {site.file} and is gone" in refused.out + refused.err, refused


def test_secrets_that_everybody_may_read(site):
    secrets = site.directory / "secrets.yaml"
    secrets.write_text("p: hunter2\n")
    secrets.chmod(0o644)
    site.write('file "/x" { content = secret "p", mode = "0600" }\n')
    call = ["plan", site.file, "--root", site.root, "--state", site.directory / "own"]
    open_file = stead(*call, "--secrets", secrets)
    assert open_file.stderr == (f"stead: warning: everybody may read the secrets in '{secrets}': "
                                f"chmod 600 '{secrets}'\n"), open_file
    secrets.chmod(0o640)
    assert stead(*call, "--secrets", secrets).stderr == ""
    values = site.directory / "values.yaml"
    values.write_text("p: 1\n")
    values.chmod(0o644)
    assert stead(*call, "--secrets", secrets, "--values", values).stderr == ""


def test_file_of_which_only_the_mode_is_kept_leaves_whatever_it_holds(site):
    """As a key does that a command makes anew: its bytes were never a matter of stead."""
    key = site.root / "key"
    key.write_text("first\n")
    key.chmod(0o600)
    site.write('file "/key" { mode = "0600" }')
    assert stead("apply", site.file, "--root", site.root).returncode == 0
    key.write_text("second\n")
    site.write('noop "nothing" {}')
    done = stead("apply", site.file, "--root", site.root)
    assert done.returncode == 0, done
    assert key.read_text() == "second\n"


def test_user_that_leaves_is_not_taken_from_its_files(site):
    """Else they are left with a number that is nobody's, and the run says that all is right."""
    site.write('user "web" {}\nfile "/etc/web.conf" { content = "x", group = "web" }\ngroup "web" {}\n')
    assert stead("apply", site.file, "--root", site.root).returncode == 0
    site.write('\nfile "/etc/web.conf" { content = "x", group = "web" }\n')
    for command in "plan", "apply":
        done = stead(command, site.file, "--root", site.root)
        assert done.returncode == 1, done
        assert "refuse to remove group 'web', which left the configuration: file '/etc/web.conf' (" in done.stderr, done
        assert "site.lua:2) still names it" in done.stderr, done
    assert "web:" in (site.root / "etc/group").read_text()
    site.write('file "/etc/web.conf" { state = "absent", group = "web" }\n')
    done = stead("apply", site.file, "--root", site.root)
    assert done.returncode == 0, done
    assert "web:" not in (site.root / "etc/group").read_text()


def test_what_was_removed_is_not_counted(site):
    site.write('file "/a" { content = "x" }\nfile "/b" { content = "x" }\n')
    assert stead("apply", site.file, "--root", site.root).returncode == 0
    with site.agent() as agent:
        agent.wait("converged")
        site.write('file "/a" { content = "x" }\n')
        eventually(lambda: not site.path("/b").exists())
        agent.wait("changed", name="/b", action="remove")
        done = stead("status", "--root", site.root)
        assert done.stdout.startswith("1 right, 0 not"), done
        done = stead("why", "file", "/b", "--root", site.root)
        assert done.returncode == 1 and "no file '/b' is managed here" in done.stderr, done


def check_with(site, text, values, *more):
    (site.directory / "values.yaml").write_text(values)
    site.write(text)
    return stead("check", "site.lua", "--root", site.root, "--values", "values.yaml", *more, cwd=site.directory)


@pytest.mark.parametrize("text, told", [
    ('file("/srv/" .. values.prot) {}', "values.prot is not set, did you mean 'port'?"),
    ('file("/srv/" .. values.colour) {}', "values.colour is not set in 'values.yaml'"),
    ('file("/srv/" .. values.sites.shp.root) {}', "values.sites.shp is not set, did you mean 'shop'?"),
    ('file("/srv/" .. values.sites.shop.rot) {}', "values.sites.shop.rot is not set, did you mean 'root'?"),
    ('file("/srv/" .. values.list[2].nmae) {}', "values.list[2].nmae is not set, did you mean 'name'?"),
    ('for _, site in pairs(values.sites) do file("/srv/" .. site.colour) {} end',
     "values.sites.shop.colour is not set in 'values.yaml'"),
])
def test_a_value_that_is_not_given_is_named(site, text, told):
    done = check_with(site, text, "port: 80\nsites:\n  shop: {root: x}\nlist: [{name: a}, {name: b}]\n")
    assert done.returncode == 1 and told in done.stderr, done.stderr
    assert "--values" not in done.stderr, done.stderr


def test_values_are_tables_as_ever(site):
    """That their maps know what they lack shows nowhere else."""
    done = check_with(site, """
local shop = setmetatable(values.shop, { __index = { port = 80 } })
assert(shop.port == 80 and shop.root == "x" and #values.list == 2 and not values.empty[1])
for name, item in pairs(values.deep) do assert(name == "a" and item.b == 1 and item.c == nil) end
for i, item in ipairs(values.list) do assert(item.name == ({ "a", "b" })[i]) end
assert(std.json.encode(values.deep) == '{"a":{"b":1}}')
""", "shop: {root: x}\nlist: [{name: a}, {name: b}]\nempty: []\ndeep: {a: {b: 1}}\n")
    assert done.returncode == 0, done.stderr


def test_ipairs_over_names_says_pairs(site):
    done = check_with(site, "for _, site in ipairs(values.sites) do end", "sites: {shop: 1}\n")
    assert "ipairs goes through lists, and this table has names: use pairs" in done.stderr, done
    done = check_with(site, """
for _ in ipairs {} do error "empty" end
for _ in ipairs(values.none) do error "empty" end
for _ in ipairs(values.map) do error "empty" end
local count = 0
for _ in ipairs { 1, 2, name = "x" } do count = count + 1 end
for _ in ipairs(setmetatable({ name = 1 }, { __index = function(_, i) return i < 3 and i or nil end })) do count = count + 1 end
assert(count == 4)
""", "none: []\nmap: {}\n")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name, text, told", [
    ("values.yaml", "a:\n\tb: 1\n", "values.yaml:2:1: tabs are not allowed as indentation, use spaces"),
    ("values.yaml", "a:\n  b: 1\n\tc: 1\n", "values.yaml:3:1: tabs are not allowed as indentation, use spaces"),
    ("values.yaml", "a: 1\nb: @x\n", "values.yaml:2:4: found character that cannot start any token"),
    ("values.toml", '"größe" = yes\n', "values.toml:1:11: 'yes' is no number"),
    ("values.toml", "a = 1\nb = [1, 2, x]\n", "values.toml:2:12: 'x' is no number"),
    ("values.toml", "a = \n", "values.toml:1:5: expected a value"),
    ("missing.yaml", None, "--values: read 'missing.yaml': No such file or directory"),
])
def test_mistakes_in_a_file_of_values_have_their_place(site, name, text, told):
    site.write("")
    if text:
        (site.directory / name).write_text(text)
    done = stead("check", "site.lua", "--root", site.root, "--values", name, cwd=site.directory)
    assert done.returncode == 1 and told in done.stderr, done.stderr


def test_facts_are_listed():
    listed = stead("facts").stdout
    assert "facts.memory  " in listed and "    Main memory in bytes.\n" in listed
    assert listed.count("\nfacts.") > 15
    assert stead("facts", "os.family").stdout.strip() in ('"debian"', '"redhat"', '"other"')
    assert 'family = "' in stead("facts", "os").stdout
    unknown = stead("facts", "os_family")
    assert unknown.returncode == 1 and "no such fact 'os_family', did you mean 'os.family'?" in unknown.stderr
    assert "'stead facts' lists them all" in stead("facts", "colour").stderr
    assert "see: stead facts os" in stead("facts", "os.colour").stderr


def test_a_timer_takes_no_signs_of_a_shell(site):
    site.write('systemd_timer "x" { command = "/bin/true && /bin/false", interval = "1h" }')
    done = stead("check", site.file, "--root", site.root)
    assert "command: '&&' means nothing without a shell" in done.stderr, done
    assert "write /bin/sh -c '...', or quote it" in done.stderr, done
    site.write("""systemd_timer "x" { command = "/bin/sh -c 'true && false'", interval = "1h" }""")
    assert stead("check", site.file, "--root", site.root).returncode == 0


@pytest.mark.parametrize("name, told", [("service", "svc \"NAME\""), ("package", "pkg \"NAME\""),
                                        ("directory", "a file with a slash"), ("symlink", "target = ")])
def test_kinds_of_other_tools_lead_to_ours(site, name, told):
    done = stead("kinds", name)
    assert done.returncode == 1 and f"no such kind '{name}': a" in done.stderr and told in done.stderr, done
    site.write(f'{name} "x" {{}}')
    assert told in stead("check", site.file, "--root", site.root).stderr


@pytest.mark.parametrize("kind, name, ours", [("file", "require", "needs"), ("svc", "subscribe", "listen"),
                                              ("exec", "notifies", "notify"), ("exec", "retries", "retry")])
def test_parameters_of_other_tools_lead_to_ours(site, kind, name, ours):
    site.write(f'{kind} "/x" {{ {name} = "x" }}')
    told = stead("check", site.file, "--root", site.root).stderr
    assert f"no parameter '{name}', did you mean '{ours}'?" in told, told


def test_a_manual_of_a_kind_ends_with_what_all_take():
    end = " ".join(stead("kinds", "file").stdout.split("\n \n")[-1].split())
    assert end.startswith("Every kind also takes needs, before, notify and listen"), end
    assert "doc/language.md" in end and "noop, retry, " in end and end.endswith("(man stead-kinds).")


def test_what_is_made_of_many_is_told_in_short(site):
    (site.root / "var/spool/cron/crontabs").mkdir(parents=True)
    (site.root / "etc").mkdir(exist_ok=True)
    (site.root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    site.write('cron "x" { special = "daily", command = "/bin/true" }\n'
               'systemd_timer "y" { command = "/bin/true", interval = "1h" }\n'
               'file "/x" { content = "x" }')
    done = stead("apply", site.file, "--root", site.root)
    assert "created cron 'x'\n" in done.stdout, done
    assert "created systemd_timer 'y'\n" in done.stdout, done
    assert "created file '/x' (type, content)\n" in done.stdout, done


@pytest.mark.parametrize("text, told", [
    ('file "/x" { content = values.mtod }', "'content' is not set: values.mtod is not set, did you mean 'motd'?"),
    ('file "/x" {\n  mode = values.mode,\n  content = values.colour,\n  owner = values.owner\n}',
     "site.lua:3: file '/x': 'content' is not set: values.colour is not set in 'values.yaml'; where that is meant"),
    ('local site = values.site\nfile "/x" { source = site.path -- from there\n}', "values.site.path is not set"),
    ('define("web", { path = "string" }, function(_, p) file(p.path) { content = values.colour } end)\nweb "a" { path = "/x" }',
     "values.colour is not set"),
    ('file "/x" { content = values.colour or "" }', None),
    ('file "/x" { content = values.colour and "x" }', None),
    ('file "/x" { mode = values.mode }', None),
    ('local content = values.colour\nfile "/x" {}', None),
    ('file "/x" { content = values.motd }', None),
])
def test_an_empty_file_for_a_missing_value_is_warned_of(site, text, told):
    done = check_with(site, text, "motd: x\nsite: {a: 1}\n")
    assert done.returncode == 0 and (told in done.stderr if told else done.stderr == ""), done


def test_a_fact_that_is_not_known_is_null(tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/hostname").write_text("web1\n")
    lines = [json.loads(line) for line in stead("facts", "--json", "--root", tmp_path).stdout.splitlines()]
    facts = {line["name"]: line["value"] for line in lines if line["event"] == "fact"}
    assert (facts["hostname"], facts["domain"]) == ("web1", None)
    assert stead("facts", "domain", "--root", tmp_path).stdout.splitlines()[0].endswith("(not known here)")
