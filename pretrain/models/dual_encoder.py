"""The models: two towers with a shared embedding, and the same with a caption decoder."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import nnx

from ...sharding.axes import Axes
from ..randomness import Randomness
from ..spec import ModelSpec
from .blocks import Compute
from .decoder import build_decoder
from .image_inputs import Images, images_of
from .image_tower import ImageTower
from .parameters import gathered_weight
from .text_tower import TextTower


def unit(z: jax.Array) -> jax.Array:
    """Rows of length one in float32; a zero row stays zero."""
    z = z.astype(jnp.float32)
    return z * jax.lax.rsqrt(jnp.maximum(jnp.square(z).sum(-1, keepdims=True), 1e-24))


class DualEncoder(nnx.Module):
    """CLIP (Radford et al., 2021), SigLIP (Zhai et al., 2023): image and text to unit vectors of one space."""

    def __init__(self, spec: ModelSpec, *, image_size: int, compute: Compute, rngs: nnx.Rngs):
        self.compute = compute
        self.image = ImageTower(spec.image, image_size=image_size, embed_dim=spec.embed_dim, compute=compute, rngs=rngs)
        self.text = TextTower(spec.text, embed_dim=spec.embed_dim, compute=compute, rngs=rngs)

    def __call__(
        self, batch: Mapping[str, jax.Array], *, needs: frozenset[str], axes: Axes, random: Randomness | None = None
    ) -> dict[str, jax.Array]:
        """The named outputs that are needed. random: None in an evaluation.

        image_embedding and text_embedding, float32[B, E]; of a batch with `image_views` view_features, f[B, 2, D].
        """
        both = self.compute.in_turn and needs >= {"image_embedding", "text_embedding"}
        found = self._in_turn(batch, axes=axes, random=random) if both else {}
        encoders = {
            "image_embedding": lambda: self._image_embedding(batch, axes=axes, random=random),
            "text_embedding": lambda: self.encode_text(batch["text"], axes=axes),
            "view_features": lambda: self.encode_views(batch["image_views"], axes=axes, random=random),
        }
        return {name: found[name] if name in found else encoders[name]() for name in sorted(needs)}

    def _in_turn(self, batch: Mapping[str, jax.Array], *, axes: Axes, random: Randomness | None) -> dict[str, jax.Array]:
        """Both embeddings; the text tower's gradient comes before the image tower's, so that its activations are gone by then.

        Left to itself libtpu takes the image tower's first: So400m (128 images a device, fsdp 64) needs 4.04 GiB, in turn 3.58.
        """
        image = self._image_embedding(batch, axes=axes, random=random)
        with jax.named_scope("text_tower"):
            image, x = jax.lax.optimization_barrier((image, self.text.first(batch["text"], axes=axes)))
            text = unit(self.text.embed_from(x, batch["text"], axes=axes))
        return {"image_embedding": image, "text_embedding": text}

    def encode_image(self, images: Images, *, axes: Axes, random: Randomness | None = None) -> jax.Array:
        """uint8[B, H, W, 3], or patches -> float32[B, E], rows of length one. random: of a training step; None: an evaluation."""
        with jax.named_scope("image_tower"):
            return unit(self.image.embed(images, axes=axes, random=random))

    def encode_views(self, views: jax.Array, *, axes: Axes, random: Randomness | None = None) -> jax.Array:
        """uint8[B, 2, H, W, 3] -> the image tower's pooled vectors, f[B, 2, D]. random: as in `encode_image`."""
        batch, count = views.shape[:2]
        draws = None if random is None else random.of_parts("views", count)
        with jax.named_scope("image_tower"):
            pooled = self.image.pooled(views.reshape(batch * count, *views.shape[2:]), axes=axes, random=draws)
            return pooled.reshape(batch, count, -1)

    def _image_embedding(self, batch: Mapping[str, jax.Array], *, axes: Axes, random: Randomness | None) -> jax.Array:
        """Of the batch's images, or what stands for them (`data.embeddings`)."""
        if "image_embedding" in batch:
            return batch["image_embedding"]
        return self.encode_image(images_of(batch), axes=axes, random=random)

    def encode_text(self, tokens: jax.Array, *, axes: Axes) -> jax.Array:
        """i32[B, T] -> float32[B, E], rows of length one."""
        with jax.named_scope("text_tower"):
            return unit(self.text.embed(tokens, axes=axes))


class ContrastiveCaptioner(DualEncoder):
    """CoCa (Yu et al., 2022): a dual encoder whose text tokens go on through a decoder that reads the image.

    Without a contrastive term it is a captioner alone: Cap and CapPa (Tschannen et al., 2023), SimVLM (Wang et al., 2022).
    """

    def __init__(self, spec: ModelSpec, *, image_size: int, compute: Compute, rngs: nnx.Rngs):
        assert spec.decoder is not None
        super().__init__(spec, image_size=image_size, compute=compute, rngs=rngs)
        self.decoder = build_decoder(spec.decoder, text=spec.text, context_width=spec.embed_dim, compute=compute, rngs=rngs)

    def __call__(
        self, batch: Mapping[str, jax.Array], *, needs: frozenset[str], axes: Axes, random: Randomness | None = None
    ) -> dict[str, jax.Array]:
        """The embeddings, and hidden f[B, T, D] with unembedding f[D, V / tensor] for the captioning term."""
        if not needs & {"hidden", "unembedding"}:
            return super().__call__(batch, needs=needs, axes=axes, random=random)
        with jax.named_scope("image_tower"):
            image = self.image(images_of(batch), axes=axes, random=random)
        with jax.named_scope("text_tower"):
            text = self.text(batch["text"], axes=axes)
        with jax.named_scope("decoder"):
            hidden = self.decoder(text.tokens, image.tokens, caption=batch["text"], axes=axes, random=random)
        outputs = {
            "image_embedding": lambda: unit(self.image.project(image.pooled, axes=axes)),
            "text_embedding": lambda: unit(self.text.project(text.pooled, axes=axes)),
            "view_features": lambda: self.encode_views(batch["image_views"], axes=axes, random=random),
            "hidden": lambda: hidden,
            "unembedding": lambda: gathered_weight(self.decoder.unembedding, axes=axes, dtype=hidden.dtype),
        }
        return {name: outputs[name]() for name in sorted(needs)}


def build_model(spec: ModelSpec, *, image_size: int, compute: Compute, rngs: nnx.Rngs) -> DualEncoder:
    """The model that a recipe's `model` part says."""
    kind = DualEncoder if spec.decoder is None else ContrastiveCaptioner
    return kind(spec, image_size=image_size, compute=compute, rngs=rngs)
