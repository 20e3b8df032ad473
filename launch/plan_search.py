"""What else fits: the largest batch, or the fastest remat policy and mesh, found by compiling a bounded number of steps."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping

from ..errors import UserError
from ..pretrain.spec import Recipe
from ..sharding.plan_cache import PlanCache
from ..sharding.roofline import Roofline
from ..sharding.topology import Topology
from .plan_recipe import placed, plan_recipe
from .plan_result import RecipePlan

REMATS = ("none", "dots", "full")
FINENESS = 16  # the largest batch is found to within so small a part of it
LEAP = 8  # times the largest that fits: further a line through small batches is not believed


@dataclasses.dataclass
class Search:
    """Plans variants of one recipe. compiles: the most that are planned; report: called with each. found: all, in their order."""

    recipe: Recipe
    topology: Topology
    compiles: int
    report: Callable[[RecipePlan], None]
    cache: PlanCache | None = None
    found: list[RecipePlan] = dataclasses.field(default_factory=list)

    @property
    def spent(self) -> bool:
        """Whether no further plan may be made."""
        return len(self.found) >= self.compiles

    def plan(self, recipe: Recipe) -> RecipePlan:
        """One more, of as many samples as the recipe that is searched for."""
        steps = self.recipe.train.steps * self.recipe.train.batch_size / recipe.train.batch_size
        plan = dataclasses.replace(plan_recipe(recipe, self.topology, cache=self.cache), steps=steps)
        self.found.append(plan)
        self.report(plan)
        return plan

    def seen(self, recipe: Recipe) -> bool:
        """Whether it has been planned."""
        return any(plan.recipe == recipe for plan in self.found)


def search(
    goal: str, recipe: Recipe, topology: Topology, *, compiles: int, report: Callable[[RecipePlan], None], cache: PlanCache | None = None
) -> Search:
    """goal: `batch` or `speed`. UserError where the recipe as it is does not go onto the topology."""
    found = Search(recipe=placed(recipe, topology), topology=topology, compiles=compiles, report=report, cache=cache)
    (search_batch if goal == "batch" else search_speed)(found)
    return found


def best(found: Search, *, goal: str) -> RecipePlan:
    """The one to take: of those that fit the largest batch, or the fastest; where none fits the smallest need."""
    fitting = [plan for plan in found.found if plan.plan.fits]
    if goal == "batch" and fitting:
        return max(fitting, key=lambda plan: plan.recipe.train.batch_size)
    return min(found.found, key=rank)


def search_batch(found: Search) -> None:
    """Batches of the recipe's mesh and remat policy."""
    mesh, train = found.recipe.mesh, found.recipe.train
    unit = mesh.replica * mesh.fsdp * train.accumulate
    needed: dict[int, int] = {}
    rows: int | None = train.batch_size // unit
    while rows and not found.spent:
        bigger = dataclasses.replace(train, batch_size=rows * unit)
        plan = found.plan(dataclasses.replace(found.recipe, train=bigger))
        needed[rows] = plan.plan.weight.needed
        rows = next_rows(needed, usable=plan.plan.usable)


def next_rows(needed: Mapping[int, int], *, usable: float) -> int | None:
    """How many rows of a device to try after those whose bytes are `needed`; None where the largest that fits is known.

    Twice or half as many until there are two points; then where the line through the nearest two meets `usable`, rounded down to a
    sixteenth (a power of two).
    """
    fits = max((rows for rows, size in needed.items() if size <= usable), default=0)
    full = min((rows for rows, size in needed.items() if size > usable), default=None)
    if len(needed) == 1 or not fits:
        return 2 * fits if fits else (full or 0) // 2 or None
    nearest = sorted(needed, key=lambda rows: abs(needed[rows] - usable))[:2]
    low, high = sorted(nearest)
    slope = (needed[high] - needed[low]) / (high - low)
    guess = int(high + (usable - needed[high]) / slope) if slope > 0 else 2 * fits
    step = 1 << max((guess // FINENESS).bit_length() - 1, 0)
    rows = min(max(guess // step * step, fits + step), LEAP * fits)
    if full is not None and rows >= full:
        rows = full - step
    return rows if rows > fits else None


def search_speed(found: Search) -> None:
    """Remat policies on the recipe's mesh, then meshes with the best of them: fsdp twice or half as wide as long as that helps."""
    for remat in REMATS:
        if not found.spent:
            found.plan(dataclasses.replace(found.recipe, train=dataclasses.replace(found.recipe.train, remat=remat)))
    for wider in (True, False):
        before = best(found, goal="speed")
        for recipe in meshes(before.recipe, found.topology, wider=wider):
            if found.spent or found.seen(recipe):
                return
            after = found.plan(recipe)
            if rank(after) >= rank(before):
                break
            before = after


def meshes(recipe: Recipe, topology: Topology, *, wider: bool) -> Iterator[Recipe]:
    """The recipe on meshes whose fsdp is twice, four times ... (or a half, a quarter ...) as wide, as far as they go."""
    fsdp = recipe.mesh.fsdp
    while True:
        fsdp, odd = (2 * fsdp, 0) if wider else divmod(fsdp, 2)
        if odd or not fsdp:
            return
        try:
            yield placed(dataclasses.replace(recipe, mesh=dataclasses.replace(recipe.mesh, replica=-1, fsdp=fsdp)), topology)
        except UserError:
            return


def rank(found: RecipePlan) -> tuple[bool, float, float]:
    """The smaller the better: what fits by its step at the roofline, then by the sum of its parts (what overlaps less); else by need."""
    line: Roofline | None = found.plan.roofline
    if line is None or not found.plan.fits:
        return True, found.plan.weight.needed, 0.0
    return False, line.seconds, sum(dataclasses.astuple(line))
