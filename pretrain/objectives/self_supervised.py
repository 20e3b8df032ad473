"""The self-supervised image term of SLIP: SimCLR on two views of each image."""

from __future__ import annotations

from collections.abc import Mapping

import jax
from flax import nnx

from ...data.views import COUNT as VIEWS
from ...sharding.axes import Axes
from ..models.dual_encoder import unit
from ..randomness import Randomness
from ..spec import ModelSpec, ObjectiveSpec
from .contrastive import mean_of_batch
from .forms import PairForm, choose_form
from .forms_views import view_cross_entropies
from .projector import Projector
from .term import Term, TermOutput, register


@register("self_supervised")
class SelfSupervised(Term):
    """NT-Xent over the 2B views of a batch (Chen et al., 2020, SimCLR, eq. 1), beside CLIP's loss (Mu et al., 2021, SLIP, section 3):

        L = 1/2B sum_i [ lse_{j != i}(z_i . z_j / tau) - z_i . z_p(i) / tau ],   z = g(h) / |g(h)|,   p(i) the other view of i's image

        labels      1a 1b 2a 2b
                1a   x  1  .  .       a, b: the two views of an image
                1b   1  x  .  .       x: a view is not compared with itself
                2a   .  .  x  1
                2b   .  .  1  x

    h: the image tower's pooled vector, before its projection to the embedding; g: `objective.self_supervised.projector`. The tower runs on
    3 B images instead of B. The logits are symmetric: rows alone are summed, and the gradient needs no sum over devices. A device holds
    n = 2 B/devices views of E' = the last width; c keys are in a tile. Floats of memory beside the views, and floats that a device sends in
    value and gradient:

        form      memory                        communication
        gather    3 n 2B + 2B E'                all-gather 2B (E' + 4)
        chunked   3 n c + 2B E'                 the same
        ring      3 n c + 3 n E'                ppermutes 4B E' + 10B, while the products are computed
    """

    needs = ("view_features",)

    def __init__(self, spec: ObjectiveSpec, *, model: ModelSpec, rngs: nnx.Rngs):
        self.spec = spec
        width = model.embed_dim if model.image.pool == "attentional" else model.image.width
        self.projector = Projector(width, widths=spec.self_supervised.projector, rngs=rngs)

    def __call__(
        self, needed: Mapping[str, jax.Array], batch: Mapping[str, jax.Array], *, axes: Axes, random: Randomness | None
    ) -> TermOutput:
        """See the class. view_features: f[b, 2, D]."""
        features = needed["view_features"]
        views = unit(self.projector(features.reshape(-1, features.shape[-1]), axes=axes))
        form = self.form(len(features), devices=axes.count())
        losses, right = view_cross_entropies(views, 1 / self.spec.self_supervised.temperature, form, axes)
        return TermOutput(loss=mean_of_batch(losses, axes=axes), metrics={"view_accuracy": mean_of_batch(right, axes=axes)})

    def form(self, rows: int, *, devices: int) -> PairForm:
        """See `Term`; of both views of each image."""
        width = self.spec.self_supervised.projector[-1]
        return choose_form(rows=VIEWS * rows, devices=devices, width=width, form=self.spec.form, chunk=self.spec.chunk)
