"""SigLIP So400m/14 at 224 pixels (Zhai et al., 2023, "Sigmoid loss for language image pre-training").

Towers, pooling, vocabulary (32,000 pieces of C4) and the presets `siglip` of images and captions are those of the released weights; the
shape is that of Alabdulmohsin et al. (2023, "Getting ViT in shape", table 1), for text as for images. Of the released weights those at 384
pixels read 64 tokens, as all others do, and those at 224 read 16; here it is 64.
All but the towers' shape is `siglip_vit_b16`'s.
arg: the shard pattern to train on.
"""

from ml_collections import ConfigDict

from diptych.configs import siglip_vit_b16

SHAPE = {"depth": 27, "width": 1152, "heads": 16, "mlp_dim": 4304}


def get_config(arg: str = "") -> ConfigDict:
    """The recipe; `arg` is the shard pattern."""
    config = siglip_vit_b16.get_config(arg)
    config.model.embed_dim = 1152
    config.model.image = ConfigDict({**config.model.image, **SHAPE, "patch_size": 14})
    config.model.text = ConfigDict({**config.model.text, **SHAPE})
    config.train.remat = "full"
    return config
