"""The `README.md` of an exported model: what it is, what it was trained on, how good it is, how to use it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..ema import AVERAGED
from ..evaluate import evaluations, read_evaluation
from ..metrics_table import metrics_rows
from ..spec import Recipe
from .config import ExportConfig

USE = """\
```python
import diptych

model = diptych.load("{name}")
images = model.encode_image(["photo.jpg"])           # paths, PIL images or uint8 arrays -> float32[1, {embed_dim}]
texts = model.encode_text(["a photo of a cat", "a photo of a dog"])
print(images @ texts.T)                              # cosines
```"""


def model_card(config: ExportConfig, recipe: Recipe, *, name: str, parameters: int, metrics: str) -> str:
    """The card as Markdown. name: of the folder. parameters: how many. metrics: a table, or why there is none."""
    origin, model = config.origin, config.model
    objective = " + ".join(f"{weight:g} x {term}" for term, weight in recipe.objective.terms.items())
    average = f", their moving average (decay {recipe.train.ema_decay:g})" if origin.params == AVERAGED else ""
    facts = {
        "recipe": f"`{origin.recipe}` (identity `{origin.hash[:16]}`)",
        "parameters": f"{parameters:,}" + average,
        "image tower": f"depth {model.image.depth}, width {model.image.width}, patch {model.image.patch_size}, {config.image_size} pixels",
        "text tower": f"depth {model.text.depth}, width {model.text.width}, {model.text.context_length} tokens, {config.tokenizer}",
        "embedding": f"{model.embed_dim} numbers, unit length",
        "objective": objective,
        "trained for": f"{origin.steps:,} steps, {origin.samples:,} samples, batches of {recipe.train.batch_size:,}",
        "trained on": f"{', '.join(f'`{pattern}`' for pattern in recipe.data.train)} (manifest `{origin.manifest[:16]}`)",
    }
    rows = "\n".join(f"| {key} | {value} |" for key, value in facts.items())
    use = USE.format(name=name, embed_dim=model.embed_dim)
    return (
        f"# {name}\n\nAn image-text encoder trained with Diptych.\n\n| | |\n|---|---|\n{rows}\n\n"
        f"## Use\n\n{use}\n\n## Evaluation\n\n{metrics}\n"
    )


def latest_metrics(workdir: Path, *, step: int) -> str:
    """The newest evaluation of a run up to a step as a Markdown table."""
    done = [path for path in evaluations(workdir) if int(path.stem) <= step]
    evaluation = read_evaluation(done[-1]) if done else None
    if evaluation is None or not evaluation["metrics"]:
        return "Not evaluated before it was exported."
    return f"At step {evaluation['step']:,}; chance is a random ranking.\n\n" + markdown(evaluation["metrics"])


def markdown(metrics: Mapping[str, float]) -> str:
    """The rows of the metrics table in Markdown."""
    lines = [f"| {' | '.join(row)} |" for row in metrics_rows(metrics)]
    return "\n".join(["| task | metric | value | chance |", "|---|---|--:|--:|", *lines])
