"""What can be done with classifications: definitions, what staff judge, the conversion matrix."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from crm_api.classifications.definitions import DIMENSIONS, checked, checked_limits, classes_of
from crm_api.classifications.models import (
    ClassificationUpdate,
    CustomerPotentialSet,
    ScoringRunCreate,
    TransitionsAsked,
    TransitionsBasis,
)
from crm_api.classifications.names import starting
from crm_api.classifications.repository import ClassificationRepository, PotentialRepository
from crm_api.classifications.repository.scoring import ScoringRepository
from crm_api.classifications.scoring import ScoringService
from crm_api.core.errors import NotFound, PreconditionFailed
from crm_api.core.ids import new_id
from crm_api.core.moments import period
from crm_api.db.uow import UnitOfWork

READ = "segments:read"
WRITE = "segments:write"
NONE = "none"


class ClassificationService:
    """Definitions: visible, editable, every version kept."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = ClassificationRepository(unit)

    async def begin(self, preset: Mapping[str, Any]) -> None:
        """Store the definitions a new tenant starts with."""
        for dimension in DIMENSIONS:
            definition, limits = starting(dimension, preset.get(dimension, {}))
            row = {"id": new_id(), "dimension": dimension, "definition": definition, "contact_limits": limits}
            await self.repository.insert(row)
            await self._keep({**row, "version": 1})

    async def id_of(self, dimension: str) -> UUID:
        """Return the id of a dimension's classification.

        Raises:
            NotFound: the tenant has none.

        """
        self.unit.actor.require(READ)
        found: UUID = self._found(await self.repository.by_dimension(dimension))["id"]
        return found

    async def update(self, dimension: str, data: ClassificationUpdate, *, expected_version: int | None = None) -> UUID:
        """Change a definition or its contact limits; a changed definition has everybody scored anew.

        Raises:
            Invalid: names every part that cannot be.
            PreconditionFailed: somebody was faster.

        """
        self.unit.actor.require(WRITE)
        before = self._found(await self.repository.by_dimension(dimension, lock=True))
        if expected_version is not None and before["version"] != expected_version:
            raise PreconditionFailed
        definition = checked(dimension, {**before["definition"], **data.definition})
        limits = before["contact_limits"]
        if "contact_limits" in data.model_fields_set:
            limits = checked_limits(definition, dimension, data.contact_limits)
        # A group that is gone takes its limit with it.
        known = classes_of(dimension, definition)
        after = {"definition": definition, "contact_limits": {key: limits[key] for key in limits if key in known}}
        changed = {name: value for name, value in after.items() if value != before[name]}
        classification_id: UUID = before["id"]
        if not changed:
            return classification_id
        row = await self.repository.change(classification_id, changed)
        await self._keep(row)
        if "definition" in changed:
            await ScoringService(self.unit).start(ScoringRunCreate(), cause="edit")
        self.unit.audit(
            "classification.updated",
            "Classification",
            classification_id,
            before={name: before[name] for name in changed},
            after=changed,
        )
        told = {"dimension": dimension, "version": row["version"]}
        self.unit.emit("classification.updated", classification_id, told)
        return classification_id

    async def transitions(self, data: TransitionsAsked, at: tuple[str, str] = ("/from_at", "/to_at")) -> dict[str, Any]:
        """Return how customers moved between the classes of a dimension.

        Args:
            data: which, and between which moments.
            at: where the moments were given, for errors.

        Raises:
            Invalid: a moment that cannot be read, or the first one is not the earlier.

        """
        self.unit.actor.require(READ)
        zone = await ScoringRepository(self.unit).zone()
        start, end = period(data.from_at, data.to_at, zone, self.unit.now(), at)
        basis = data.basis or await self._basis(start)
        if basis == "record":
            rows = await self.repository.matrix(data.dimension, start, end)
        else:
            rows = await ScoringService(self.unit).reckon_matrix(data.dimension, start, end)
        stored = self._found(await self.repository.by_dimension(data.dimension))
        known = [*classes_of(data.dimension, stored["definition"]), NONE]
        # Groups may have had other names in between.
        former = sorted({each[side] for each in rows for side in ("before", "after")} - {*known})
        order = [*known[:-1], *former, NONE]
        return {
            "dimension": data.dimension,
            "basis": basis,
            "from_at": start,
            "to_at": end,
            "customers": sum(each["customers"] for each in rows),
            "classes": order,
            "cells": _cells(rows, order),
        }

    async def _basis(self, start: datetime) -> TransitionsBasis:
        # Imported orders reach back to before there was a log: it would say that nobody was there.
        began = await ScoringRepository(self.unit).beginning()
        return "orders" if began is None or start < began else "record"

    @staticmethod
    def _found(row: asyncpg.Record | None) -> asyncpg.Record:
        if row is None:
            raise NotFound
        return row

    async def _keep(self, row: Any) -> None:
        kept = {name: row[name] for name in ("dimension", "version", "definition", "contact_limits")}
        actor = self.unit.actor
        by = {"actor_kind": actor.kind, "actor_id": actor.id if actor.kind == "key" else None}
        await self.repository.keep_version({"id": new_id(), **kept, **by})


def _cells(rows: list[asyncpg.Record], order: list[str]) -> list[dict[str, Any]]:
    totals: dict[str, int] = {}
    for row in rows:
        totals[row["before"]] = totals.get(row["before"], 0) + row["customers"]
    ranked = sorted(rows, key=lambda row: (order.index(row["before"]), order.index(row["after"])))
    return [
        {
            "from_class": row["before"],
            "to_class": row["after"],
            "customers": row["customers"],
            "share": row["customers"] / totals[row["before"]],
        }
        for row in ranked
    ]


class PotentialService:
    """What staff think a customer may become."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = PotentialRepository(unit)

    async def set(self, customer_id: UUID, data: CustomerPotentialSet, *, expected_version: int | None = None) -> UUID:
        """Store what is thought of a customer in the place of what was; the classes follow within moments.

        Raises:
            NotFound: there is no such customer.
            PreconditionFailed: somebody was faster.

        """
        self.unit.actor.require(WRITE)
        await self.repository.require_customer(customer_id)
        before = await self.repository.of_customer(customer_id)
        if expected_version is not None and (before is None or before["version"] != expected_version):
            raise PreconditionFailed
        values = data.model_dump()
        if before is None:
            potential_id = new_id()
            await self.repository.insert({"id": potential_id, "customer_id": customer_id, **values})
        else:
            potential_id = before["id"]
            await self.repository.change(potential_id, values)
        self.unit.audit(
            "customer_potential.set",
            "CustomerPotential",
            potential_id,
            before=None if before is None else {name: _plain(before[name]) for name in values},
            after=data.model_dump(mode="json"),
        )
        self.unit.emit("customer.potential_set", customer_id, {})
        return potential_id


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, UUID) else value
