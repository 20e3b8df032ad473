import dataclasses
import io
import json
import tarfile

import numpy as np
import pytest
from PIL import Image

from diptych.data.sentence_piece import train_sentencepiece
from diptych.data.spec import DataSpec, TokenizerSpec
from diptych.pretrain.spec import CheckpointSpec, EvalSpec, EvalTaskSpec, LogSpec
from diptych.sharding.spec import MeshSpec

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (40, 60, 220), "white": (240, 240, 240)}
SHADES = ("pale", "dark", "bright", "dull", "warm", "cold")


def write_shard(path):
    """24 noisy squares: of four colours, each in six shades."""
    rng = np.random.default_rng(0)
    with tarfile.open(path, "w") as tar:
        for number in range(24):
            name, shade = list(COLOURS)[number % 4], SHADES[number // 4]
            noise = rng.integers(0, 60, (40, 48, 3)) + 20 * (number // 4)
            picture = io.BytesIO()
            Image.fromarray((np.array(COLOURS[name]) // 2 + noise // 2).astype(np.uint8)).save(picture, "png")
            members = {"png": picture.getvalue(), "txt": f"a {shade} {name} square".encode(), "cls": str(number % 4).encode()}
            for suffix, content in {**members, "json": json.dumps({"colour": name}).encode()}.items():
                info = tarfile.TarInfo(f"{number:04d}.{suffix}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))


@pytest.fixture(scope="session")
def shard(tmp_path_factory):
    path = tmp_path_factory.mktemp("squares") / "squares-000.tar"
    write_shard(path)
    return path


@pytest.fixture(scope="session")
def squares_recipe(tiny_recipe, shard):
    """Two steps on squares of colours, on a mesh of all three axes, with all kinds of evaluation."""
    captions = [f"a {shade} {name} square" for name in COLOURS for shade in SHADES]
    tokenizer = shard.parent / "squares.model"
    train_sentencepiece(captions, vocab_size=60, out=tokenizer, seed=0)
    recipe = tiny_recipe(batch_size=8, steps=2)
    tasks = {
        "squares": EvalTaskSpec(kind="retrieval", data=(str(shard),), id_key="json:colour"),
        "colours": EvalTaskSpec(kind="zero_shot", data=(str(shard),), class_names=tuple(COLOURS), templates=("a {} square", "{}")),
        "heldout": EvalTaskSpec(kind="loss", data=(str(shard),), negatives=8),
    }
    text = dataclasses.replace(recipe.model.text, eos_id=1)
    return dataclasses.replace(
        recipe,
        name="squares",
        model=dataclasses.replace(recipe.model, text=text),
        data=DataSpec(train=(str(shard),), image_size=32, tokenizer=TokenizerSpec(kind="sentencepiece", path=str(tokenizer))),
        mesh=MeshSpec(replica=2, fsdp=2, tensor=2),
        eval=EvalSpec(batch_size=16, tasks=tasks),
        checkpoint=CheckpointSpec(every=1),
        log=LogSpec(every=1),
    )


@pytest.fixture(scope="session")
def trained(squares_recipe, tmp_path_factory):
    """The run folder of `squares_recipe`, trained to its end."""
    from diptych.pretrain.train import train

    workdir = tmp_path_factory.mktemp("run")
    train(squares_recipe, workdir)
    return workdir
