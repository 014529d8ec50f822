"""Runs one test file as it would run itself: run_file.py FILE

Ends with 77, which ctest counts as skipped, if all of its tests were skipped, and with 1 if it had none.
"""
import os
import runpy
import sys
import unittest

unittest_main = unittest.main


def main():
    result = unittest_main(exit=False).result
    for test, reason in result.skipped:
        print(f"skipped: {test}: {reason}", file=sys.stderr)
    if not result.wasSuccessful() or result.testsRun + len(result.skipped) == 0:
        sys.exit(1)
    sys.exit(77 if result.testsRun <= len(result.skipped) else 0)


unittest.main = main
del sys.argv[0]
sys.path.insert(0, os.path.dirname(os.path.abspath(sys.argv[0])))
runpy.run_path(sys.argv[0], run_name="__main__")
