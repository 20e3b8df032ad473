"""CLIP ViT-B/32 (Radford et al., 2021, "Learning transferable visual models from natural language supervision").

Batch, epochs, warm-up, decay and betas: table 18. Towers, learning rate and embedding: table 20. 32 epochs of 400 million pairs.
The text tower and the activation are those of OpenAI's released weights. The paper crops a random square from resized images without
saying how large; 0.9 to 1 of the area is open_clip's choice.
arg: the shard pattern to train on.
"""

from ml_collections import ConfigDict

BATCH_SIZE = 32_768


def get_config(arg: str = "") -> ConfigDict:
    """The recipe; `arg` is the shard pattern."""
    config = ConfigDict({"seed": 0})
    config.model = ConfigDict(
        {
            "embed_dim": 512,
            "image": {"depth": 12, "width": 768, "heads": 12, "patch_size": 32, "activation": "quick_gelu"},
            "text": {"depth": 12, "width": 512, "heads": 8, "context_length": 77, "vocab_size": 49_408, "activation": "quick_gelu"},
        }
    )
    config.objective = ConfigDict({"terms": {"softmax": 1.0}, "init_scale": 1 / 0.07, "max_scale": 100.0})
    config.data = ConfigDict(
        {
            "train": (arg or "data/train-{00000..39999}.tar",),
            "image_size": 224,
            "threads": 16,
            "augment": {"crop_scale": (0.9, 1.0), "crop_ratio": (1.0, 1.0)},
        }
    )
    config.optimizer = ConfigDict({"peak_lr": 5e-4, "warmup_steps": 2000, "weight_decay": 0.2, "betas": (0.9, 0.98), "eps": 1e-6})
    config.train = ConfigDict({"batch_size": BATCH_SIZE, "steps": 32 * 400_000_000 // BATCH_SIZE, "dtype": "bfloat16", "remat": "dots"})
    config.mesh = ConfigDict({"replica": -1})  # with fsdp open too: as the preset of the hardware shares the devices out
    config.eval = ConfigDict({"every": 5000, "batch_size": 1024})
    config.checkpoint = ConfigDict({"every": 1000, "keep_every": 50_000})
    return config
