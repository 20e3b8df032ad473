"""A small CLIP on rendered scenes of coloured shapes, for two CPU cores: what `diptych quickstart` trains.

Towers and loss as in CLIP (Radford et al., 2021, section 2), scaled down; 4 heads each, so that a mesh of fsdp 4 and tensor 2 divides them.
arg: the folder with the rendered shards and the tokenizer.
"""

from ml_collections import ConfigDict


def get_config(arg: str = "") -> ConfigDict:
    """The recipe; `arg` is the data folder."""
    folder = arg or "diptych-quickstart/data"
    config = ConfigDict({"seed": 0})
    config.model = ConfigDict(
        {
            "embed_dim": 128,
            "image": {"depth": 4, "width": 128, "heads": 4, "patch_size": 8},
            "text": {"depth": 4, "width": 128, "heads": 4, "context_length": 16, "vocab_size": 256, "eos_id": 1},
        }
    )
    config.objective = ConfigDict({"terms": {"softmax": 1.0}})
    config.data = ConfigDict(
        {
            "train": (f"{folder}/shapes-train-*.tar",),
            "image_size": 48,
            "cache_mb": 256,
            "tokenizer": {"kind": "sentencepiece", "path": f"{folder}/tokenizer.model"},
        }
    )
    config.optimizer = ConfigDict({"peak_lr": 1e-3, "warmup_steps": 50, "weight_decay": 0.1})
    config.train = ConfigDict({"batch_size": 256, "steps": 700, "dtype": "float32", "scan_unroll": 0})
    config.eval = ConfigDict(
        {
            "every": 200,
            "metric": "heldout/i2t_r1",
            "tasks": {
                "heldout": {"kind": "retrieval", "data": (f"{folder}/shapes-heldout-*.tar",), "id_key": "txt"},
                "shapes": {
                    "kind": "zero_shot",
                    "data": (f"{folder}/shapes-heldout-*.tar",),
                    "class_key": "json:class",
                    "class_names": (f"file:{folder}/classes.txt",),
                    "templates": ("a small {}", "a large {}", "two small {}s", "three large {}s"),
                },
                "val_loss": {"kind": "loss", "data": (f"{folder}/shapes-heldout-*.tar",), "negatives": 256},
            },
        }
    )
    config.checkpoint = ConfigDict({"every": 200})
    config.log = ConfigDict({"every": 20})
    return config
