"""What captions need of the model: a decoder, towers that it can read, and no word that is seen before it is predicted."""

from __future__ import annotations

from ..errors import UserError
from ..nearest import unknown_value
from .spec import Recipe

ATTENTIONS = ("causal", "prefix")


def check_captioning(recipe: Recipe) -> None:
    """Raises UserError for the first setting of or around `model.decoder` that captions cannot be learnt with."""
    image, text, decoder = recipe.model.image, recipe.model.text, recipe.model.decoder
    if decoder is None:
        if recipe.objective.terms.get("captioning"):
            raise UserError(
                "objective.terms.captioning needs model.decoder, which is none; accepted is model.decoder.depth = 12, for instance"
            )
        return
    if text.pool != "cls":
        raise UserError(f"model.text.pool = {text.pool!r} does not go with model.decoder; accepted is cls")
    if image.pool != "attentional":
        raise UserError(f"model.image.pool = {image.pool!r} does not go with model.decoder; accepted is attentional")
    if text.attention != "causal":
        raise UserError(f"model.text.attention = {text.attention} shows model.decoder the words that it is to predict; accepted is causal")
    if decoder.attention not in ATTENTIONS:
        raise unknown_value("model.decoder.attention", decoder.attention, ATTENTIONS)
    if decoder.attention == "prefix" and decoder.parallel:
        raise UserError(f"model.decoder.parallel = {decoder.parallel} does not go with model.decoder.attention = prefix; accepted is 0")
