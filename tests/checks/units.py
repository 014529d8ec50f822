"""What a build compiles at once."""
import dataclasses
import json
import pathlib
import re

TOP = pathlib.Path(__file__).resolve().parents[2]
ROOMS = ("core/", "plugin_collectd/", "plugin_pinba/")


@dataclasses.dataclass
class Unit:
    path: pathlib.Path  # what the compiler gets
    names: list  # our sources in it, below TOP: several where a room's are compiled together
    command: str
    folder: str


def of(build):
    """The units of what users run, from the compile_commands.json of a build."""
    found = {}
    for entry in json.loads(pathlib.Path(build, "compile_commands.json").read_text(encoding="utf-8")):
        path = pathlib.Path(entry["directory"], entry["file"]).resolve()
        sources = [path]
        if path.name.startswith("unity_"):
            text = path.read_text(encoding="utf-8")
            sources = [pathlib.Path(name).resolve() for name in re.findall(r'^#include "([^"]+)"', text, re.MULTILINE)]
        names = [str(source.relative_to(TOP)) for source in sources if source.is_relative_to(TOP)]
        names = [name for name in names if name.startswith(ROOMS)]
        if names:
            found[path] = Unit(path, names, entry["command"], entry["directory"])
    return list(found.values())
