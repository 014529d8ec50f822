"""The readers of now with the files that each release wrote (tests/data/releases): what they say is what the readers
of that release said. And the programs that write such files for the next release."""

import json
import os
import pathlib
import re
import unittest

import daemons
import release_set

SOURCE = pathlib.Path(daemons.HERE).parent.parent
RELEASES = SOURCE / "tests" / "data" / "releases"


def folders():
    return sorted((path for path in RELEASES.iterdir() if path.is_dir()),
                  key=lambda path: [int(number) for number in path.name.split(".")])


class ReleasesTest(unittest.TestCase):
    def test_slurpstats_reads_the_files_of_each_release(self):
        self.assertTrue(folders())
        for folder in folders():
            with self.subTest(release=folder.name):
                self.assertEqual(release_set.differences(folder), [])
                # What it told then of a field it still tells.
                want = json.loads((folder / "expected.json").read_text())
                for file, now in zip(want, release_set.slurp(release_set.names_in(folder), folder)):
                    for field, other in zip(file["fields"], now["fields"]):
                        self.assertLessEqual(set(field), set(other), field["label"])

    @unittest.skipUnless("MMSTATS_MMASH" in os.environ, "mmash is not built")
    def test_mmash_gives_what_that_of_each_release_gave(self):
        """Kinds, units, families and buckets, as they were put together: samples of now may be more."""
        for folder in folders():
            with self.subTest(release=folder.name):
                want = set((folder / "metrics.txt").read_text().splitlines())
                self.assertTrue(want)
                self.assertEqual(want - set(release_set.metrics(str(folder)).splitlines()), set())

    def test_each_release_has_its_files(self):
        released = re.findall(r"^## \[?(\d+\.\d+\.\d+)", (SOURCE / "CHANGELOG.md").read_text(), re.M)
        self.assertLessEqual(set(released), {folder.name for folder in folders()},
                             "a release needs its files: cmake --build build --target release_set")

    @unittest.skipUnless("MMSTATS_RELEASE_WRITER" in os.environ, "the Pinba server, mmash or the Python packages are not built")
    def test_the_files_of_the_next_release_can_be_made(self):
        with daemons.workspace() as workspace:
            folder = os.path.join(workspace, "next")
            release_set.main(folder)
            last = json.loads((folders()[-1] / "expected.json").read_text())
            # No writer has gone, nor a field of one.
            want = {(file["file"], field["label"]) for file in last for field in file["fields"]
                    if not file["file"].startswith("pinba-server")}
            with open(os.path.join(folder, "expected.json")) as file:
                got = {(file["file"], field["label"]) for file in json.load(file) for field in file["fields"]}
            self.assertLessEqual(want, got)
            # What a release wrote is not written over.
            with self.assertRaises(OSError):
                release_set.main(folder)


if __name__ == "__main__":
    unittest.main()
