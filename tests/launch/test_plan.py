"""`diptych plan` from the command line, on the tests' own eight devices as if they were a topology."""

import contextlib
import dataclasses
import io
import json
import re
import shlex
from pathlib import Path

import jax
import pytest

from diptych.launch import plan as verb
from diptych.launch.cli import main
from diptych.launch.plan_plot import memory_parts
from diptych.sharding import topology
from diptych.sharding.hardware import V5E

ROOT = Path(__file__).resolve().parents[2]
TINY = f"{ROOT / 'tests/tiny.py'}:nowhere"
COMMANDS = re.findall(r"^ {4}(diptych plan .*)$", (ROOT / "docs/planner.md").read_text(), re.M)


def here(name="here:8"):
    hardware = dataclasses.replace(V5E, name="here", platform="cpu")
    return topology.Topology(name=name, hardware=hardware, devices=tuple(jax.devices()), granules=1, compiler="jaxlib")


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """What `diptych plan` printed of the tiny recipe, the folder that it wrote to, and the JSON; the search stops at the recipe itself."""
    folder = tmp_path_factory.mktemp("plan")
    command = [
        "plan",
        "--config",
        TINY,
        "--topology",
        "here:8",
        "--json",
        "--plot",
        str(folder / "plots/plan.png"),
        "--workdir",
        str(folder / "run"),
    ]
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as printed:
        patch.setattr(topology, "find_topology", here)
        assert main([*command, "--search", "batch", "--compiles", "1", "--config.mesh.replica=2", "--config.train.remat=full"]) == 0
    return printed.getvalue(), folder, json.loads(printed.getvalue().splitlines()[-1])


def test_a_plan_has_memory_flops_roofline_and_speed(planned):
    _, _, values = planned
    assert values["mesh"] == {"replica": 2, "fsdp": 4, "tensor": 1} and values["devices"] == 8 and values["fits"]
    arguments = sum(values["arguments_gib"].values())
    assert arguments < values["peak_hbm_gib"] <= 1.01 * (arguments + values["temporaries_gib"] + values["outputs_gib"])
    assert {"params image", "params text", "opt image", "batch"} <= set(values["arguments_gib"])
    assert values["recomputed_tflops_per_step"] > 0
    assert sum(values["argument_bytes"].values()) / 2**30 == pytest.approx(arguments, rel=0.1), "groups below a KiB are left out"
    slowest = max(values[f"{part}_ms"] for part in ("compute", "hbm", "link", "network"))
    assert values[f"{values['binds']}_ms"] == slowest
    assert values["samples_per_second"] == pytest.approx(32 / slowest * 1e3)
    peak = 8 * V5E.peak_bf16_tflops
    assert values["mfu_ceiling"] == pytest.approx(values["model_tflops_per_step"] / (slowest / 1e3 * peak))
    assert values["days"] * 86_400 == pytest.approx(12 * slowest / 1e3)
    assert values["loss_form"].startswith("gather") and values["loss_sent_mib"] > 0


def test_a_plan_is_printed_drawn_and_kept(planned):
    printed, folder, values = planned
    for said in ("model.image.blocks.layers.mlp.up", "all-gather", "memory of a device", "peak_hbm_gib"):
        assert said in printed
    assert (folder / "plots/plan.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((folder / "run/plan.json").read_text()) == values


def test_a_search_ends_with_its_frontier(planned):
    printed, _, values = planned
    [row] = values["frontier"]
    assert row["on_frontier"] and (row["batch_size"], row["remat"], row["mesh"]) == (32, "full", values["mesh"])
    assert row["samples_per_second"] == values["samples_per_second"]
    assert printed.rindex("1 step compiled for the largest batch") > printed.rindex("usable_hbm_gib  ")


def test_the_bar_is_of_all_that_a_device_holds(planned):
    values = planned[2]
    parts = memory_parts(values)
    held = sum(values["arguments_gib"].values()) + sum(values[f"{part}_gib"] for part in ("temporaries", "outputs", "program"))
    assert sum(parts.values()) == pytest.approx(held)
    split = memory_parts(values | {"activations_gib": 1.0, "loss_gib": 2.0})
    assert (split["activations"], split["loss"]) == (1.0, 2.0) and "temporaries" not in split


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "--config is not given"),
        (["--config", TINY], "--topology is not given; accepted is NAME:SIZE, such as v5e:16x16 or h100:64x8"),
        (["--config", TINY, "--topology", "v9:4x4"], "--topology = v9:4x4 is not known; accepted is NAME:SIZE with NAME among v4, v5e"),
        (["--config", TINY, "--topology", "here:8", "--search", "memory"], "invalid choice: 'memory'"),
        (["--config", TINY, "--topology", "here:8", "--compiles", "0"], "--compiles = 0 is out of range; accepted is an integer from 1 on"),
        (
            ["--config", TINY, "--topology", "here:8", "--compiles", "3"],
            "--compiles = 3 is of --search, which is absent; accepted is --search",
        ),
        (["--config", TINY, "--topology", "here:8", "--plot", "/proc/x/plan.png"], "--plot = /proc/x/plan.png cannot be written"),
        (
            ["--config", TINY, "--topology", "here:8", "--plot", "plan.pgf"],
            "--plot = plan.pgf is no picture; accepted is a file that ends in .png, .svg or .pdf",
        ),
        (["--config", TINY, "--topology", "here:8", "--plot", "plan"], "--plot = plan is no picture"),
        (
            ["--config", TINY, "--topology", "here:8", "--config.train.batch_size=36"],
            "train.batch_size = 36 is not divisible by mesh.replica x mesh.fsdp = 8",
        ),
        (
            ["--config", TINY, "--topology", "here:8", "--config.mesh.fsdp=16"],
            "mesh.replica = 1 x mesh.fsdp = 16 x mesh.tensor = 1 asks for 16 devices, but there are 8",
        ),
        (
            ["--config", TINY, "--topology", "here:8", "--config.mesh.fsdp=4"],
            "mesh.replica x mesh.fsdp x mesh.tensor = 4 leaves out devices of --topology = here:8; accepted is a product of 8",
        ),
        (["--golden"], "--golden finds no folder tests/golden here; accepted is to run it in a checkout of diptych"),
    ],
)
def test_a_mistake_is_one_sentence(argv, said, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    found = topology.find_topology
    monkeypatch.setattr(topology, "find_topology", lambda name: here(name) if name == "here:8" else found(name))
    assert main(["plan", *argv]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and said in lines[0]


@pytest.mark.parametrize(
    "more",
    [
        ["--topology", "v5e:4x4"],
        ["--search", "batch"],
        ["--compiles", "3"],
        ["--plot", "plan.png"],
        ["--workdir", "run"],
        ["--split"],
        ["--config.train.batch_size=64"],
    ],
    ids=" ".join,
)
def test_goldens_take_no_settings(more, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(verb, "compile_only", lambda: pytest.fail("went on"))
    assert main(["plan", "--golden", "--config", "quickstart", *more]) == 2
    said = " = ".join(more)
    assert capsys.readouterr().err == (
        f"diptych: {said} does not go with --golden, which compiles what the test suite does; accepted is --config NAME or nothing\n"
    )


def test_a_golden_of_another_recipe_is_refused(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert main(["plan", "--golden", "--config", TINY]) == 2
    assert "is no recipe of diptych; accepted are clip_emoji" in capsys.readouterr().err


class Reached(Exception):
    """All arguments were accepted."""


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_of_the_page_are_accepted(command, monkeypatch, tmp_path):
    def reached():
        raise Reached

    (tmp_path / "tests/golden").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(verb, "compile_only", reached)
    with pytest.raises(Reached):
        main(shlex.split(command)[1:])
