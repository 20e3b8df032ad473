"""Every code block of the README is run: here, or, where it is marked `ci`, by .ci/run."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from diptych import configs

ROOT = Path(__file__).resolve().parents[1]
BLOCKS = [(tag, code) for tag, code in re.findall(r"```\w+ (\S+)\n(.*?)```", (ROOT / "README.md").read_text(), re.S)]
DATA = ROOT / "../shared/data"

SENTENCEPIECE = [
    "--config.data.tokenizer.kind=sentencepiece",
    "--config.data.tokenizer.path=tokenizer.model",
    "--config.model.text.eos_id=1",
]
# What makes a command of the README small enough for a test, and gives it data; everything else is as written.
SMALL = {
    "clip_vit_b32": [
        "--config.data.tokenizer.path=merges.txt.gz",
        "--config.train.batch_size=8",
        "--config.train.steps=2",
        "--config.train.dtype=float32",
        "--config.data.image_size=64",
        *(f"--config.model.{tower}.{size}" for tower in ("image", "text") for size in ("depth=1", "width=64", "heads=1")),
    ],
    "siglip_vit_b16": ["--config.data.train=shards/*.tar", "--config.data.tokenizer.path=tokenizer.model"],
    "clip_vit_b16": ["--config.data.train=shards/*.tar", *SENTENCEPIECE],
    "mine.py:shards/*.tar": SENTENCEPIECE,
    "clip_emoji": ["--config.train.steps=1", "--config.train.batch_size=8", "--config.model.image.depth=1", "--config.model.text.depth=1"],
}


def blocks(tag):
    return [code for found, code in BLOCKS if found == tag]


def diptych(command, folder, env):
    """Runs one `diptych ...` line as a user would, with what makes its recipe small."""
    words = shlex.split(command)
    small = next((SMALL[word] for word in words if word in SMALL), [])
    program = [sys.executable, "-m", "diptych.launch.cli"]
    return subprocess.run([*program, *words[1:], *small], cwd=folder, env=env, capture_output=True, text=True)


def test_every_block_is_run_somewhere():
    fences = re.findall(r"^```(.+)$", (ROOT / "README.md").read_text(), re.M)
    assert len(fences) == len(BLOCKS), "a code block has no tag that says who runs it"
    assert {tag for tag, _ in BLOCKS} == {"ci", "run", "dry-run", "recipe", "term", "evaluator"}


def test_ci_runs_what_the_readme_says():
    script = (ROOT / ".ci/run").read_text()
    for code in blocks("ci"):
        places = [script.find(command) for command in code.strip().split(" && ")]
        assert -1 not in places and places == sorted(places), code


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared image-text data is not beside the checkout")
def test_commands_run_as_written(shapes_folder, tmp_path, environment):
    (tmp_path / "shards").mkdir()
    (tmp_path / "photos").mkdir()
    for number in range(2):
        shutil.copy(shapes_folder / "shapes-train-00000.tar", tmp_path / f"shards/train-{number:05d}.tar")
    shutil.copy(DATA / "text/bpe_simple_vocab_16e6.txt.gz", tmp_path / "merges.txt.gz")
    subprocess.run(["tar", "xf", shapes_folder / "shapes-train-00000.tar", "00000000.png"], cwd=tmp_path / "photos", check=True)
    (tmp_path / "photos/00000000.png").rename(tmp_path / "photos/one.png")
    (tmp_path / "captions.txt").write_text("a red circle\ntwo blue squares\n")
    (tmp_path / "project").mkdir()
    for name in ("shards", "photos", "captions.txt", "merges.txt.gz"):
        (tmp_path / "project" / name).symlink_to(tmp_path / name)
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/data").symlink_to(DATA.resolve())
    for code in blocks("run"):
        if code.startswith("diptych"):
            for line in code.strip().splitlines():
                done = diptych(line, tmp_path / "project", environment(1))
                assert done.returncode == 0, f"{line}\n{done.stderr[-3000:]}"
        else:
            subprocess.run([sys.executable, "-c", code], cwd=tmp_path / "project", check=True)
    assert {path.name for path in (tmp_path / "project/runs/b32").iterdir() if not path.name.startswith(".")} == run_folder()


def run_folder():
    """The names that the README says a run folder holds."""
    listed = re.search(r"The run folder holds (.*?)\n\n", (ROOT / "README.md").read_text(), re.S)
    return {name.partition("/")[0] for name in re.findall(r"`([^`]+)`", listed[1])}


@pytest.fixture
def here(shapes_folder, tmp_path):
    """A folder with shards and a tokenizer."""
    (tmp_path / "shards").mkdir()
    shutil.copy(shapes_folder / "shapes-train-00000.tar", tmp_path / "shards")
    shutil.copy(shapes_folder / "tokenizer.model", tmp_path)
    return tmp_path


@pytest.mark.parametrize("code", blocks("dry-run"))
def test_hardware_commands_resolve(code, here, environment):
    command = code[code.index("diptych train") :].strip().rstrip('"').replace("/mnt/shared/run", "run")
    done = diptych(f"{command} --dry-run", here, environment(64))
    assert done.returncode == 0, done.stderr
    assert '"fsdp": ' in done.stdout


def test_the_recipe_is_one(here, environment):
    (here / "mine.py").write_text(blocks("recipe")[0])
    done = diptych("diptych train --config mine.py:shards/*.tar --dry-run", here, environment(1))
    assert done.returncode == 0 and '"shards/*.tar"' in done.stdout, done.stderr


def test_the_loss_is_one():
    import jax.numpy as jnp
    import numpy as np

    from diptych.pretrain.objectives.term import TERMS, Term, TermOutput, register
    from diptych.sharding.axes import Axes

    names = {"register": register, "Term": Term, "TermOutput": TermOutput, "jnp": jnp}
    exec(blocks("term")[0], names)
    try:
        z = np.eye(3, dtype=np.float32)
        output = TERMS["cosine"](None, model=None, rngs=None)({"image_embedding": z, "text_embedding": z}, {}, axes=Axes(), random=None)
        assert float(output.loss) == -1.0
    finally:
        del TERMS["cosine"]


def test_the_evaluator_is_one():
    from types import SimpleNamespace

    import numpy as np

    names: dict = {}
    exec(blocks("evaluator")[0], names)
    samples = SimpleNamespace(captions=lambda: ["a"])
    task = SimpleNamespace(images=lambda: "images", tokenize=lambda texts: "tokens", samples=samples)
    encoders = SimpleNamespace(images=lambda params, rows: np.eye(2), texts=lambda params, rows: np.eye(2))
    assert names["Alignment"](task)(encoders, None) == {"cosine": 1.0}
    assert names["Alignment"].lower_is_better("cosine") is False


def test_the_recipes_are_all_named():
    readme = (ROOT / "README.md").read_text()
    assert all(f"`{name}`" in readme for name in configs.names())
