"""Towers and embeddings equal those of open_clip's CLIP and transformers' SigLIP, from the same random weights."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

if not os.environ.get("DIPTYCH_PARITY"):
    pytest.skip("parity tests need DIPTYCH_PARITY=1 and the `parity` extra", allow_module_level=True)

import torch
from flax import nnx

from diptych.pretrain.models.blocks import Compute
from diptych.pretrain.models.dual_encoder import DualEncoder
from diptych.pretrain.spec import ImageTowerSpec, ModelSpec, TextTowerSpec
from diptych.sharding.axes import Axes
from diptych.sharding.layouts import named_leaves, path_name

HEADS, WIDTH, HEAD = 2, 128, 64


def qkv(q, k, v):
    """Three torch weights [out, in] (or biases [out]) -> ours, head by head: f[in, H * 3 * K]."""
    parts = np.stack([w.reshape(HEADS, HEAD, -1) for w in (q, k, v)], axis=1)
    fused = parts.reshape(3 * WIDTH, -1)
    return fused[:, 0] if q.ndim == 1 else fused.T


def fill(model, arrays):
    """The model with its parameters set by dotted name; every name must be used, every parameter set."""
    graph, state = nnx.split(model)
    pure = nnx.as_pure(state)
    assert set(named_leaves(pure)) == set(arrays), set(named_leaves(pure)) ^ set(arrays)

    def one(path, old):
        new = jnp.asarray(arrays[path_name(path)], jnp.float32)
        assert new.shape == old.shape, (path_name(path), new.shape, old.shape)
        return new

    return nnx.merge(graph, jax.tree.map_with_path(one, pure))


def stack(layers):
    return {name: np.stack([layer[name] for layer in layers]) for name in layers[0]}


def prefixed(prefix, arrays):
    return {f"{prefix}.{name}": value for name, value in arrays.items()}


def clip_layers(weights, prefix, depth):
    layers = []
    for i in range(depth):
        w = {key.removeprefix(f"{prefix}.{i}."): value for key, value in weights.items() if key.startswith(f"{prefix}.{i}.")}
        layers.append(
            {
                "norm_1.scale": w["ln_1.weight"],
                "norm_1.bias": w["ln_1.bias"],
                "norm_2.scale": w["ln_2.weight"],
                "norm_2.bias": w["ln_2.bias"],
                "attention.qkv": qkv(*np.split(w["attn.in_proj_weight"], 3)),
                "attention.qkv_bias": qkv(*np.split(w["attn.in_proj_bias"], 3)),
                "attention.out": w["attn.out_proj.weight"].T,
                "attention.out_bias": w["attn.out_proj.bias"],
                "mlp.up": w["mlp.c_fc.weight"].T,
                "mlp.up_bias": w["mlp.c_fc.bias"],
                "mlp.down": w["mlp.c_proj.weight"].T,
                "mlp.down_bias": w["mlp.c_proj.bias"],
            }
        )
    return stack(layers)


def randomised(module, seed=0):
    """Biases and norms off their initial zeros and ones, so that each of them counts."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return {name: value.detach().numpy() for name, value in module.state_dict().items()}


def build(spec, image_size):
    return DualEncoder(spec, image_size=image_size, compute=Compute(), rngs=nnx.Rngs(0))


def images(size):
    return np.random.default_rng(0).integers(0, 256, (4, size, size, 3)).astype(np.uint8)


@pytest.mark.parametrize("activation", ["gelu", "quick_gelu"])
def test_clip_is_open_clips(activation):
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

    vision = CLIPVisionCfg(layers=3, width=WIDTH, head_width=HEAD, patch_size=8, image_size=32)
    text = CLIPTextCfg(context_length=12, vocab_size=100, width=WIDTH, heads=HEADS, layers=2)
    theirs = CLIP(embed_dim=96, vision_cfg=vision, text_cfg=text, quick_gelu=activation == "quick_gelu").eval()
    w = randomised(theirs)
    ours = fill(
        build(
            ModelSpec(
                image=ImageTowerSpec(depth=3, width=WIDTH, heads=HEADS, patch_size=8, activation=activation),
                text=TextTowerSpec(depth=2, width=WIDTH, heads=HEADS, context_length=12, vocab_size=100, eos_id=99, activation=activation),
                embed_dim=96,
            ),
            32,
        ),
        {
            "image.patch": w["visual.conv1.weight"].transpose(2, 3, 1, 0).reshape(-1, WIDTH),
            "image.class_token": w["visual.class_embedding"],
            "image.position": w["visual.positional_embedding"],
            "image.norm_first.scale": w["visual.ln_pre.weight"],
            "image.norm_first.bias": w["visual.ln_pre.bias"],
            "image.norm.scale": w["visual.ln_post.weight"],
            "image.norm.bias": w["visual.ln_post.bias"],
            "image.projection": w["visual.proj"],
            **prefixed("image.blocks.layers", clip_layers(w, "visual.transformer.resblocks", 3)),
            "text.embedding": w["token_embedding.weight"],
            "text.position": w["positional_embedding"],
            "text.norm.scale": w["ln_final.weight"],
            "text.norm.bias": w["ln_final.bias"],
            "text.projection": w["text_projection"],
            **prefixed("text.blocks.layers", clip_layers(w, "transformer.resblocks", 2)),
        },
    )
    tokens = np.random.default_rng(1).integers(1, 90, (4, 12)).astype(np.int32)
    for row, end in zip(tokens, (3, 11, 7, 5)):
        row[end], row[end + 1 :] = 99, 0
    spec = ImageTowerSpec()
    pixels = (images(32) / 255 - np.array(spec.mean)) / np.array(spec.std)
    with torch.no_grad():
        z = theirs.encode_image(torch.tensor(pixels, dtype=torch.float32).permute(0, 3, 1, 2), normalize=True).numpy()
        t = theirs.encode_text(torch.tensor(tokens.astype(np.int64)), normalize=True).numpy()
    np.testing.assert_allclose(ours.encode_image(images(32), axes=Axes()), z, atol=2e-6)
    np.testing.assert_allclose(ours.encode_text(tokens, axes=Axes()), t, atol=2e-6)
    short = tokens[3:, :8]
    np.testing.assert_allclose(ours.encode_text(short, axes=Axes()), t[3:], atol=2e-6, err_msg="padding that is cut changed causal text")


def siglip_layers(w, prefix, depth):
    layers = []
    for i in range(depth):
        p = f"{prefix}.{i}."
        attention = [w[f"{p}self_attn.{name}_proj.weight"] for name in "qkv"], [w[f"{p}self_attn.{name}_proj.bias"] for name in "qkv"]
        layers.append(
            {
                "norm_1.scale": w[p + "layer_norm1.weight"],
                "norm_1.bias": w[p + "layer_norm1.bias"],
                "norm_2.scale": w[p + "layer_norm2.weight"],
                "norm_2.bias": w[p + "layer_norm2.bias"],
                "attention.qkv": qkv(*attention[0]),
                "attention.qkv_bias": qkv(*attention[1]),
                "attention.out": w[p + "self_attn.out_proj.weight"].T,
                "attention.out_bias": w[p + "self_attn.out_proj.bias"],
                "mlp.up": w[p + "mlp.fc1.weight"].T,
                "mlp.up_bias": w[p + "mlp.fc1.bias"],
                "mlp.down": w[p + "mlp.fc2.weight"].T,
                "mlp.down_bias": w[p + "mlp.fc2.bias"],
            }
        )
    return stack(layers)


def siglip_head(w):
    q, k, v = np.split(w["vision_model.head.attention.in_proj_weight"], 3)
    q_bias, k_bias, v_bias = np.split(w["vision_model.head.attention.in_proj_bias"], 3)
    return {
        "probe": w["vision_model.head.probe"][0],
        "attention.query": q.T,
        "attention.query_bias": q_bias,
        "attention.key": k.T,
        "attention.key_bias": k_bias,
        "attention.value": v.T,
        "attention.value_bias": v_bias,
        "attention.out": w["vision_model.head.attention.out_proj.weight"].T,
        "attention.out_bias": w["vision_model.head.attention.out_proj.bias"],
        "norm.scale": w["vision_model.head.layernorm.weight"],
        "norm.bias": w["vision_model.head.layernorm.bias"],
        "mlp.up": w["vision_model.head.mlp.fc1.weight"].T,
        "mlp.up_bias": w["vision_model.head.mlp.fc1.bias"],
        "mlp.down": w["vision_model.head.mlp.fc2.weight"].T,
        "mlp.down_bias": w["vision_model.head.mlp.fc2.bias"],
    }


def test_siglip_is_transformers():
    from transformers import SiglipConfig, SiglipModel

    common = dict(hidden_size=WIDTH, intermediate_size=4 * WIDTH, num_attention_heads=HEADS, layer_norm_eps=1e-6)
    text_config = dict(common, num_hidden_layers=2, vocab_size=100, max_position_embeddings=12, projection_size=WIDTH)
    vision_config = dict(common, num_hidden_layers=2, image_size=32, patch_size=8)
    theirs = SiglipModel(SiglipConfig(text_config=text_config, vision_config=vision_config)).eval()
    w = randomised(theirs)
    shared = dict(depth=2, width=WIDTH, heads=HEADS, norm_eps=1e-6, activation="gelu_tanh", init="big_vision")
    ours = fill(
        build(
            ModelSpec(
                image=ImageTowerSpec(
                    **shared, patch_size=8, pool="map", projection="none", norm_first="none", mean=(0.5,) * 3, std=(0.5,) * 3
                ),
                text=TextTowerSpec(
                    **shared, context_length=12, vocab_size=100, attention="bidirectional", pool="last", projection="linear_bias"
                ),
                embed_dim=WIDTH,
            ),
            32,
        ),
        {
            "image.patch": w["vision_model.embeddings.patch_embedding.weight"].transpose(2, 3, 1, 0).reshape(-1, WIDTH),
            "image.patch_bias": w["vision_model.embeddings.patch_embedding.bias"],
            "image.position": w["vision_model.embeddings.position_embedding.weight"],
            "image.norm.scale": w["vision_model.post_layernorm.weight"],
            "image.norm.bias": w["vision_model.post_layernorm.bias"],
            **prefixed("image.blocks.layers", siglip_layers(w, "vision_model.encoder.layers", 2)),
            **prefixed("image.pool", siglip_head(w)),
            "text.embedding": w["text_model.embeddings.token_embedding.weight"],
            "text.position": w["text_model.embeddings.position_embedding.weight"],
            "text.norm.scale": w["text_model.final_layer_norm.weight"],
            "text.norm.bias": w["text_model.final_layer_norm.bias"],
            "text.projection": w["text_model.head.weight"].T,
            "text.projection_bias": w["text_model.head.bias"],
            **prefixed("text.blocks.layers", siglip_layers(w, "text_model.encoder.layers", 2)),
        },
    )
    tokens = np.random.default_rng(1).integers(1, 90, (4, 12)).astype(np.int32)
    pixels = torch.tensor(images(32) / 127.5 - 1, dtype=torch.float32).permute(0, 3, 1, 2)
    with torch.no_grad():
        output = theirs(input_ids=torch.tensor(tokens.astype(np.int64)), pixel_values=pixels)
    np.testing.assert_allclose(ours.encode_image(images(32), axes=Axes()), output.image_embeds.numpy(), atol=2e-6)
    np.testing.assert_allclose(ours.encode_text(tokens, axes=Axes()), output.text_embeds.numpy(), atol=2e-6)
