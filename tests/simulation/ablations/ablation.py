"""One safeguard taken away: how it is patched out, and how the simulation notices."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from tests.simulation.checks import violations
from tests.simulation.faults import Faults, draw_faults
from tests.simulation.scenario import run

Patch = Callable[[ExitStack], None]


@dataclass(frozen=True)
class Ablation:
    """What is taken away, what must be noticed, and how the world behaves for that to show."""

    name: str
    apply: Patch
    expects: str
    """Part of the violation: another one would be noticed for the wrong reason."""
    provoke: Callable[[Faults], None] = lambda _: None
    seed: int = 0
    """Where the search begins: a seed that has noticed before saves the way there."""


def replaced(target: Any, name: str, value: Any) -> Patch:
    """`value` stands where the safeguard stood."""
    return lambda stack: stack.enter_context(patch.object(target, name, value))  # type: ignore[func-returns-value]


def together(*patches: Patch) -> Patch:
    """Several patches that take one safeguard away."""

    def apply(stack: ExitStack) -> None:
        for each in patches:
            each(stack)

    return apply


@contextmanager
def ablated(ablation: Ablation) -> Iterator[None]:
    """Production code without the safeguard."""
    with ExitStack() as stack:
        ablation.apply(stack)
        yield


def caught_by(ablation: Ablation, seeds_max: int) -> tuple[int, str] | None:
    """(seed, violation) of the first seed that notices; None when so many do not."""
    with ablated(ablation):
        for seed in range(ablation.seed, ablation.seed + seeds_max):
            with run(seed, faults_of(ablation, seed)) as world:
                found = violations(world)
            noticed = [each for each in found if ablation.expects in each]
            if noticed:
                return seed, noticed[0]
    return None


def pristine(ablation: Ablation, seed: int) -> list[str]:
    """The same failures with the safeguard in its place: nothing may be found."""
    with run(seed, faults_of(ablation, seed)) as world:
        return violations(world)


def faults_of(ablation: Ablation, seed: int) -> Faults:
    """How the world behaves; with one account, unless the provocation says otherwise."""
    faults = draw_faults(random.Random(f"{ablation.name}:{seed}"))
    faults.alone()
    ablation.provoke(faults)
    return faults
