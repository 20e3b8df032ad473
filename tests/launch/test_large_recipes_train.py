"""The large recipes really train, scaled down by overrides alone, on a mesh that shards everything."""

import json
from pathlib import Path

import pytest

from diptych.launch.cli import main

MERGES = Path(__file__).resolve().parents[2] / "../shared/data/text/bpe_simple_vocab_16e6.txt.gz"
TOWERS = [f"--config.model.{tower}.{size}" for tower in ("image", "text") for size in ("depth=2", "width=32", "heads=4")]
SMALL = [
    *TOWERS,
    "--config.model.embed_dim=32",
    "--config.data.image_size=64",
    "--config.train.batch_size=16",
    "--config.train.steps=3",
    "--config.log.every=1",
    "--config.mesh.replica=2",
    "--config.mesh.fsdp=2",
    "--config.mesh.tensor=2",
]
COCA = ["--config.model.decoder.depth=2", "--config.model.decoder.heads=4", "--config.model.image.pool_queries=8"]


@pytest.mark.parametrize("recipe", ["siglip_vit_b16", "coca_vit_b32"])
def test_large_recipe_trains_when_scaled_down(recipe, shapes_folder, tmp_path, capsys):
    if recipe == "coca_vit_b32":
        if not MERGES.exists():
            pytest.skip("CLIP's merges are not beside the checkout")
        more = [*COCA, f"--config.data.tokenizer.path={MERGES}", "--config.model.image.pool_heads=4"]
    else:
        more = [f"--config.data.tokenizer.path={shapes_folder / 'tokenizer.model'}"]
    data = f"--config.data.train={shapes_folder}/shapes-train-*.tar"
    assert main(["train", "--config", recipe, "--workdir", str(tmp_path), "--json", data, *SMALL, *more]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert len(losses) == 3 and all(loss > 0 for loss in losses)
    assert result["grad_norm"] > 0
    if recipe == "coca_vit_b32":
        assert result["loss"] == pytest.approx(result["loss/softmax"] + 2 * result["loss/captioning"], rel=1e-4)
