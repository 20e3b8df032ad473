"""The steps that a search has compiled, and the best of them."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable

import jax

from ..pretrain.spec import Recipe
from ..sharding.plan_cache import PlanCache
from ..sharding.roofline import Roofline
from ..sharding.topology import Topology
from .plan_recipe import plan_recipe
from .plan_result import RecipePlan

LOG = logging.getLogger("diptych")


@dataclasses.dataclass
class Search:
    """Plans variants of one recipe.

    compiles: the most that are planned; report: called with each. found: all, in their order. broken: those at which the compiler failed.
    """

    recipe: Recipe
    topology: Topology
    compiles: int
    report: Callable[[RecipePlan], None]
    cache: PlanCache | None = None
    found: list[RecipePlan] = dataclasses.field(default_factory=list)
    broken: list[Recipe] = dataclasses.field(default_factory=list)

    @property
    def spent(self) -> bool:
        """Whether no further plan may be made."""
        return len(self.found) + len(self.broken) >= self.compiles

    def plan(self, recipe: Recipe) -> RecipePlan | None:
        """One more, of as many samples as the recipe that is searched for; None, with a warning, where the compiler fails.

        A failure at the first is raised: nothing has been found that it could lose.
        """
        try:
            made = plan_recipe(recipe, self.topology, cache=self.cache)
        except jax.errors.JaxRuntimeError as error:
            if not self.found:
                raise
            mesh = " x ".join(map(str, dataclasses.astuple(recipe.mesh)[:3]))
            reason = str(error).partition("\n")[0]
            LOG.warning("batch %d, remat %s, mesh %s: not compiled: %s", recipe.train.batch_size, recipe.train.remat, mesh, reason)
            self.broken.append(recipe)
            return None
        plan = dataclasses.replace(made, steps=self.recipe.train.steps * self.recipe.train.batch_size / recipe.train.batch_size)
        self.found.append(plan)
        self.report(plan)
        return plan

    def seen(self, recipe: Recipe) -> bool:
        """Whether it has been planned, or tried to be."""
        return recipe in self.broken or any(plan.recipe == recipe for plan in self.found)


def best(found: Search, *, goal: str) -> RecipePlan:
    """The one to take: of those that fit the largest batch, or the fastest; where none fits the smallest need."""
    fitting = [plan for plan in found.found if plan.plan.fits]
    if goal == "batch" and fitting:
        return max(fitting, key=lambda plan: plan.recipe.train.batch_size)
    return min(found.found, key=rank)


def rank(found: RecipePlan) -> tuple[bool, float, float]:
    """The smaller the better: what fits by its step at the roofline, then by the sum of its parts (what overlaps less); else by need."""
    line: Roofline | None = found.plan.roofline
    if line is None or not found.plan.fits:
        return True, found.plan.weight.needed, 0.0
    return False, line.seconds, sum(line.limits.values())
