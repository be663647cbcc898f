"""What a strategy can be told: a pydantic model, each parameter with bounds and a sentence of help.

    class Parameters(StrategyParameters):
        imbalance_min: float = parameter(0.5, "The least imbalance.", ge=0, le=1, tunable=True)

Units stand last in names (`_ms`, `_s`, `_e4`, `_ticks`, `_usd`). Values come from a configuration
that people change while a worker runs, so what is not in its bounds never reaches `decide`.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class StrategyParameters(BaseModel):
    """The base of every strategy's parameters: frozen, and unknown names are refused."""

    # No NaN and no infinity: no bound refuses the one, and no configuration stores the other.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def tunable(cls) -> tuple[str, ...]:
        """The names of those that a sweep may vary."""
        return tuple(
            name
            for name, field in cls.model_fields.items()
            if isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("tunable")
        )


def parameter(
    default: Any,
    help_text: str,
    *,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
    tunable: bool = False,
) -> Any:
    """One parameter: its default, a sentence for a person, and its bounds.

    `tunable`: whether a sweep may vary it. The default must be within the bounds, too: it is
    checked as every other value is.
    """
    return Field(
        default=default,
        description=help_text,
        ge=ge,
        gt=gt,
        le=le,
        lt=lt,
        validate_default=True,
        json_schema_extra={"tunable": tunable},
    )
