"""What must hold between the tokens that fill a caption's row and the text tower's attention."""

from __future__ import annotations

from ..errors import UserError
from .spec import Recipe

UNSEEN = ("bert",)  # presets of models that never looked at padding


def check_padding(recipe: Recipe) -> None:
    """Raises UserError where padding would be seen that must not be, or cannot be told from the caption."""
    text, preset = recipe.model.text, recipe.data.tokenizer.preset
    if text.attention == "bidirectional" and preset in UNSEEN:
        raise UserError(
            f"model.text.attention = bidirectional looks at padding, which the model of data.tokenizer.preset = {preset} does not; "
            "accepted is bidirectional_masked, or causal"
        )
    if text.attention != "bidirectional_masked":
        return
    if text.pad_id is None or text.pad_id >= text.vocab_size:
        said = "none" if text.pad_id is None else text.pad_id
        raise UserError(
            f"model.text.pad_id = {said} is no token that model.text.attention = bidirectional_masked could mask; "
            f"accepted is the tokenizer's padding, below {text.vocab_size}"
        )
    if text.pool == "last":
        raise UserError("model.text.pool = last may read padding, which bidirectional_masked masks; accepted is eos or cls")
