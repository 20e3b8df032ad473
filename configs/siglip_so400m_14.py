"""SigLIP So400m/14 at 224 pixels (Zhai et al., 2023, "Sigmoid loss for language image pre-training").

Towers, pooling, vocabulary (32,000 pieces of C4) and the presets `siglip` of images and captions are those of the released weights; the
shape is that of Alabdulmohsin et al. (2023, "Getting ViT in shape", table 1), for text as for images. Of the released weights those at 384
pixels read 64 tokens, as all others do, and those at 224 read 16; here it is 64.
Loss and its initial scale and bias: section 3.2, algorithm 1. Batch, learning rate, decay and the second beta: sections 4.2 and 4.5.
Length and warm-up are those of its successor (Tschannen et al., 2025, section 2.1): 40 billion samples, 20,000 steps.
arg: the shard pattern to train on.
"""

from ml_collections import ConfigDict

BATCH_SIZE = 32_768
TOWER = {
    **{"depth": 27, "width": 1152, "heads": 16, "mlp_dim": 4304},
    **{"norm_eps": 1e-6, "activation": "gelu_tanh", "init": "big_vision"},
}
HALF = (0.5, 0.5, 0.5)


def get_config(arg: str = "") -> ConfigDict:
    """The recipe; `arg` is the shard pattern."""
    config = ConfigDict({"seed": 0})
    config.model = ConfigDict(
        {
            "embed_dim": 1152,
            "image": {**TOWER, "patch_size": 14, "pool": "map", "projection": "none", "norm_first": "none", "mean": HALF, "std": HALF},
            "text": {
                **TOWER,
                "context_length": 64,
                "vocab_size": 32_000,
                "eos_id": 1,
                "attention": "bidirectional",
                "pool": "last",
                "projection": "linear_bias",
            },
        }
    )
    config.objective = ConfigDict({"terms": {"sigmoid": 1.0}, "init_scale": 10.0, "init_bias": -10.0, "max_scale": None})
    config.data = ConfigDict(
        {
            "train": (arg or "data/train-{00000..39999}.tar",),
            "image_size": 224,
            "preset": "siglip",
            "threads": 16,
            "tokenizer": {"kind": "sentencepiece", "preset": "siglip", "path": "data/c4_en_32000.model"},
        }
    )
    # The papers' decay of 1e-4 is big_vision's, a share of the schedule alone; of a rate whose peak is 1e-3 it is 0.1.
    config.optimizer = ConfigDict({"peak_lr": 1e-3, "warmup_steps": 20_000, "weight_decay": 0.1, "betas": (0.9, 0.95), "eps": 1e-8})
    config.train = ConfigDict({"batch_size": BATCH_SIZE, "steps": 40_000_000_000 // BATCH_SIZE, "dtype": "bfloat16", "remat": "full"})
    config.mesh = ConfigDict({"replica": -1})  # with fsdp open too: as the preset of the hardware shares the devices out
    config.eval = ConfigDict({"every": 10_000, "batch_size": 1024})
    config.checkpoint = ConfigDict({"every": 1000, "keep_every": 100_000})
    return config
