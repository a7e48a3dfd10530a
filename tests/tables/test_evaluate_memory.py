"""Peak memory does not grow with the number of samples; the full size is `benchmarks/memory.py`."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def peak(samples):
    command = [sys.executable, "-m", "benchmarks.memory", "--one", str(samples)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_ten_times_the_samples_need_no_more_memory():
    small, large = peak(600), peak(6000)
    assert large["read"] > 175 * 2**20  # what would be there if inputs were kept
    assert large["peak"] < 1.1 * small["peak"], (small, large)
