"""What pages of doc/ show: files, and commands with what they print."""
import pathlib
import re

DOC = pathlib.Path(__file__).resolve().parents[1] / "doc"


def files(name: str) -> dict[str, str]:
    """Blocks with a title: what they are called, and their text."""
    return dict(re.findall(r"^```\w+ title=(\S+)\n(.*?)^```", (DOC / name).read_text(), re.DOTALL | re.MULTILINE))


def console(name: str) -> list[tuple[str, list[str]]]:
    """(command, lines that it prints) of the console blocks, in their order."""
    text = (DOC / name).read_text()
    blocks = "".join(re.findall(r"^```console\n(.*?)^```", text, re.DOTALL | re.MULTILINE))
    parts = [part.rstrip("\n").split("\n") for part in re.split(r"^\$ ", blocks, flags=re.MULTILINE)[1:]]
    return [(command, lines) for command, *lines in parts]


def as_pattern(lines: list[str]) -> str:
    """`...` stands for anything in a line, alone for any lines."""
    parts = ["(.*\n)*" if line == "..." else ".*".join(map(re.escape, line.split("..."))) + "\n" for line in lines]
    return "".join(parts)
