"""A recipe for tests: a CLIP of a few thousand parameters on rendered shapes. arg: the folder with shards and tokenizer."""

from ml_collections import ConfigDict


def get_config(arg=""):
    tower = {"depth": 2, "width": 32, "heads": 4}
    return ConfigDict(
        {
            "seed": 3,
            "model": {
                "embed_dim": 32,
                "image": {**tower, "patch_size": 8},
                "text": {**tower, "context_length": 24, "vocab_size": 256, "eos_id": 1},
            },
            "objective": {"terms": {"softmax": 1.0}},
            "data": {
                "train": (f"{arg}/shapes-train-*.tar",),
                "image_size": 32,
                "augment": {"crop_scale": (0.7, 1.0)},
                "tokenizer": {"kind": "sentencepiece", "path": f"{arg}/tokenizer.model"},
            },
            "optimizer": {"peak_lr": 1e-3, "warmup_steps": 4, "schedule": "constant"},
            "train": {"batch_size": 32, "steps": 12, "dtype": "float32"},
            "eval": {
                "every": 0,
                "batch_size": 32,
                "tasks": {
                    "heldout": {"kind": "retrieval", "data": (f"{arg}/shapes-heldout-*.tar",), "id_key": "txt"},
                    "val_loss": {"kind": "loss", "data": (f"{arg}/shapes-heldout-*.tar",), "negatives": 32},
                },
            },
            "checkpoint": {"every": 4},
            "log": {"every": 1, "writers": ("jsonl",)},
        }
    )
