"""A small CLIP on drawings of emoji: trained on two vendors, asked to name a third vendor's drawings and concepts never seen.

Towers, loss and optimizer as in CLIP (Radford et al., 2021, section 2 and table 18), scaled to 48 pixels and 192 units.
arg: the folder of the emoji shards; CLIP's merges are looked for in `text` beside it.
"""

from ml_collections import ConfigDict

GROUPS = (
    "Smileys & Emotion",
    "People & Body",
    "Animals & Nature",
    "Food & Drink",
    "Travel & Places",
    "Activities",
    "Objects",
    "Symbols",
    "Flags",
)


def get_config(arg: str = "") -> ConfigDict:
    """The recipe; `arg` is the data folder."""
    folder = arg or "../shared/data/emoji"
    config = ConfigDict({"seed": 0})
    config.model = ConfigDict(
        {
            "embed_dim": 192,
            "image": {"depth": 6, "width": 192, "heads": 3, "patch_size": 8},
            "text": {"depth": 4, "width": 192, "heads": 3, "context_length": 16, "vocab_size": 49_408},
        }
    )
    config.objective = ConfigDict({"terms": {"softmax": 1.0}})
    config.data = ConfigDict(
        {
            "train": (f"{folder}/noto-train-*.tar", f"{folder}/twemoji-train-*.tar"),
            "image_size": 48,
            "resize_first": 48,
            "text_lengths": (12, 16),  # the longest caption has 12 tokens, the mean 4.7
            "cache_mb": 256,
            "tokenizer": {"kind": "clip_bpe", "path": f"{folder}/../text/bpe_simple_vocab_16e6.txt.gz"},
            "augment": {"crop_scale": (0.8, 1.0), "crop_ratio": (1.0, 1.0)},
        }
    )
    config.optimizer = ConfigDict(
        {"peak_lr": 1e-3, "warmup_steps": 50, "weight_decay": 0.1, "betas": (0.9, 0.98), "eps": 1e-6, "grad_clip": 1.0}
    )
    config.train = ConfigDict({"batch_size": 256, "steps": 400, "dtype": "float32", "scan_unroll": 0})
    config.eval = ConfigDict({"every": 0, "metric": "openmoji/t2i_r10", "tasks": tasks(folder)})
    config.checkpoint = ConfigDict({"every": 200})
    config.log = ConfigDict({"every": 20})
    return config


def tasks(folder: str) -> ConfigDict:
    """What is asked of the model; another vendor's drawing of the same concept counts as right."""
    return ConfigDict(
        {
            "openmoji": {"kind": "retrieval", "data": (f"{folder}/openmoji-train-*.tar",), "id_key": "json:codepoint"},
            "concepts": {"kind": "retrieval", "data": (f"{folder}/noto-val-*.tar",), "id_key": "json:codepoint"},
            "groups": {
                "kind": "zero_shot",
                "data": (f"{folder}/openmoji-val-*.tar",),
                "class_key": "json:group",
                "class_names": GROUPS,
                "templates": ("{}", "an emoji of {}", "a drawing of {}"),
            },
            "val_loss": {"kind": "loss", "data": (f"{folder}/noto-val-*.tar",), "negatives": 128},
        }
    )
