#!/usr/bin/python3
"""Makes the files that tests/data/releases keeps of each release: of every writer and every kind of field, and what
readers of that release say of them.

  release_set.py FOLDER
  release_set.py --check FOLDER...

FOLDER must not exist. Gets NAME.mmstats, what `slurpstats --json` says in expected.json, and the
samples that mmash gives to Prometheus in metrics.txt. The programs are those that the environment names, as for the tests here: the target
release_set of the build calls this so for tests/data/releases/VERSION.
--check: whether $MMSTATS_SLURPSTATS, which may be older or newer, says the same of each such FOLDER.
"""

import glob
import json
import math
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile

import daemons
import mmstats_reader

DATA = os.path.join(daemons.HERE, "..", "data", "pinba")
WRITER = os.path.join(daemons.HERE, "release_writer.py")
SECONDS = 60 * daemons.TIME_SCALE


def slurp(paths, folder):
    """What slurpstats says of files in the folder, which it must find sound."""
    said = subprocess.run([os.environ["MMSTATS_SLURPSTATS"], "--json", *paths], cwd=folder, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=SECONDS, check=False)
    assert (said.returncode, said.stderr) == (0, ""), said
    return json.loads(said.stdout)


def names_in(folder):
    return sorted(os.path.basename(path) for path in glob.glob(os.path.join(folder, "*.mmstats")))


def write_programs(folder):
    subprocess.run([os.environ["MMSTATS_RELEASE_WRITER"], folder], stdin=subprocess.DEVNULL, timeout=SECONDS, check=True)
    subprocess.run([sys.executable, "-B", WRITER, folder], stdin=subprocess.DEVNULL, timeout=SECONDS, check=True)


def write_pinba_server(folder):
    """What it publishes of packets that real clients sent; as it is while the server runs."""
    with tempfile.TemporaryDirectory() as workspace:
        files, state = os.path.join(workspace, "files"), os.path.join(workspace, "state")
        os.mkdir(files)
        os.mkdir(state)
        config = os.path.join(workspace, "server.toml")
        with open(config, "w") as file:
            file.write(f'path = "{files}"\nstate_folder = "{state}"\n')
        server = daemons.Daemon("pinba-server", [os.environ["MMSTATS_PINBA_SERVER"], "--config", config,
                                                 "--listen", "127.0.0.1:0"], workspace)
        listens = re.compile(r"^pinba-server: listens on 127\.0\.0\.1:(\d+)$", re.M)
        server.ready = lambda: listens.search(server.log())
        with server, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.connect(("127.0.0.1", int(listens.search(server.log())[1])))
            sent = 0
            for name in ("php-timers.bin", "pynba-timers.bin", "pynba-minimal.bin"):
                with open(os.path.join(DATA, name), "rb") as file:
                    sender.send(file.read())
                sent += 1
            daemons.wait_until(lambda: sent == sum(
                field["value"] for file in slurp(names_in(files), files) for field in file["fields"]
                if field["label"] == "pinba.receiver.packets"), "all packets are counted")
            for name in names_in(files):
                # Without the blocks that were never written.
                subprocess.run(["cp", "--sparse=always", os.path.join(files, name), folder], check=True)


def rename(folder):
    """Without the numbers of processes and threads, which are others each time."""
    for name in names_in(folder):
        stem = re.sub(r"-\d+(?=[-.])", "", name).removesuffix(".mmstats")
        new, more = f"{stem}.mmstats", 1
        while new != name and os.path.exists(os.path.join(folder, new)):
            more += 1
            new = f"{stem}-{more}.mmstats"
        os.rename(os.path.join(folder, name), os.path.join(folder, new))


def metrics(folder):
    """What mmash gives to Prometheus; nothing where there is no mmash."""
    if "MMSTATS_MMASH" not in os.environ:
        return ""
    # Imported here: those are tests, and need more.
    from mmash_test import Mmash  # pylint: disable=import-outside-toplevel

    with daemons.workspace() as workspace:
        with Mmash(workspace, globs=[os.path.join(folder, "*.mmstats")]) as server:
            status, _, body = server.get("/metrics")
            assert status == 200, body
            # Neither help, which may be said in other words, nor what it tells of itself; buckets of two histograms
            # are as good as those of all.
            left_out = re.compile(r"#|mmash_|(?!histograms_coarse|families_times)\w*_bucket\{")
            return "".join(line for line in body.decode().splitlines(True) if not left_out.match(line))


def differences(folder):
    """Where slurpstats says something else of the files in the folder than expected.json."""
    with open(os.path.join(folder, "expected.json")) as file:
        want = json.load(file)
    found = []
    if [file["file"] for file in want] != names_in(folder):
        found.append("the files are others")
    for file, now in zip(want, slurp([file["file"] for file in want], folder)):
        if [field["label"] for field in file["fields"]] != [field["label"] for field in now["fields"]]:
            found.append(f"{file['file']}: the fields are others")
        for field, other in zip(file["fields"], now["fields"]):
            # As texts: 1 is not 1.0. Newer readers may tell more of a field.
            common = {"label", "type", "buffered", "value"} | (set(field) & set(other))
            for key in sorted(common):
                if json.dumps(field.get(key)) != json.dumps(other.get(key)):
                    found.append(f"{file['file']}: {key} of {field['label']} was {field.get(key)}, is {other.get(key)}")
        if file["damage"] != now["damage"]:
            found.append(f"{file['file']}: damage is {now['damage']}")
    return found


def judge(said, folder):
    """As a reader that is not ours reads numbers and texts."""
    for file in said:
        with open(os.path.join(folder, file["file"]), "rb") as opened:
            other = {field["label"]: field["value"] for field in mmstats_reader.read(opened.read())}
        for field in file["fields"]:
            want = other[field["label"]]
            got = field["value"]
            if isinstance(want, float):
                got = math.nan if got is None else float(got)  # no value
            assert got == want or (got != got and want != want), (file["file"], field, want)


def main(folder):
    os.makedirs(os.path.dirname(os.path.abspath(folder)), exist_ok=True)
    new = tempfile.mkdtemp(dir=os.path.dirname(os.path.abspath(folder)))
    try:
        os.chmod(new, 0o755)
        write_programs(new)
        write_pinba_server(new)
        rename(new)
        said = slurp(names_in(new), new)
        judge(said, new)
        with open(os.path.join(new, "expected.json"), "w") as file:
            json.dump(said, file, indent=1, ensure_ascii=False)
            file.write("\n")
        with open(os.path.join(new, "metrics.txt"), "w") as file:
            file.write(metrics(new))
        # Fails if it is there: what a release wrote does not change.
        os.rename(new, folder)
    except BaseException:
        shutil.rmtree(new)
        raise


def check(folders):
    found = [f"{folder}: {difference}" for folder in folders for difference in differences(folder)]
    print("\n".join(found), end="\n" if found else "")
    return 1 if found or not folders else 0


if __name__ == "__main__":
    if sys.argv[1] == "--check":
        sys.exit(check(sys.argv[2:]))
    main(sys.argv[1])
