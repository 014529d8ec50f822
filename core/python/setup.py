"""Builds the packages against installed libraries (libmmstats-dev, libmmstats-pinba-dev), which pkg-config finds:

    pip install --no-build-isolation ./core/python
"""
import glob
import os
import shlex
import subprocess
import sys
import tempfile

from setuptools import Extension, setup

if sys.maxsize < 2**32 or sys.byteorder != "little":
    raise SystemExit("mmstats needs a machine that is both 64-bit and little-endian, such as amd64 or arm64")

HERE = os.path.dirname(os.path.abspath(__file__))
# Sources include each other as "python/native/NAME.h", whatever this folder is called. Kept until the build ends.
INCLUDE = tempfile.TemporaryDirectory()
os.symlink(HERE, os.path.join(INCLUDE.name, "python"))


def pkg_config(option: str, package: str) -> list[str]:
    try:
        done = subprocess.run(["pkg-config", option, package], capture_output=True, text=True, check=True)
    except FileNotFoundError:
        raise SystemExit("pkg-config is not installed") from None
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"the library {package} is not installed: {error.stderr.strip()}") from None
    return shlex.split(done.stdout)


def sources(of_pynba: bool) -> list[str]:
    names = sorted(glob.glob("native/*.cc", root_dir=HERE))
    return [name for name in names if os.path.basename(name).startswith("pynba") == of_pynba]


def extension(name: str, library: str, of_pynba: bool) -> Extension:
    return Extension(
        name,
        sources(of_pynba),
        include_dirs=[INCLUDE.name],
        extra_compile_args=["-std=c++20", "-fvisibility=hidden", *pkg_config("--cflags", library)],
        extra_link_args=pkg_config("--libs", library),
        language="c++",
    )


packages = [
    os.path.relpath(folder, HERE).replace(os.sep, ".")
    for top in ("mmstats", "pynba", "iscool_e")
    for folder, _, names in os.walk(os.path.join(HERE, top))
    if any(name.endswith((".py", ".pyi")) for name in names)
]

setup(
    version=pkg_config("--modversion", "mmstats")[0],
    packages=packages,
    package_data={"": ["py.typed", "*.pyi"]},
    ext_modules=[
        extension("mmstats._native", "mmstats", of_pynba=False),
        extension("pynba._native", "mmstats-pinba", of_pynba=True),
    ],
)
