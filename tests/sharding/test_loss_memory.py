"""The loss's memory on TPUs that are not there: what `auto` takes needs at most a fourth of what all pairs at once need."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "loss_memory.py"


@pytest.mark.skipif(os.environ.get("DIPTYCH_PLAN") != "1", reason="compiles for TPUs; DIPTYCH_PLAN=1 runs it, with libtpu installed")
def test_the_form_that_is_chosen_needs_a_fourth_of_the_naive_one():
    pytest.importorskip("libtpu", reason="libtpu, the compiler for TPUs, is not installed: pip install '.[plan]'")
    given = [sys.executable, BENCHMARK, "--topology", "v5e:2x4", "--batch", "32768", "--form", "naive", "chunked", "ring", "--json"]
    done = subprocess.run(given, capture_output=True, text=True, check=True)
    results = json.loads(done.stdout.splitlines()[-1])
    (naive,) = (result["temp_mib"] for result in results if result["form"] == "naive")
    (chosen,) = (result["temp_mib"] for result in results if result["auto"])
    (ring,) = (result["temp_mib"] for result in results if result["form"] == "ring")
    assert 4 * chosen <= naive
    assert 30 * ring <= naive
