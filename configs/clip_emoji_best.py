"""`clip_emoji` with what helps most in the same number of samples: Muon (Jordan et al., 2024) for hidden matrices, and more augmentation.

Two vendors' drawings of one thing differ in colour and framing, as the third's will: colours are jittered and dropped as SimCLR does (Chen
et al., 2020, appendix A, at half its strength), crops are wider. What it brings is in docs/optimizers.md.
arg: the folder of the emoji shards, as of `clip_emoji`.
"""

from ml_collections import ConfigDict

from . import clip_emoji


def get_config(arg: str = "") -> ConfigDict:
    """The recipe; `arg` is the data folder."""
    config = clip_emoji.get_config(arg)
    config.optimizer.name = "muon"
    config.data.augment.update({"crop_scale": (0.6, 1.0), "colour_jitter": (0.4, 0.4, 0.4, 0.1), "grey": 0.2})
    return config
