"""FLOPs of a traced function: matrix products and convolutions counted in the jaxpr, loop lengths included.

XLA's own cost analysis counts the body of a scan once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax.extend import core


def count_flops(function: Callable, *args: Any) -> int:
    """2 x multiply-adds of the matrix products in one call of `function`; args may be ShapeDtypeStruct. Nothing is compiled."""
    return _jaxpr_flops(jax.make_jaxpr(function)(*args).jaxpr)


def _jaxpr_flops(jaxpr: core.Jaxpr) -> int:
    return sum(_equation_flops(equation) for equation in jaxpr.eqns)


def _equation_flops(equation: core.JaxprEqn) -> int:
    if equation.primitive.name == "dot_general":
        (contracted, _), _ = equation.params["dimension_numbers"]
        left, out = (var.aval.shape for var in (equation.invars[0], equation.outvars[0]))  # type: ignore[attr-defined]
        return 2 * math.prod(out) * math.prod(left[dimension] for dimension in contracted)
    times = equation.params["length"] if equation.primitive.name == "scan" else 1
    return times * sum(_jaxpr_flops(inner) for inner in _inner_jaxprs(equation))


def _inner_jaxprs(equation: core.JaxprEqn) -> Iterator[core.Jaxpr]:
    for value in equation.params.values():
        for item in value if isinstance(value, (tuple, list)) else (value,):
            if isinstance(item, core.ClosedJaxpr):
                yield item.jaxpr
            elif isinstance(item, core.Jaxpr):
                yield item
