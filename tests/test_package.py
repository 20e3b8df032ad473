import ast
import re
import runpy
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import diptych

ROOT = Path(__file__).resolve().parents[1]
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


def setup_arguments(monkeypatch):
    """What setup.py says of the package."""
    said = {}
    monkeypatch.setattr("setuptools.setup", said.update)
    monkeypatch.chdir(ROOT)
    runpy.run_path("setup.py")
    return said


def imported(tree):
    """The top-level names that a module imports from elsewhere: when it is loaded, and at any time."""

    def names(nodes):
        for node in nodes:
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                yield (node.module or "").partition(".")[0]

    return set(names(tree.body)), set(names(ast.walk(tree)))


def test_everything_that_is_imported_is_asked_for(monkeypatch):
    said = setup_arguments(monkeypatch)
    always, extra = ({re.match(r"[\w-]+", line)[0].lower().replace("-", "_") for line in lines} for lines in requirements(said))
    homes = {name: {home.lower().replace("-", "_") for home in found} for name, found in metadata.packages_distributions().items()}
    for package in said["packages"]:
        folder = ROOT / said["package_dir"].get(package, ".")
        for path in folder.glob("*.py"):
            if path.name in ("setup.py", "conftest.py"):
                continue
            now, later = imported(ast.parse(path.read_text()))
            for name in (now | later) - set(sys.stdlib_module_names):
                allowed = always if name in now else always | extra
                assert homes.get(name, {name}) & allowed, f"{path} imports {name}, which setup.py does not ask for"


def requirements(said):
    """The lines of install_requires, and those of all extras."""
    return said["install_requires"], [line for lines in said["extras_require"].values() for line in lines]
