"""CoCa with open_clip's `coca_ViT-B-32` towers (Yu et al., 2022, "CoCa: contrastive captioners are image-text foundation models").

Batch, steps, learning rate, warm-up (2%), linear decay, weight decay and the loss weights (contrastive 1, captioning 2): section 4.1.
The paper uses Adafactor and 288 pixels; here it is AdamW and 224, as in open_clip. One pooler of 256 queries serves both losses.
arg: the shard pattern to train on.
"""

from ml_collections import ConfigDict

STEPS = 500_000


def get_config(arg: str = "") -> ConfigDict:
    """The recipe; `arg` is the shard pattern."""
    config = ConfigDict({"seed": 0})
    config.model = ConfigDict(
        {
            "embed_dim": 512,
            "image": {
                "depth": 12,
                "width": 768,
                "heads": 12,
                "patch_size": 32,
                "pool": "attentional",
                "pool_heads": 8,
                "pool_queries": 256,
            },
            "text": {"depth": 12, "width": 512, "heads": 8, "context_length": 76, "vocab_size": 49_408, "pool": "cls"},
            "decoder": {"depth": 12, "heads": 8},
        }
    )
    config.objective = ConfigDict({"terms": {"softmax": 1.0, "captioning": 2.0}, "init_scale": 1 / 0.07, "max_scale": 100.0})
    config.data = ConfigDict(
        {
            "train": (arg or "data/train-{00000..39999}.tar",),
            "image_size": 224,
            "threads": 16,
            "augment": {"crop_scale": (0.9, 1.0), "crop_ratio": (1.0, 1.0)},
        }
    )
    config.optimizer = ConfigDict(
        {"peak_lr": 8e-4, "schedule": "linear", "warmup_steps": STEPS // 50, "weight_decay": 0.01, "betas": (0.9, 0.999)}
    )
    config.train = ConfigDict({"batch_size": 65_536, "steps": STEPS, "dtype": "bfloat16", "remat": "dots"})
    config.mesh = ConfigDict({"replica": -1})  # with fsdp open too: as the preset of the hardware shares the devices out
    config.eval = ConfigDict({"every": 10_000, "batch_size": 1024})
    config.checkpoint = ConfigDict({"every": 1000, "keep_every": 50_000})
    return config
