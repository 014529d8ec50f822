"""packaging/prometheus/mmstats.rules.yml, judged by promtool: each alert is raised when it must be, says what it means,
and is not raised otherwise."""

import json
import os
import re
import subprocess
import unittest

import daemons
import yaml

RULES = os.path.join(daemons.HERE, "../../packaging/prometheus/mmstats.rules.yml")
HOST = {"job": "mmash", "instance": "web1:5002"}
SHOP = {"job": "mmash", "service": "shop"}


def series(name, values, **labels):
    """A series of promtool: `values` are of one a minute."""
    labels = HOST | labels
    text = ",".join(f'{key}="{value}"' for key, value in labels.items())
    return {"series": f"{name}{{{text}}}", "values": values}


def host(**values):
    """What mmash says of itself where nothing is wrong, but for what is given."""
    usual = {"files": 8, "dead_files": 0, "damaged_files": 0, "unreadable_files": 0, "unreadable_folders": 0,
             "put_off_files": 0, "put_off_folders": 0, "refused_series_total": 0, "look_seconds": 0.01}
    steady = {f"mmash_{name}": f"{value}x240" for name, value in usual.items()}
    steady |= {f"mmash_{name}": value for name, value in values.items()}
    return [series("up", "1x240"), *(series(name, value) for name, value in steady.items())]


def answers(per_minute, errors, name="shop_responses_total"):
    return [series(name, f"0+{per_minute - errors}x240", method="GET", status="200"),
            series(name, f"0+{errors}x240", method="GET", status="503")]


def latency(fast, slow, name="shop_latency_seconds"):
    """So many values a minute within 0.1 s, and within 4 s."""
    return [series(f"{name}_bucket", f"0+{fast}x240", le="0.1"), series(f"{name}_bucket", f"0+{fast}x240", le="2"),
            series(f"{name}_bucket", f"0+{fast + slow}x240", le="4"), series(f"{name}_bucket", f"0+{fast + slow}x240", le="+Inf")]


# Of each alert: what raises it, where the labels of the alert come from, and what its texts have for {{ ... }}; and what
# is near to that and does not raise it. After so many minutes.
RAISED = {
    "MmstatsServiceSilent": [
        ([series("shop_requests_total", "0+60x150 9000x90")], 180, SHOP, {"$labels.service": "shop"}),
        # The family of a middleware.
        ([series("shop_requests_total", "0+60x150 9000x90", method="GET", status="200")], 180, SHOP, {"$labels.service": "shop"}),
    ],
    "MmstatsErrors": [
        (answers(100, 10), 60, SHOP, {"$labels.service": "shop", "$value | humanizePercentage": "10%"}),
        (answers(100, 10, "shop_requests_total"), 60, SHOP, {"$labels.service": "shop", "$value | humanizePercentage": "10%"}),
    ],
    "MmstatsLatency": [
        (latency(90, 10), 60, SHOP, {"$labels.service": "shop", "$value | humanizeDuration": "3.8s"}),
        (latency(90, 10, "pinba_script_seconds"), 60, SHOP | {"service": "pinba_script"},
         {"$labels.service": "pinba_script", "$value | humanizeDuration": "3.8s"}),
    ],
    "MmstatsWorkersDie": [
        (host(dead_files="0x100 0+1x139"), 120, HOST, {"$labels.instance": "web1:5002", "$value | humanize": "19"}),
        # Somebody removes them every ten minutes.
        (host(dead_files="0x100 " + "0+1x9 " * 10), 141, HOST, {"$labels.instance": "web1:5002", "$value | humanize": "27"}),
    ],
    "MmstatsWorkersLost": [
        ([series("shop_workers_lost_total", "0+1x240")], 120, HOST | SHOP,
         {"$labels.service": "shop", "$labels.instance": "web1:5002", "$value | humanize": "30"}),
    ],
    "MmstatsNoWorkers": [
        (host(files="8x100 2x139", dead_files="0x100 2x139"), 120, HOST, {"$labels.instance": "web1:5002"}),
        (host(files="8x100 0x139"), 120, HOST, {"$labels.instance": "web1:5002"}),
    ],
    "MmstatsFilesDamaged": [(host(damaged_files="0x100 2x139"), 120, HOST, {"$labels.instance": "web1:5002", "$value": "2"})],
    "MmstatsFilesUnreadable": [
        (host(unreadable_files="0x100 2x139"), 120, HOST, {"$labels.instance": "web1:5002", "$value": "2"}),
        (host(unreadable_folders="0x100 1x139"), 120, HOST, {"$labels.instance": "web1:5002", "$value": "1"}),
    ],
    "MmstatsSeriesRefused": [(host(refused_series_total="0x100 5x139"), 120, HOST, {"$labels.instance": "web1:5002"})],
    "MmstatsFilesPutOff": [(host(put_off_files="0x100 3x139"), 140, HOST, {"$labels.instance": "web1:5002", "$value": "3"})],
    "MmashDown": [([series("up", "1x100 0x139")], 110, HOST, {"$labels.instance": "web1:5002"})],
    "MmashAbsent": [([series("up", "1x240", job="node")], 60, {"job": "mmash"}, {})],
    "MmashSlow": [(host(look_seconds="0.1x100 2.5x139"), 120, HOST,
                   {"$labels.instance": "web1:5002", "$value | humanizeDuration": "2.5s"})],
}
NOT_RAISED = {
    "MmstatsServiceSilent": [
        ([series("shop_requests_total", "0+60x240")], 180),
        # On one host of two; only just; and one that never counted.
        ([series("shop_requests_total", "0+60x150 9000x90"), series("shop_requests_total", "0+60x240", instance="web2:5002")], 180),
        ([series("shop_requests_total", "0+60x172 10320x90")], 180),
        ([series("shop_requests_total", "0x240")], 180),
        # Another program's.
        ([series("shop_requests_total", "0+60x150 9000x90", job="node")], 180),
    ],
    "MmstatsErrors": [
        (answers(100, 4), 60),
        (answers(5, 4), 60),  # in a minute: too few
        ([series("shop_requests_total", "0+60x240")], 60),  # which has no status
        # Totals that begin anew are no errors.
        ([series("shop_responses_total", "0+60x30 0+60x210", status="200"),
          series("shop_responses_total", "5x30 0x210", status="500")], 60),
    ],
    "MmstatsLatency": [(latency(1000, 5), 60), (latency(0, 0), 60)],
    "MmstatsWorkersDie": [
        (host(dead_files="0x100 4x139"), 120),
        (host(dead_files="100x240"), 120),  # long since
    ],
    "MmstatsWorkersLost": [([series("shop_workers_lost_total", "7x100 9x139")], 120)],
    "MmstatsNoWorkers": [(host(files="8x100 3x139", dead_files="0x100 2x139"), 120), (host(files="0x240"), 120)],
    "MmstatsFilesDamaged": [(host(damaged_files="0x100 2x5 0x139"), 108)],
    "MmstatsFilesUnreadable": [(host(unreadable_files="0x100 2x5 0x139"), 108)],
    "MmstatsSeriesRefused": [(host(refused_series_total="5x240"), 120)],
    "MmstatsFilesPutOff": [(host(put_off_files="0x100 3x10 0x139"), 125)],
    "MmashDown": [([series("up", "1x100 0x2 1x139")], 110), ([series("up", "1x100 0x139", job="node")], 110)],
    "MmashAbsent": [([series("up", "0x240")], 60)],
    "MmashSlow": [(host(look_seconds="0.1x240"), 120)],
}


def alerts():
    with open(RULES) as file:
        return {rule["alert"]: rule for group in yaml.safe_load(file)["groups"] for rule in group["rules"]}


class AlertsTest(unittest.TestCase):
    def promtool(self, *arguments):
        result = subprocess.run([daemons.program("promtool"), *arguments], capture_output=True, text=True, check=False)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        return result.stdout

    def judge(self, cases):
        """`cases`: (alert, minutes, series, alerts that are expected then). All in one run, which tells each that fails."""
        test = {
            "rule_files": [RULES],
            "evaluation_interval": "1m",
            "tests": [{"interval": "1m", "input_series": given,
                       "alert_rule_test": [{"eval_time": f"{minutes}m", "alertname": name, "exp_alerts": expected}]}
                      for name, minutes, given, expected in cases],
        }  # fmt: skip
        with daemons.workspace() as workspace:
            path = os.path.join(workspace, "test.yml")
            with open(path, "w") as file:
                json.dump(test, file)  # which is YAML
            self.promtool("test", "rules", path)

    def test_promtool_finds_no_mistake(self):
        self.assertIn(f"{len(alerts())} rules found", self.promtool("check", "rules", RULES))

    def test_each_alert_is_raised_and_says_what_it_means(self):
        self.assertEqual(set(RAISED), set(alerts()))
        cases = []
        for name, rule in alerts().items():
            for given, minutes, labels, values in RAISED[name]:
                texts = {key: re.sub(r"\{\{ (.+?) \}\}", lambda match: values[match[1]], text)
                         for key, text in rule["annotations"].items()}
                cases.append((name, minutes, given, [{"exp_labels": labels | rule["labels"], "exp_annotations": texts}]))
        self.judge(cases)

    def test_no_alert_is_raised_without_its_reason(self):
        self.assertEqual(set(NOT_RAISED), set(alerts()))
        well = host() + answers(100, 1) + latency(100, 0)
        self.judge([(name, minutes, given, []) for name, cases in NOT_RAISED.items() for given, minutes in [*cases, (well, 120)]])

    def test_each_alert_tells_what_to_do(self):
        for name, rule in alerts().items():
            with self.subTest(alert=name):
                self.assertIn(rule["labels"]["severity"], ("critical", "warning"))
                self.assertEqual(set(rule["annotations"]), {"summary", "description"})
                self.assertLess(len(rule["annotations"]["summary"]), 90)
                self.assertGreater(len(rule["annotations"]["description"]), 100)


if __name__ == "__main__":
    unittest.main()
