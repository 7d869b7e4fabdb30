"""Records as they are kept in Redis, read by whoever shows them: one of another shape must not keep the rest away."""

from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel

_Record = TypeVar("_Record", bound=BaseModel)

_YEAR_10_000 = 253_402_300_800.0


def _in_the_calendar(moment: float) -> float:
    if not 0.0 <= moment < _YEAR_10_000:  # NaN is not, either
        raise ValueError("no time of any calendar")
    return moment


EpochSeconds = Annotated[float, AfterValidator(_in_the_calendar)]
"""Seconds since 1970 that a datetime can be made of."""


def read_kept(kind: type[_Record], kept: str | None) -> _Record | None:
    """None where there is none, or something else was written there."""
    try:
        return kind.model_validate_json(kept) if kept else None
    except ValueError:
        return None
