"""A locked image tower (LiT: Zhai et al., 2022, "LiT: zero-shot transfer with locked-image text tuning"), run once per sample."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from ..data.embedding_cache import SETTING, EmbeddingCache, open_embeddings
from ..data.source import Source
from ..errors import UserError
from ..sharding.layouts import named_leaves
from .init_weights import InitWeights, open_weights, tower_fingerprint
from .learner import Learner
from .objectives.term import TERMS
from .optimizers.names import matches
from .spec import Recipe

LOG = logging.getLogger("diptych")
TOWER = "image"
PREFIX = f"model.{TOWER}."
KEPT = {"image_embedding", "text_embedding"}  # outputs of the model that need no image where its embedding is there


def check_locked(recipe: Recipe, learner: Learner) -> None:
    """Raises UserError where a parameter of the image tower is trained, or does not start from `train.init`."""
    free = [name for name, trained in named_leaves(learner.trained).items() if trained and name.startswith(PREFIX)]
    if free:
        raise UserError(
            f"optimizer.freeze = {recipe.optimizer.freeze} leaves {free[0]} to train, whose embeddings {SETTING} cannot hold; "
            r"accepted are patterns that freeze all of the image tower, such as model\.image\..*"
        )


def find_cache(recipe: Recipe, learner: Learner, sources: Mapping[str, Source]) -> EmbeddingCache | None:
    """What `data.embeddings` names; None where there is none. UserError where it would not give what the image tower does.

    That is: another tower, other images, a sample missing, a term that needs more.

    Other arithmetic than the run's changes rounding alone, and is logged.
    """
    if recipe.data.embeddings is None:
        return None
    check_locked(recipe, learner)
    for name, weight in recipe.objective.terms.items():
        if weight and set(TERMS[name].needs) - KEPT:
            raise UserError(
                f"objective.terms.{name} reads more of an image than its embedding, which is all that {SETTING} = "
                f"{recipe.data.embeddings} holds; accepted is {SETTING} = none, or terms on embeddings alone"
            )
    ours = tower_fingerprint(locked_weights(recipe, learner), TOWER)
    cache = open_embeddings(recipe.data, sources, weights=ours)
    assert cache is not None
    if cache.weights != ours:
        raise UserError(
            f"{SETTING} = {recipe.data.embeddings} was made by an image tower with fingerprint {cache.weights[:12]}, and train.init.path = "
            f"{recipe.train.init.path} holds {ours[:12]}; accepted is a folder that `diptych embed --config` wrote for this recipe"
        )
    if cache.dtypes != (recipe.train.dtype,):
        LOG.info(
            "%s = %s was computed in %s, and the run in train.dtype = %s: its image embeddings are rounded as in the former",
            SETTING,
            recipe.data.embeddings,
            " and ".join(cache.dtypes),
            recipe.train.dtype,
        )
    return cache


def locked_weights(recipe: Recipe, learner: Learner) -> InitWeights:
    """The model of `train.init`, all of whose image tower the run starts from; UserError where it does not."""
    fresh = [name for name in named_leaves(learner.shapes) if name.startswith(PREFIX) and not matches(name, recipe.train.init.parameters)]
    if fresh:
        raise UserError(
            f"train.init.parameters = {recipe.train.init.parameters} leaves {fresh[0]} fresh, whose embeddings {SETTING} cannot hold; "
            r"accepted are patterns that name all of the image tower, such as model\.image\..*"
        )
    return open_weights(recipe)
