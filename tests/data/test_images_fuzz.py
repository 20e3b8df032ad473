"""A slice of the fuzz of images, in a process of its own: bounded memory, and a crash is seen."""

import json
import subprocess
import sys
from pathlib import Path

COUNT = 500


def test_mutated_images_are_images_or_bad_samples():
    script = Path(__file__).parent / "fuzz_images.py"
    run = subprocess.run([sys.executable, script, "--count", str(COUNT), "--seed", "7"], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr[-3000:]
    found = json.loads(run.stdout)
    assert found["good"] + found["bad"] == COUNT
    assert found["good"] > COUNT / 5 and found["bad"] > COUNT / 5  # the mutations are neither harmless nor all fatal
