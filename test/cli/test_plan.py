"""stead plan: true, saved, refused."""
import json
import os
import random
import shutil

import pytest

from scratch import Site

GRAPHS = 500
NAMES = ["a", "b", "c", "d"]


def leads_through_link(root, path) -> bool:
    """Whether writing to path here, outside of stead, could leave the scratch root."""
    return any(part.is_symlink() for part in [path, *path.parents] if part != root and root in part.parents)


class Generator:
    """A random small site, the host it starts from, and a second version of the site."""

    def __init__(self, seed: int):
        self.random = random.Random(seed)

    def chance(self, p: float) -> bool:
        return self.random.random() < p

    def path(self) -> str:
        return "/srv/" + "/".join(self.random.choice(NAMES) for _ in range(self.random.randint(1, 3)))

    def text(self) -> str:
        return self.random.choice(["", "one\n", "one\ntwo\n", "three", "[s]\nkey = 1\n"])

    def prepare(self, root) -> None:
        for _ in range(self.random.randint(0, 8)):
            path = root / self.path().lstrip("/")
            if leads_through_link(root, path):
                continue
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                if self.chance(0.2):
                    path.symlink_to(self.random.choice(["/nowhere", "../nowhere"]))
                elif self.chance(0.3):
                    path.mkdir()
                else:
                    path.write_text(self.text())
                    os.chmod(path, self.random.choice([0o644, 0o600, 0o755]))
            except OSError:
                pass

    def tamper(self, root) -> None:
        for _ in range(self.random.randint(0, 4)):
            path = root / self.path().lstrip("/")
            if leads_through_link(root, path.parent):
                continue
            try:
                if path.is_dir() and not path.is_symlink():
                    if self.chance(0.5):
                        shutil.rmtree(path)
                    else:
                        os.chmod(path, 0o700)
                elif path.is_symlink() or path.exists():
                    if path.is_symlink() or self.chance(0.5):
                        path.unlink()
                    else:
                        path.write_text("tampered\n")
                elif path.parent.is_dir():
                    path.write_text("foreign\n")
            except OSError:
                pass

    def file(self) -> tuple[str, str]:
        path = self.path()
        way = self.random.randrange(6)
        mode = f', mode = "{self.random.choice(["0644", "0600", "0755"])}"' if self.chance(0.5) else ""
        force = ", force = true" if self.chance(0.3) else ""
        if way == 0:
            return f"{path}/", f'file "{path}/" {{ {mode.lstrip(", ")} }}'
        if way == 1:
            return path, f'file "{path}" {{ state = "absent"{force} }}'
        if way == 2:
            return path, f'file "{path}" {{ target = "{self.random.choice(["/nowhere", "../nowhere"])}"{force} }}'
        return path, f'file "{path}" {{ content = {json.dumps(self.text())}{mode}{force} }}'

    def other(self, n: int) -> tuple[str, str]:
        way = self.random.randrange(6)
        if way == 0:
            return f"g{n}", f'group "g{n}" {{ gid = {600 + n} }}'
        if way == 1:
            return f"u{n}", f'user "u{n}" {{ uid = {700 + n}, homedir = "/home/u{n}" }}'
        if way == 2:
            return f"l{n}", f'line "l{n}" {{ file = "/etc/lines", content = "line {self.random.randrange(3)}" }}'
        if way == 3:
            return f"i{n}", (f'ini "i{n}" {{ path = "/etc/conf.ini", section = "s", key = "k{self.random.randrange(3)}", '
                             f'value = "{n}" }}')
        if way == 4:
            return f"n{n}", f'noop "n{n}" {{}}'
        return f"e{n}", f'exec "e{n}" {{ cmd = "true", creates = "/etc/passwd" }}'

    def site(self) -> str:
        lines, kinds, seen = [], [], set()
        for n in range(self.random.randint(1, 12)):
            name, text = self.file() if self.chance(0.7) else self.other(n)
            key = name.rstrip("/")
            if text.startswith(("line", "ini")):  # one thing on the host under two names is refused
                key = text.split("{", 1)[1].split(", value", 1)[0]
            if key in seen:
                continue
            seen.add(key)
            kind = text.split(" ", 1)[0]
            if kinds and self.chance(0.3):
                before = self.random.choice(kinds)
                word = self.random.choice(["needs", "listen"])
                text = text.rstrip("}").rstrip() + f'{"" if text.rstrip("}").rstrip().endswith("{") else ","} {word} = {before} }}'
            kinds.append(f'{kind} "{name}"')
            lines.append(text)
        return "\n".join(lines) + "\n"


def planned(plan: dict) -> dict:
    entries = {}
    for change in plan["resource_changes"] + plan["resource_drift"]:
        entries[(change["type"], change["name"])] = change
    return entries


def properties_of(event: dict) -> dict:
    return {c["property"]: (c["before"], c["after"]) for c in event["changes"]}


def compare(plan: dict, done) -> list[str]:
    """What apply did that the plan did not say, and the other way round."""
    problems = []
    entries = planned(plan)
    happened = {(e["kind"], e["name"]): e for e in done.of("changed")}
    failed = {(e["kind"], e["name"]): e["error"] for e in done.of("failed")}
    for key, entry in entries.items():
        if "error" in entry:
            if key not in failed and not entry["error"].startswith("blocked by"):
                problems.append(f"{key}: planned to fail ({entry['error']}), did not")
            continue
        if key not in happened:
            problems.append(f"{key}: planned {entry['change']['actions']}, did not happen: {failed.get(key)}")
            continue
        if entry["uncertain"]:
            continue
        change = entry["change"]
        expected = {p: (change["before"].get(p), change["after"].get(p)) for p in
                    set(change["before"]) | set(change["after"])}
        found = properties_of(happened[key])
        if expected != found and not change["after_unknown"]:
            problems.append(f"{key}: planned {expected}, did {found}")
    for key in happened:
        if key not in entries or "error" in entries[key]:
            problems.append(f"{key}: happened, was not planned")
    for key, error in failed.items():
        if key not in entries or "error" not in entries[key]:
            problems.append(f"{key}: failed ({error}), was not planned to")
    return problems


@pytest.mark.parametrize("part", range(10))
def test_plan_predicts_apply(tmp_path, part):
    for n in range(GRAPHS // 10):
        seed = part * (GRAPHS // 10) + n
        generator = Generator(seed)
        site = Site(tmp_path / str(seed))
        generator.prepare(site.root)
        # A first version, its repetition after tampering, and a second version with removals.
        for version in range(3):
            if version != 1:
                site.write(generator.site())
            else:
                generator.tamper(site.root)
            check = site.run("check")
            if check.code != 0:  # the generator may ask for contradictions; those are refused by check
                assert "cycle" in check.err or "twice" in check.err, check
                break
            before = {p: (p.lstat().st_mtime_ns, p.lstat().st_mode) for p in site.root.rglob("*")
                      if "var/lib/stead" not in str(p)}
            plan = site.plan()
            after = {p: (p.lstat().st_mtime_ns, p.lstat().st_mode) for p in site.root.rglob("*")
                      if "var/lib/stead" not in str(p)}
            assert before == after, "plan touched the host"
            done = site.apply()
            assert done.code in (0, 4), done
            problems = compare(plan, done)
            assert not problems, f"seed {seed} version {version}:\n{site.file.read_text()}\n" + "\n".join(problems)
        shutil.rmtree(site.directory)


def test_saved_plan_is_applied_exactly(site):
    site.write('file "/srv/x" { content = "x" }\nfile "/srv/y" { content = "y" }')
    assert site.run("plan", "--out", "plan.json").code == 0
    site.write('file "/srv/other" { content = "later edit" }')
    done = site.apply(file="plan.json")
    assert done.code == 0, done
    assert site.path("/srv/x").exists() and site.path("/srv/y").exists() and not site.path("/srv/other").exists()
    again = site.apply(file="plan.json")
    assert again.code == 1 and "/srv/x" in again.out + again.err


def test_saved_plan_is_refused_after_a_hand_change(site):
    site.path("/srv/x").write_text("old")
    os.chmod(site.path("/srv/x"), 0o644)
    site.write('file "/srv/x" { content = "new", mode = "0640" }\nfile "/srv/y" { content = "y" }')
    assert site.run("plan", "--out", "plan.json").code == 0
    os.chmod(site.path("/srv/x"), 0o600)
    refused = site.run("apply", file="plan.json")
    assert refused.code == 1
    assert "file '/srv/x': 'mode' was \"0644\" when the plan was made, is \"0600\" now" in refused.err
    assert site.path("/srv/x").read_text() == "old" and not site.path("/srv/y").exists()
    os.chmod(site.path("/srv/x"), 0o644)
    assert site.run("apply", file="plan.json").code == 0


def test_saved_plan_with_secrets(site):
    """A plan holds names only; the secrets themselves are asked for again."""
    site.write("hunter: tiger\nother: x\n", "secrets.yaml")
    site.write('file "/srv/x" { content = secret "hunter" }\nexec "y" { env = { A = "b", KEY = secret "other" } }')
    plan = ("plan", "--secrets", "secrets.yaml", "--out", "plan.json")
    assert site.run(*plan).code == 0
    site.write('file "/srv/x" { content = secret "hunter" }')
    assert site.run(*plan).code == 0
    refused = site.run("apply", file="plan.json")
    assert refused.code == 1 and "needs the secret 'hunter'" in refused.err and "--secrets FILE" in refused.err
    site.write("hunter: lion\n", "secrets.yaml")
    refused = site.run("apply", "--secrets", "secrets.yaml", file="plan.json")
    assert refused.code == 1 and "a secret has changed" in refused.err
    assert not site.path("/srv/x").exists()
    site.write("hunter: tiger\n", "secrets.yaml")
    done = site.run("apply", "--secrets", "secrets.yaml", file="plan.json")
    assert done.code == 0, done
    assert site.path("/srv/x").read_text() == "tiger"


def test_saved_plan_lets_nobody_try_secrets(site):
    """What a plan says of a secret needs the key of the state directory, which no plan has."""
    site.write('file "/srv/x" { content = secret "pin" }')
    arguments = ("--secrets", "secrets.yaml", "--out", "plan.json")
    plans = []
    for pin in ("1234", "1235"):
        site.write(f'pin: "{pin}"\n', "secrets.yaml")
        assert site.run("plan", *arguments).code == 0
        plans.append(json.loads((site.directory / "plan.json").read_text()))
    one, other = plans
    assert one["graph_digest"] == other["graph_digest"] and one["secrets_digest"] != other["secrets_digest"]
    key = site.path("/var/lib/stead/plan.key")
    assert key.stat().st_mode & 0o777 == 0o600 and len(key.read_bytes()) == 32
    key.unlink()
    refused = site.run("apply", "--secrets", "secrets.yaml", file="plan.json")
    assert refused.code == 1 and "plan.key" in refused.err and not site.path("/srv/x").exists()
    assert site.run("plan", *arguments).code == 0
    again = json.loads((site.directory / "plan.json").read_text())
    assert again["secrets_digest"] != other["secrets_digest"]
    assert site.run("apply", "--secrets", "secrets.yaml", file="plan.json").code == 0


def test_saved_plan_of_a_changed_secret(site):
    """What was there before is a secret too, and stays one in the file."""
    site.write('file "/srv/x" { content = secret "hunter" }')
    for secret in ("tiger", "lion"):
        site.write(f"hunter: {secret}\n", "secrets.yaml")
        assert site.run("plan", "--secrets", "secrets.yaml", "--out", "plan.json").code == 0
        done = site.run("apply", "--secrets", "secrets.yaml", file="plan.json")
        assert done.code == 0, done
        assert site.path("/srv/x").read_text() == secret


def test_plan_that_would_show_a_secret_is_not_saved(site):
    site.write("hunter: tiger\n", "secrets.yaml")
    site.write('file "/srv/x" { content = "key = " .. secret "hunter" }')
    refused = site.run("plan", "--secrets", "secrets.yaml", "--out", "plan.json")
    assert refused.code == 1 and "refuse to save: file '/srv/x' has text that was made with a secret" in refused.err
    assert not (site.directory / "plan.json").exists()


def test_plan_of_another_root_is_refused(site):
    other = site.directory / "other"
    other.mkdir()
    site.write('file "/x" { content = "x" }')
    assert site.run("plan", "--out", "plan.json").code == 0
    refused = site.run("apply", "--root", str(other), file="plan.json")  # the last one counts
    assert refused.code == 1 and f"it was made for the root '{site.root}', not for '{other}'" in refused.err
    assert not (other / "x").exists()


def test_damaged_plan_is_refused(site):
    site.write('file "/srv/x" { content = "x" }')
    assert site.run("plan", "--out", "plan.json").code == 0
    plan = (site.directory / "plan.json").read_text()
    for text, word in ((plan.replace('"x"', '"evil"'), "digest"), (plan[:100], "plan.json:"), ("{}", "nor a saved plan"),
                       ("", "plan.json"), ("[" * 100000, "plan.json")):
        site.write(text, "plan.json")
        refused = site.run("apply", file="plan.json")
        assert refused.code == 1 and word in refused.err, (text[:50], refused)
    assert not site.path("/srv/x").exists()


def test_exec_is_never_run_by_a_plan(site):
    site.add_programs()
    site.write(
        """
        exec "a" { cmd = "touch /tmp/ran", shell = "/bin/sh", onlyif = "touch /tmp/guard" }
        file "/srv/out" { content = out(exec "a", "stdout") }
        file "/srv/after" { content = "x", needs = exec "a" }
        """
    )
    plan = site.plan()
    entries = planned(plan)
    assert entries[("exec", "a")]["change"]["actions"] == ["run"]
    assert entries[("file", "/srv/out")]["change"]["after_unknown"] == {"content": True}
    assert entries[("file", "/srv/after")]["change"]["actions"] == ["create"]
    assert not list(site.path("/tmp").iterdir())


def test_plan_sees_what_earlier_steps_will_have_done(site):
    site.write(
        """
        file "/srv/d/" {}
        file "/srv/d/f" { content = "x" }
        line "l" { file = "/srv/d/f", content = "added", needs = file "/srv/d/f" }
        """
    )
    plan = site.plan()
    assert not plan["errored"]
    assert len(plan["resource_changes"]) == 3


def test_plan_tells_drift_from_intended_change(site):
    site.write('file "/srv/x" { content = "x" }\nfile "/srv/y" { content = "y" }')
    assert site.apply().code == 0
    site.path("/srv/x").write_text("drift")
    site.write('file "/srv/x" { content = "x" }\nfile "/srv/y" { content = "new" }')
    plan = site.plan()
    assert [c["name"] for c in plan["resource_drift"]] == ["/srv/x"]
    assert [c["name"] for c in plan["resource_changes"]] == ["/srv/y"]


def test_secret_is_shown_nowhere(site):
    site.write("hunter: tiger-2-secret\n", "secrets.yaml")
    site.write('file "/srv/x" { content = secret "hunter", mode = "0600" }')
    arguments = ["--secrets", "secrets.yaml"]
    outputs = [site.run("plan", *arguments, "--out", "plan.json"), site.run("plan", *arguments, "--json"),
               site.run("apply", *arguments, "--json"), site.run("drift"), site.run("ledger", "list", "--json")]
    assert site.path("/srv/x").read_text() == "tiger-2-secret"
    for output in outputs:
        assert "tiger-2" not in output.out + output.err
    for file in [site.directory / "plan.json", *site.path("/var/lib/stead").rglob("*")]:
        if file.is_file():
            assert b"tiger-2" not in file.read_bytes(), file
