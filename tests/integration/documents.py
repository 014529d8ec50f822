"""The examples in manual pages and Markdown: what stands in a block of its own, as a reader sees it."""

import os
import re
import subprocess
import textwrap

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
FRAME = {"mdoc": ".Dd January 1, 2000\n.Dt X 7\n.Os\n.Sh X\n.Bd -literal\n{}\n.Ed\n", "man": ".TH X 7\n.SH X\n.nf\n{}\n.fi\n"}


def rendered(language, source):
    """The text of a block as mandoc shows it: no escape is left, and no macro."""
    page = FRAME[language].format(source)
    out = subprocess.run(["mandoc", "-Tutf8", "-Owidth=400"], input=page, capture_output=True, text=True, check=True).stdout
    lines = re.sub(".\b", "", out).split("\n")
    return textwrap.dedent("\n".join(lines[3:-2])).strip("\n") + "\n"


def of_manual(text):
    """Displays, and commands on lines of their own: .Bd -literal to .Ed and .Dl; .nf to .fi."""
    if ".Dd " in text:
        for match in re.finditer(r"^\.Bd -literal.*?\n(.*?)^\.Ed$|^\.Dl ([^\n]*)$", text, re.MULTILINE | re.DOTALL):
            yield rendered("mdoc", match[1].rstrip("\n") if match[1] else match[2])
    else:
        for match in re.finditer(r"^\.nf\n(.*?)^\.fi$", text, re.MULTILINE | re.DOTALL):
            yield rendered("man", re.sub(r"^\.R[SE]\n", "", match[1], flags=re.MULTILINE).rstrip("\n"))


def of_markdown(text):
    """Fenced blocks, whatever their language, and those of four blanks."""
    for match in re.finditer(r"^```\w*\n(.*?)^```$|(?<=\n\n)((?: {4}[^\n]*\n|\n(?= {4}))+)", text, re.MULTILINE | re.DOTALL):
        yield match[1] if match[1] is not None else textwrap.dedent(match[2])


def blocks(path):
    """All of a file below the source folder, in its order."""
    with open(os.path.join(SOURCE, path), encoding="utf-8") as file:
        text = file.read()
    return list(of_markdown(text) if path.endswith(".md") else of_manual(text))
