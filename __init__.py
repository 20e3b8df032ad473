"""Diptych: pretraining of image-text models in JAX, from a laptop to a pod.

The public names are loaded when they are first used, so that `import diptych` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import UserError
    from .pretrain.export.encoder import Encoder, load

__version__ = "0.1.0"

_PUBLIC = {"load": ".pretrain.export.encoder", "Encoder": ".pretrain.export.encoder", "UserError": ".errors"}

__all__ = ["Encoder", "UserError", "__version__", "load"]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
