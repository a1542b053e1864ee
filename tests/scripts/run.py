"""Runs the tests of one file here, or of all: `python3 tests/scripts/run.py [NAME]`."""

import os
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path[:0] = [HERE, os.path.join(os.path.dirname(os.path.dirname(HERE)), "gdb")]

if __name__ == "__main__":
    names = sys.argv[1:]
    tests = unittest.defaultTestLoader
    suite = tests.loadTestsFromNames(names) if names else tests.discover(HERE)
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    sys.exit(not result.wasSuccessful() or result.testsRun == 0)
