"""CoCa with 2.1 billion parameters (Yu et al., 2022, "CoCa: contrastive captioners are image-text foundation models").

Towers and decoder: table 1, the row "CoCa": 40 layers for images, 18 + 18 for text, one width. 288 pixels in patches of 18, 64 tokens, 256
queries: sections 3.2 and 4.1. Batch, steps, Adafactor, learning rate, warm-up (2%), linear decay, weight decay and the weights of the
losses (contrastive 1, captioning 2): section 4.1. The paper's last epoch at 576 pixels is a run of its own.
One pooler of 256 queries serves both losses, as in open_clip; the token table and the output are two matrices of 90 million each, which
is what the count has above the paper's.
arg: the shard pattern to train on.
"""

from ml_collections import ConfigDict

STEPS = 500_000
WIDTH, HEADS = 1408, 16


def get_config(arg: str = "") -> ConfigDict:
    """The recipe; `arg` is the shard pattern."""
    config = ConfigDict({"seed": 0})
    config.model = ConfigDict(
        {
            "embed_dim": WIDTH,
            "image": {
                "depth": 40,
                "width": WIDTH,
                "heads": HEADS,
                "mlp_dim": 6144,
                "patch_size": 18,
                "norm_first": "none",
                "pool": "attentional",
                "pool_queries": 256,
            },
            "text": {
                "depth": 18,
                "width": WIDTH,
                "heads": HEADS,
                "mlp_dim": 5632,
                "context_length": 64,
                "vocab_size": 64_000,
                "eos_id": 1,
                "pool": "cls",
            },
            "decoder": {"depth": 18, "heads": HEADS, "mlp_dim": 5632},
        }
    )
    config.objective = ConfigDict({"terms": {"softmax": 1.0, "captioning": 2.0}, "init_scale": 1 / 0.07, "max_scale": 100.0})
    config.data = ConfigDict(
        {
            "train": (arg or "data/train-{00000..39999}.tar",),
            "image_size": 288,
            "threads": 16,
            "augment": {"crop_scale": (0.9, 1.0), "crop_ratio": (1.0, 1.0)},
            "tokenizer": {"kind": "sentencepiece", "path": "data/captions_64000.model"},
        }
    )
    config.optimizer = ConfigDict(
        {"name": "adafactor", "peak_lr": 8e-4, "schedule": "linear", "warmup_steps": STEPS // 50, "weight_decay": 0.01}
    )
    config.train = ConfigDict({"batch_size": 65_536, "steps": STEPS, "dtype": "bfloat16", "remat": "full"})
    config.mesh = ConfigDict({"replica": -1})  # with fsdp open too: as the preset of the hardware shares the devices out
    config.eval = ConfigDict({"every": 10_000, "batch_size": 1024})
    config.checkpoint = ConfigDict({"every": 1000, "keep_every": 50_000})
    return config
