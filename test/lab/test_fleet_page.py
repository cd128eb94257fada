"""doc/fleet.md, from its first command to its last."""
import os
import re
import subprocess
import time

import pages
from labs import DATA, PATIENCE, PREFIX, ROOT, STEAD

NAME = f"{PREFIX}-fleet"


def test_examples_are_those_of_the_page():
    shown = pages.files("fleet.md")
    assert len(shown) == 6
    for name, text in shown.items():
        assert (ROOT / "examples/fleet" / name).read_text() == text, name


def test_the_page_is_true(tmp_path):
    for name, text in pages.files("fleet.md").items():
        path = tmp_path / ("fleet.yaml" if name == "fleet.yaml" else name)
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"name: {NAME}\n{text}" if name == "fleet.yaml" else text)
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/stead"
    program.write_text(f'#!/bin/sh\n[ "$1" = lab ] || exec {STEAD} "$@"\n'
                       f'shift; verb=$1; shift; exec {STEAD} lab "$verb" --data {DATA} "$@"\n')
    program.chmod(0o755)
    environment = dict(os.environ, PATH=f"{tmp_path}/bin:{os.environ['PATH']}")
    environment.pop("STEAD_DEPLOY_KEY", None)
    commands = pages.console("fleet.md")
    assert len(commands) > 25
    try:
        for command, expected in commands:
            if command.startswith("export "):
                environment.update([command.removeprefix("export ").split("=")])
                continue
            command = re.sub(r"stead lab (?!up)(\w+) (?!fleet)", rf"stead lab \1 --lab {NAME} ", command)
            command = command.replace("down fleet", f"down {NAME}")
            end = time.monotonic() + PATIENCE
            while True:
                done = subprocess.run(["bash", "-c", command], cwd=tmp_path, env=environment, text=True, timeout=900,
                                      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
                said = done.stdout.replace(NAME, "fleet")
                is_true = re.fullmatch(pages.as_pattern(expected), said)
                if is_true or "curl" not in command or time.monotonic() > end:  # a service that was told to reload may take a moment
                    break
                time.sleep(0.1)
            assert is_true, f"{command}\n{said}"
    finally:
        subprocess.run([STEAD, "lab", "down", NAME, "--data", DATA, "--quiet"], check=False, capture_output=True)
