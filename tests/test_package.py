import subprocess
import sys

import diptych

IMPORT = """
import sys, time
start = time.perf_counter()
import {module}
print(time.perf_counter() - start, *sys.modules)
"""


def fresh_import(module):
    """Seconds that the import took in a new process (the least of three), and what it pulled in."""
    runs = [
        subprocess.run([sys.executable, "-c", IMPORT.format(module=module)], capture_output=True, text=True, check=True) for _ in range(3)
    ]
    words = [run.stdout.split() for run in runs]
    return min(float(seconds) for seconds, *_ in words), set(words[0][1:])


def test_import_is_quick_and_without_jax():
    seconds, modules = fresh_import("diptych")
    assert seconds < 0.3
    assert not {"jax", "numpy", "flax"} & modules


def test_the_door_needs_no_jax():
    _, modules = fresh_import("diptych.launch.cli, diptych.launch.sweep, diptych.launch.train, diptych.launch.eval, diptych.launch.export")
    assert "diptych.pretrain.recipe" in modules
    assert not {"jax", "flax", "optax", "grain"} & modules


def test_public_names_are_listed():
    assert {"load", "Encoder", "UserError", "__version__"} <= set(dir(diptych))
    assert diptych.UserError.__name__ == "UserError"
