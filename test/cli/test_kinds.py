"""Kinds as the whole program runs them, where unit tests do not reach."""
import subprocess

from scratch import STEAD


def test_message_is_logged_once_for_a_definition(site):
    site.write('msg "hello" { body = "a message of a test", journal = false, syslog = false }')
    assert site.apply("--detailed-exitcode").code == 2
    assert site.apply("--detailed-exitcode").code == 0
    site.write('msg "hello" { body = "another message", journal = false, syslog = false }')
    assert site.apply("--detailed-exitcode").code == 2


def test_every_example_of_the_manual_is_valid(tmp_path):
    import json
    for line in subprocess.run([STEAD, "kinds", "--json"], capture_output=True, text=True, check=True).stdout.splitlines():
        kind = json.loads(line)
        (tmp_path / "site.lua").write_text(kind["example"])
        secrets = tmp_path / "secrets.yaml"
        secrets.write_text("{}\n")
        done = subprocess.run([STEAD, "check", tmp_path / "site.lua"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{kind['name']}: {done.stderr}"
