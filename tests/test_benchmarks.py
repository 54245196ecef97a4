"""The scripts in benchmarks/ are not run by the tests, but they must at least start."""

import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def test_every_benchmark_can_be_imported():
    code = "import runpy, sys\nfor path in sys.argv[1:]: runpy.run_path(path, run_name='imported')"
    scripts = map(str, sorted(BENCHMARKS.glob("*.py")))
    done = subprocess.run([sys.executable, "-c", code, *scripts], cwd=BENCHMARKS, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
