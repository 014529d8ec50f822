"""slurpstats as people and scripts meet it: its output's shape, its streams, its exit status."""

import json
import os
import pathlib
import signal
import subprocess
import unittest

import daemons
import mmstats_writer as writer

SLURPSTATS = os.environ["MMSTATS_SLURPSTATS"]


def run(*arguments, **environment):
    """Runs it with an empty environment but for `environment`; both streams as bytes."""
    return subprocess.run(
        [SLURPSTATS, *arguments],
        env={"PATH": "/usr/bin:/bin", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        timeout=daemons.PATIENCE,
        check=False,
    )


class SlurpstatsTest(unittest.TestCase):
    def setUp(self):
        context = daemons.workspace()
        self.folder = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)

    def publish(self, name, *fields, prefix=""):
        path = os.path.join(self.folder, name)
        writer.MmstatsFile(path, fields, prefix=prefix).close()
        return path

    def damage(self, name):
        """A file that has one good field and ends inside the next."""
        data, _ = writer.encode([writer.counter("good", 7), writer.counter("cut", 8)])
        path = os.path.join(self.folder, name)
        with open(path, "wb") as file:
            file.write(data[: data.index(b"cut") + 5])
        return path

    def test_each_file_is_a_heading_indented_lines_and_a_blank_line(self):
        paths = [self.publish(f"{name}.mmstats", writer.counter("requests", 42)) for name in "ab"]
        result = run(*paths)
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        for path, block in zip(paths, result.stdout.decode().split("\n\n")):
            heading, *lines = block.split("\n")
            self.assertEqual(heading, f"==> {path}")
            self.assertEqual(len(lines), 6)
            values = dict(line.split() for line in lines)
            self.assertEqual(values["requests"], "42")
            for line in lines:
                self.assertRegex(line, r"^ +\S+ +\S+$")
            # Aligned: every value begins in the same column.
            columns = {len(line) - len(line.split()[1]) for line in lines}
            self.assertEqual(len(columns), 1, block)

    def test_without_arguments_it_reads_what_mmstats_glob_names(self):
        self.publish("a.mmstats", writer.counter("requests", 42))
        self.publish("b.other", writer.counter("unrelated", 1))
        result = run(MMSTATS_GLOB=os.path.join(self.folder, "*.mmstats"))
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        self.assertIn(b"requests", result.stdout)
        self.assertNotIn(b"unrelated", result.stdout)

    def test_a_file_that_cannot_be_read_is_reported_and_the_others_go_on(self):
        good = self.publish("good.mmstats", writer.counter("requests", 42))
        bad = {
            "missing.mmstats": lambda path: None,
            "folder.mmstats": os.mkdir,
            "fifo.mmstats": os.mkfifo,
            "link.mmstats": lambda path: os.symlink(good, path),
            "empty.mmstats": lambda path: pathlib.Path(path).touch(),
            "other.mmstats": lambda path: pathlib.Path(path).write_text("hello"),
        }
        for name, make in bad.items():
            with self.subTest(name):
                path = os.path.join(self.folder, name)
                make(path)
                for arguments in ([path, good], [good, path]):
                    result = run(*arguments)
                    self.assertEqual(result.returncode, 1)
                    self.assertIn(path.encode(), result.stderr)
                    self.assertNotIn(good.encode(), result.stderr)
                    self.assertIn(b"requests", result.stdout)

    def test_a_damaged_file_shows_what_precedes_the_damage_and_where_that_is(self):
        path = self.damage("cut.mmstats")
        result = run(path)
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"good", result.stdout)
        self.assertIn(path.encode(), result.stderr)
        result = run("--json", path)
        self.assertEqual(result.returncode, 1)
        (file,) = json.loads(result.stdout)
        self.assertEqual([field["label"] for field in file["fields"]], ["good"])
        (damage,) = file["damage"]
        offset = damage["offset"]
        data, _ = writer.encode([writer.counter("good", 7), writer.counter("cut", 8)])
        self.assertGreaterEqual(offset, data.index(b"cut") - 2)
        self.assertLessEqual(offset, os.path.getsize(path))
        self.assertTrue(damage["message"])

    def test_json_of_a_thousand_files_is_one_valid_array(self):
        for number in range(1000):
            self.publish(
                f"w{number:04}.mmstats",
                writer.counter("requests", 2**64 - 1 - number),
                writer.gauge("level", number + 0.25),
                writer.Field("lowest", "q", False, -(2**63)),
                writer.Field("busy", "?", False, number % 2 == 0),
                writer.gauge("odd", float("nan") if number % 2 else float("-inf")),
                writer.text("name", f'wörker "{number}" \\ \n'),
            )
        result = run("--json", MMSTATS_GLOB=os.path.join(self.folder, "*.mmstats"))
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        files = {os.path.basename(file["file"]): file for file in json.loads(result.stdout)}
        self.assertEqual(len(files), 1000)
        for number in range(1000):
            file = files[f"w{number:04}.mmstats"]
            self.assertEqual(file["damage"], [])
            fields = {field["label"]: field for field in file["fields"]}
            want = {
                "requests": ("Q", True, 2**64 - 1 - number),
                "level": ("d", True, number + 0.25),
                "lowest": ("q", False, -(2**63)),
                "busy": ("?", False, number % 2 == 0),
                "odd": ("d", True, None if number % 2 else "-inf"),
                "name": ("256s", False, f'wörker "{number}" \\ \n'),
            }
            for label, (type_text, buffered, value) in want.items():
                got = fields[label]
                self.assertEqual((got["type"], got["buffered"], got["value"]), (type_text, buffered, value), label)
                self.assertIs(type(got["value"]), type(value), label)

    def test_json_tells_the_family_and_the_dimensions_of_a_field(self):
        path = self.publish("a.mmstats", *writer.family("web.hits", ["method", "path"], {("GET", "a.b\n"): 3}))
        fields = {field["label"]: field for field in json.loads(run("--json", path).stdout)[0]["fields"]}
        self.assertEqual(
            fields["web.hits.GET.a%2Eb%0A"],
            {
                "label": "web.hits.GET.a%2Eb%0A",
                "type": "Q",
                "buffered": True,
                "value": 3,
                "family": "web.hits",
                "dimensions": {"method": "GET", "path": "a.b\n"},
            },
        )
        self.assertNotIn("family", fields["sys.metadata"])

    def test_json_stays_valid_whatever_labels_and_texts_hold(self):
        self.publish(
            "odd.mmstats",
            writer.Field(b"\xff\xfe invalid", "Q", True, 1),
            writer.Field(b"nul\0newline\nquote\"slash/", "Q", True, 2),
            writer.Field(b"x" * 65535, "Q", True, 3),
            writer.text("text", b"\xc3\x28 \xed\xa0\x80"),
        )
        result = run("--json", os.path.join(self.folder, "odd.mmstats"))
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        (file,) = json.loads(result.stdout.decode("utf-8", "strict"))
        self.assertEqual([f["value"] for f in file["fields"][:3]], [1, 2, 3])
        self.assertEqual(file["fields"][1]["label"], 'nul\0newline\nquote"slash/')

    def test_plain_output_cannot_command_the_terminal(self):
        label = "a\x1b[2Jb\rc\x7f\x9b\u202e\u2066"
        self.publish("odd.mmstats", writer.Field(label.encode(), "Q", True, 1), writer.text("t", "\x1b]0;x\x07\u202d\u200f"))
        result = run(os.path.join(self.folder, "odd.mmstats"))
        self.assertEqual(result.returncode, 0)
        self.assertNotRegex(result.stdout, rb"[\x00-\x09\x0b-\x1f\x7f-\xff]")
        self.assertIn(rb"c\x7F\xC2\x9B\xE2\x80\xAE\xE2\x81\xA6 ", result.stdout)
        # JSON has all of them, escaped.
        result = run("--json", os.path.join(self.folder, "odd.mmstats"))
        self.assertNotRegex(result.stdout, rb"[\x00-\x09\x0b-\x1f\x7f-\xff]")
        self.assertEqual(json.loads(result.stdout)[0]["fields"][0]["label"], label)
        # Nor do names of files.
        path = os.path.join(self.folder, "\u202egone")
        self.assertIn(rb"/\xE2\x80\xAEgone: ", run(path).stderr)

    def test_text_beyond_ascii_comes_out_as_it_is_in_every_locale(self):
        path = self.publish("a.mmstats", writer.text("name", "naïve café ☃"))
        for locale in ({}, {"LC_ALL": "C"}, {"LC_ALL": "C.UTF-8"}, {"LC_ALL": "no_SUCH.latin1"}):
            with self.subTest(locale):
                result = run(path, **locale)
                self.assertEqual((result.returncode, result.stderr), (0, b""))
                self.assertIn("naïve café ☃".encode(), result.stdout)

    def test_a_reader_that_leaves_early_is_no_error(self):
        # Far more than a pipe holds, so that the writing end surely meets the closed reading end.
        fields = [writer.text(f"field{number}", "x" * 200) for number in range(5000)]
        path = self.publish("a.mmstats", *fields)
        for arguments in ([path], ["--json", path]):
            with self.subTest(arguments):
                process = subprocess.Popen(
                    [SLURPSTATS, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
                )
                self.assertTrue(process.stdout.read(1))
                process.stdout.close()
                errors = process.stderr.read()
                process.stderr.close()
                code = process.wait(daemons.PATIENCE)
                self.assertEqual(errors, b"")
                self.assertIn(code, (0, -signal.SIGPIPE, 128 + signal.SIGPIPE))

    def test_output_that_cannot_be_written_is_an_error(self):
        path = self.publish("a.mmstats", writer.counter("requests", 42))
        with open("/dev/full", "wb") as full:
            result = subprocess.run([SLURPSTATS, path], stdout=full, stderr=subprocess.PIPE,
                                    timeout=daemons.PATIENCE, check=False)
        self.assertEqual(result.returncode, 1)
        self.assertTrue(result.stderr)

    def test_help_and_version_are_answers_and_an_unknown_option_is_not(self):
        for option in ("--help", "--version"):
            result = run(option)
            self.assertEqual((result.returncode, result.stderr), (0, b""), option)
            self.assertTrue(result.stdout)
        result = run("--no-such-option")
        self.assertNotEqual(result.returncode, 0)
        self.assertIn(b"--no-such-option", result.stderr)
        self.assertEqual(result.stdout, b"")


if __name__ == "__main__":
    unittest.main()
