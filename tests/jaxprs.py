"""What a traced program consists of."""

from jax.extend.core import jaxprs_in_params


def equations(jaxpr, name=None):
    """All equations, or those of one primitive, of a jaxpr and of what it calls."""
    for equation in jaxpr.eqns:
        if name in (None, equation.primitive.name):
            yield equation
        for inner in jaxprs_in_params(equation.params):
            yield from equations(inner, name)
