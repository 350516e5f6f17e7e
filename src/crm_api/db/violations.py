"""Turning a unique constraint's refusal into the domain's own error."""

import contextlib
from collections.abc import Iterator, Mapping

import asyncpg

from crm_api.core.errors import CrmError


@contextlib.contextmanager
def unique_as(errors: Mapping[str, CrmError]) -> Iterator[None]:
    """Raise the error mapped to the constraint (or unique index) that a statement in the block violates."""
    try:
        yield
    except (asyncpg.UniqueViolationError, asyncpg.CheckViolationError) as violation:
        error = errors.get(violation.constraint_name or "")
        if error is None:
            raise
        raise error from violation
