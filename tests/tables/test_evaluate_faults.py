"""A run can be killed at any instant. The long form of this is `make stress`."""

import re
import subprocess
import sys
from pathlib import Path

WORKER = Path(__file__).parents[1] / "stress" / "faults.py"


def test_killed_interrupted_and_full_disks_lose_nothing(tmp_path):
    command = [sys.executable, "-W", "error", WORKER, tmp_path, "--kills", "5", "--seed", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(r"(\d+) kills in \d+ runs of \d+ tables, all equal", done.stdout)
    assert found, done.stdout
    assert int(found[1]) >= 5
