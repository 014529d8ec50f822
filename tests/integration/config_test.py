"""What an administrator writes in collectd.conf, and what comes of it in the real daemon."""

import os
import statistics
import subprocess
import time
import unittest

import daemons
import mmstats_writer as writer
import own_pids

# Each mistake on a line of its own, and the word beside the block's name that must be in the message.
MISTAKES = [
    ("Colour blue", "Colour"),
    ('Interval "often"', "Interval"),
    ("Interval -1", "Interval"),
    ('Path "relative/*.mmstats"', "Path"),
    ('Include "un(closed"', "Include"),
    ('Ignore "[z-a]"', "Ignore"),
    ('Aggregate "median"', "Aggregate"),
    ("MaxFileSize 0", "MaxFileSize"),
    ('MaxFileSize "16X"', "MaxFileSize"),
    ('MaxFiles "many"', "MaxFiles"),
    ('Stale "burn"', "Stale"),
    ('ReportSelf "perhaps"', "ReportSelf"),
    ("StripPrefix 3", "StripPrefix"),
    ('<Metric "a.*">\n  Kind "sandwich"\n</Metric>', "Kind"),
    ('<Metric "b.*">\n  Type "no_such_type"\n</Metric>', "no_such_type"),
    ('<Metric "c.*">\n  Type "if_octets"\n</Metric>', "if_octets"),
    ('<Metric "d.*">\n  Scale "double"\n</Metric>', "Scale"),
    ('<Metric "e.*">\n  Aggregate "mode"\n</Metric>', "Aggregate"),
    ('<Metric "f.*">\n  TypeInstance "\\\\3"\n</Metric>', "TypeInstance"),
    ('<Metric "g(.*">\n  Kind "gauge"\n</Metric>', "g(.*"),
    ("<Metric 5>\n  Kind \"gauge\"\n</Metric>", "Metric"),
]


def files(instance, *options):
    return "\n".join([f'<Files "{instance}">', *options, "</Files>"])


class Owner:
    """A process that does nothing but own files, until it is killed."""

    def __init__(self):
        argv = ["setpriv", "--pdeathsig", "KILL", "sleep", "3600"]
        self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
        self.pid = self._process.pid

    def kill(self):
        if self._process.returncode is None:
            self._process.kill()
            self._process.wait()


class ConfigTest(unittest.TestCase):
    def setUp(self):
        context = daemons.workspace()
        self.workspace = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        self.folder = os.path.join(self.workspace, "run")
        os.mkdir(self.folder)
        self.glob = f'Path "{self.folder}/*.mmstats"'

    def publish(self, name, *fields, prefix="", **sys_values):
        path = os.path.join(self.folder, f"{name}.mmstats")
        return writer.MmstatsFile(path, fields, prefix=prefix, **sys_values)

    def owner(self):
        owner = Owner()
        self.addCleanup(owner.kill)
        return owner

    def collectd(self, *blocks, **options):
        options.setdefault("interval", 0.2)
        config = daemons.mmstats_block(self.workspace, "\n".join(blocks))
        return daemons.Collectd(self.workspace, config, **options)

    def mistaken(self):
        """A block with all mistakes, in which the rest works, and one without any."""
        options = [mistake for mistake, _ in MISTAKES]
        sound = [self.glob, 'Include "level"', 'StripPrefix "app."']
        return [files("web", *options, *sound), files("good", self.glob)]

    def check(self, *blocks):
        """What collectd -T says, line by line."""
        collectd = self.collectd(*blocks)
        config = os.path.join(collectd.folder, "collectd.conf")
        result = subprocess.run(
            [daemons.program("collectd"), "-T", "-C", config],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=daemons.PATIENCE,
            check=False,
        )
        with open(os.path.join(collectd.folder, "messages")) as log:
            lines = (result.stdout.decode() + log.read()).splitlines()
        self.assertEqual(result.returncode, 0, lines)
        return lines

    def test_the_check_of_a_configuration_names_block_and_option_of_each_mistake(self):
        # All that is no mistake is there.
        self.publish("a", *(writer.gauge(label, 2.5) for label in ("level", *"abcdef")), prefix="app.")
        lines = self.check(*self.mistaken())
        told = [line for line in lines if '<Files "web">' in line]
        for mistake, word in MISTAKES:
            with self.subTest(mistake):
                value = mistake.split("\n")[0].split(" ", 1)[-1].strip('<>"').removeprefix('Metric "')
                matching = [line for line in told if word in line and value.strip('"') in line]
                self.assertTrue(matching, "\n".join(told))
        # One message each, and the sound block has none but what it reads.
        self.assertLessEqual(len(told), len(MISTAKES) + 1, "\n".join(told))
        self.assertEqual([line for line in lines if '<Files "good">' in line and "reads" not in line], [])

    def test_the_check_says_in_one_line_each_what_is_not_there_and_what_collectd_made_of_it(self):
        self.publish("web-1", writer.counter("shop.status.200", 5), writer.counter("shop.requests", 5))
        options = [
            (rf'Path "{self.folder}/{{web,api}}-*.mmstats"', f'0 files match now: Path "{self.folder}/api-*.mmstats"'),
            (f'Path "{self.folder}"', f'Path "{self.folder}" is left out: it is a folder; for the files in it '
                                      f'write "{self.folder}/*.mmstats"'),
            ('Path "/no/such/folder/*.mmstats"', "/no/such/folder: does not exist; its files are read as soon as "
                                                 "there are any"),
            ('StripPrefix "shopp"', 'StripPrefix "shopp" matched no label of '),
            ('Include "shop.*"', None),
            ('Include "db[.].*"', 'Include "db[.].*" matched no label of '),
            # As it was written, before collectd took the backslashes away.
            ('<Metric "shop\\.status\\.\\d+">\nScale 2\n</Metric>',
             '<Metric "shop.status.d+">: the pattern: "d" stands for the letter itself; if it was meant as the class '
             '\\d, write \\\\d, as collectd removes one backslash'),
            ('<Metric "shop[.]queries">\nScale 2\n</Metric>', '<Metric "shop[.]queries"> matched no label of '),
        ]
        lines = self.check(files("shop", *(option for option, _ in options)))
        told = [line for line in lines if '<Files "shop">' in line and "reads" not in line]
        for option, text in options:
            with self.subTest(option):
                if text is not None:
                    self.assertEqual(len([line for line in told if text in line]), 1, "\n".join(told))
        matched = [line for line in told if "matched no label of " in line]
        self.assertEqual(len(matched), 4, matched)  # that of shop.status.d+ is the fourth
        self.assertTrue(all(line.endswith(', such as "shop.requests"') or line.endswith(', such as "shop.status.200"')
                            for line in matched), matched)
        self.assertEqual(len(told), 8, "\n".join(told))

    def test_a_file_that_cannot_be_opened_is_counted_and_a_folder_that_cannot_be_listed_is_no_failure(self):
        os.symlink("circle", os.path.join(self.folder, "circle"))
        circle = files("circle", f'Path "{self.folder}/circle/*"', "ReportSelf true")
        with self.collectd(circle) as collectd:
            # Were it a failure, collectd would wait twice as long each time: 0.2, 0.4, 0.8, 1.6, 3.2 s.
            samples = daemons.wait_until(
                lambda: len(got := collectd.samples("mmstats-circle/count-unreadable_folders")) >= 8 and got,
                "eight looks",
            )
            self.assertEqual({value for _, value in samples}, {1})
            self.assertFalse([line for line in collectd.log().splitlines() if "Will suspend" in line])
            self.assertEqual(len([line for line in collectd.log().splitlines() if "/circle: " in line]), 1)

    def test_what_is_sound_beside_mistakes_works(self):
        self.publish("a", writer.gauge("level", 2.5), prefix="app.")
        with self.collectd(*self.mistaken()) as collectd:
            collectd.wait_for("mmstats-web/gauge-level", 2.5)
            collectd.wait_for("mmstats-good/gauge-app.level", 2.5)

    def test_a_block_that_cannot_be_used_does_not_stop_the_others(self):
        self.publish("a", writer.gauge("level", 2.5))
        with self.collectd(
            files("nowhere", 'Path "relative"'), files("nothing", self.glob, 'Include "("'), files("good", self.glob)
        ) as collectd:
            collectd.wait_for("mmstats-good/gauge-level", 2.5)
            self.assertFalse([name for name in collectd.names() if "nowhere" in name or "nothing" in name])

    def test_the_module_alone_reads_what_mmstats_glob_names(self):
        self.publish("a", writer.gauge("level", 2.5), writer.counter("requests", 7))
        env = {"MMSTATS_GLOB": f"{self.folder}/*.mmstats"}
        with self.collectd(env=env) as collectd:
            collectd.wait_for("mmstats/gauge-level", 2.5)
            collectd.wait_for("mmstats/derive-requests", 7)

    def test_each_block_has_its_own_interval(self):
        self.publish("a", writer.gauge("level", 2.5))
        blocks = [files("fast", self.glob, "Interval 0.1"), files("slow", self.glob, "Interval 0.5")]
        with self.collectd(*blocks, interval=10) as collectd:
            for name, interval in (("fast", 0.1), ("slow", 0.5)):

                def kept():
                    # On a busy machine some are late: the more there are, the less that is of their median.
                    times = [when for when, _ in collectd.samples(f"mmstats-{name}/gauge-level")]
                    steps = [after - before for before, after in zip(times, times[1:])]
                    return len(steps) >= 5 and abs(statistics.median(steps) - interval) <= interval * 0.3

                daemons.wait_until(kept, f"the interval of {name}")

    def test_workers_kept_apart_are_named_by_slots_that_their_successors_take_over(self):
        with self.collectd(files("web", self.glob, 'Aggregate "none"')) as collectd:
            first, second = self.owner(), self.owner()
            self.publish("first", writer.gauge("level", 1000), pid=first.pid)
            self.publish("second", writer.gauge("level", 2000), pid=second.pid)

            def slots():
                """The values of all slots that are alive, at the look before the last: that is being written."""
                names = [name for name in collectd.names() if name.startswith("mmstats-web/")]
                samples = {name: dict(collectd.samples(name)) for name in names}
                whole = sorted(set().union(*samples.values()))[-2:-1]
                return {name: of[when] for name, of in samples.items() for when in whole if when in of}

            want = {"mmstats-web/gauge-level-0", "mmstats-web/gauge-level-1"}
            daemons.wait_until(lambda: sorted(slots().values()) == [1000, 2000], "both workers have a slot")
            self.assertEqual(set(slots()), want)
            kept = next(name for name, value in slots().items() if value == 1000)
            for value in range(3000, 6000, 1000):
                second.kill()
                os.unlink(os.path.join(self.folder, "second.mmstats"))
                daemons.wait_until(lambda: list(slots().values()) == [1000], "the dead worker's slot is silent")
                second = self.owner()
                self.publish("second", writer.gauge("level", value), pid=second.pid)
                daemons.wait_until(lambda: sorted(slots().values()) == [1000, value], f"{value} has a slot")
                self.assertEqual(set(slots()), want, "no slot for each process that ever was")
                self.assertEqual(slots()[kept], 1000, "the other worker keeps its slot")

    @unittest.skipUnless(own_pids.entered(), "collectd may not look at all processes here")
    def test_stale_files_are_removed_once_folded_and_no_others(self):
        dead, alive = self.owner(), self.owner()
        self.publish("dead", writer.counter("requests", 5), pid=dead.pid).close()
        self.publish("alive", writer.counter("requests", 7), pid=alive.pid).close()
        # As another pid namespace writes it: nobody here has it, but somebody maps the file.
        mapped = self.publish("mapped", writer.counter("requests", 11), pid=dead.pid)
        self.publish("unknown", writer.counter("requests", 13), with_sys=False).close()
        dead.kill()
        blocks = [files("kept", self.glob), files("removed", self.glob, 'Stale "remove"')]
        with self.collectd(*blocks) as collectd:
            daemons.wait_until(lambda: "dead.mmstats" not in os.listdir(self.folder), "the dead's file is removed")
            for name in ("kept", "removed"):
                collectd.wait_for(f"mmstats-{name}/derive-requests", 5 + 7 + 11 + 13)
            # Several looks later, the others are still there.
            seen = len(collectd.samples("mmstats-removed/derive-requests"))
            daemons.wait_until(
                lambda: len(collectd.samples("mmstats-removed/derive-requests")) > seen + 5, "five more looks"
            )
            self.assertEqual(
                sorted(os.listdir(self.folder)), ["alive.mmstats", "mapped.mmstats", "unknown.mmstats"]
            )
            for name in ("kept", "removed"):
                self.assertEqual(collectd.last(f"mmstats-{name}/derive-requests"), 36)
        mapped.close()

    def test_the_plugin_reports_on_itself_where_it_is_told_to(self):
        self.publish("a", writer.gauge("level", 2.5))
        self.publish("b", writer.gauge("level", 2.5), writer.counter("requests", 1))
        with open(os.path.join(self.folder, "damaged.mmstats"), "wb") as file:
            file.write(b"\x01\xff\xff")
        blocks = [files("web", self.glob, "ReportSelf true"), files("silent", self.glob)]
        with self.collectd(*blocks) as collectd:
            collectd.wait_for("mmstats-web/count-files", 3)
            collectd.wait_for("mmstats-web/count-series", 2)
            collectd.wait_for("mmstats-web/count-damaged_files", 1)
            collectd.wait_for("mmstats-web/errors-unstable_values", 0)
            daemons.wait_until(lambda: 0 < (collectd.last("mmstats-web/duration-scan") or 0) < 1, "the scan's time")
            silent = {name for name in collectd.names() if name.startswith("mmstats-silent/")}
            self.assertEqual(silent, {"mmstats-silent/gauge-level", "mmstats-silent/derive-requests"})

    def test_metrics_get_the_kind_type_name_and_scale_that_their_rule_says(self):
        self.publish(
            "a",
            writer.counter("status.200", 5),
            writer.counter("status.404", 7),
            writer.gauge("queue.ms", 1500.0),
            writer.Field("connections", "Q", True, 40),
            writer.gauge("secret.value", 1.0),
            writer.gauge("noise.value", 1.0),
            prefix="app.",
        )
        rules = r"""
  StripPrefix "app"
  Include "status.*" "queue.*" "connections" "noise.*"
  Ignore "noise.*"
  <Metric "status[.](\\d)(\\d+)">
    Type "http_requests"
    TypeInstance "\\1xx-\\2"
  </Metric>
  <Metric "queue.ms">
    Type "duration"
    TypeInstance "queue"
    Scale 0.001
  </Metric>
  <Metric "connections">
    Kind "gauge"
  </Metric>"""
        with self.collectd(files("web", self.glob, rules)) as collectd:
            collectd.wait_for("mmstats-web/http_requests-2xx-00", 5)
            collectd.wait_for("mmstats-web/http_requests-4xx-04", 7)
            collectd.wait_for("mmstats-web/duration-queue", 1.5)
            collectd.wait_for("mmstats-web/gauge-connections", 40)
            self.assertEqual(len([name for name in collectd.names() if name.startswith("mmstats-web/")]), 4)

    def test_an_empty_type_instance_is_none_and_who_has_the_same_identity_is_told_once(self):
        self.publish(
            "a",
            writer.counter("requests", 7),
            writer.counter("errors.read", 1),
            writer.counter("errors.write", 2),
            writer.gauge("level", 2.5),
            writer.gauge("depth", 3.5),
            writer.gauge("temperature", 20.5),
        )
        rules = r"""
  <Metric "requests">
    Type "http_requests"
    TypeInstance ""
  </Metric>
  <Metric "errors[.].*">
    Type "errors"
    TypeInstance ""
  </Metric>
  <Metric "level">
    TypeInstance ""
  </Metric>
  <Metric "depth">
    Type "gauge"
    TypeInstance ""
  </Metric>
  <Metric "(.*)temperature">
    Type "temperature"
    TypeInstance "\\1"
  </Metric>"""
        with self.collectd(files("web", self.glob, rules)) as collectd:
            collectd.wait_for("mmstats-web/http_requests", 7)
            collectd.wait_for("mmstats-web/errors", 3)
            collectd.wait_for("mmstats-web/temperature", 20.5)
            # Two rules make one identity: who is found first has it.
            names = daemons.wait_until(
                lambda: len(found := [name for name in collectd.names() if name.startswith("mmstats-web/gauge")]) == 2 and found,
                "both are sent",
            )
            self.assertIn("mmstats-web/gauge", names)
            self.assertEqual(sorted(collectd.last(name) for name in names), [2.5, 3.5])
            other = max(names, key=len).removeprefix("mmstats-web/")
            told = [line for line in collectd.log().splitlines() if "without a type instance" in line]
            self.assertEqual(len(told), 1, told)
            self.assertIn(f'"gauge" without a type instance, which another series of the block has; it is sent as "{other}"', told[0])

    def test_workers_are_put_together_as_the_block_and_its_rules_say(self):
        for number, value in enumerate((0, 2, 10)):
            fields = [writer.Field(label, "I", True, value) for label in ("sum", "avg", "min", "max", "nmin", "navg")]
            self.publish(f"w{number}", *fields)
        rules = [
            f'<Metric "{label}">\nAggregate "{word}"\n</Metric>'
            for label, word in (("sum", "sum"), ("min", "min"), ("max", "max"), ("nmin", "nonzero-min"),
                                ("navg", "nonzero-avg"))
        ]
        with self.collectd(files("web", self.glob, 'Aggregate "avg"', *rules)) as collectd:
            for label, want in {"sum": 12, "avg": 4, "min": 0, "max": 10, "nmin": 2, "navg": 6}.items():
                collectd.wait_for(f"mmstats-web/gauge-{label}", want)

    def test_it_stops_at_once_whatever_it_was_told(self):
        self.publish("a", writer.gauge("level", 2.5))

        def took():
            with self.collectd(files("web", self.glob, "Interval 3600"), interval=3600, name=f"collectd-{time.monotonic()}") as collectd:
                daemons.wait_until(lambda: collectd.samples("mmstats-web/gauge-level"), "the first report")
                began = time.monotonic()
                collectd.stop()
                return time.monotonic() - began

        self.assertTrue(daemons.is_quick(5, took))


if __name__ == "__main__":
    own_pids.enter()
    unittest.main()
