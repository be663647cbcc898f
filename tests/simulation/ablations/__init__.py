"""Each safeguard taken away, one at a time: the simulation must notice.

An ablation patches production code so that one safeguard is gone, says under which failures that
should show, and is run over seeds until a check fails. One that no seed catches is either useless
or untested: both are to be mended.
"""

from __future__ import annotations

from typing import Final

from tests.simulation.ablations.ablation import Ablation
from tests.simulation.ablations.claim_condition import CLAIM_CONDITION
from tests.simulation.ablations.endings import ENDINGS
from tests.simulation.ablations.evidence import EVIDENCE
from tests.simulation.ablations.groups import GROUPS
from tests.simulation.ablations.ledger import LEDGER
from tests.simulation.ablations.log import LOG
from tests.simulation.ablations.order import ORDER
from tests.simulation.ablations.siblings import SIBLINGS

ABLATIONS: Final[tuple[Ablation, ...]] = (
    *CLAIM_CONDITION,
    *ORDER,
    *EVIDENCE,
    *LEDGER,
    *ENDINGS,
    *LOG,
    *SIBLINGS,
    *GROUPS,
)

IN_THE_SUITE: Final = frozenset(
    {
        "one unresolved claim a market",
        "never re-post",
        "no POST without a claim that is ours",
        "unknown keeps exposure",
        "fills acknowledged after",
        "a note for each token and wallet",
        "a log that cannot be written stops nothing",
        "the group counts what moves",
    }
)
"""A quick one of each kind, which `make test` has; CI runs the others beside it."""
