"""What can be done with clusterings. The work itself is in ``runner.py``."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from crm_api.attributes.models import PREFIX
from crm_api.attributes.service import definitions_of
from crm_api.clusters.features import FEATURES, Feature, FeatureKind, Words, attribute_feature
from crm_api.clusters.models import ClusteringCreate, ClusteringRerun, FeatureChoice
from crm_api.clusters.repository import ClusteringRepository
from crm_api.core.errors import Conflict, Duplicate, FieldError, Invalid
from crm_api.core.ids import new_id
from crm_api.db.uow import UnitOfWork

READ = "segments:read"
WRITE = "segments:write"
JOB = "clusters.run"

_KINDS: dict[str, FeatureKind] = {"number": "number", "money": "money"}
"""Attributes that are features, by their type."""
_ASKED = ("rule", "segment_id", "k", "min_k", "max_k", "seed", "missing", "currency")
OPEN = frozenset({"queued", "running"})


class ClusteringService:
    """Clusterings: asked for, done again, drawn; and the steps of their job."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = ClusteringRepository(unit)

    # -- asked by people -------------------------------------------------------------------------------------------

    async def features(self) -> dict[str, Any]:
        """Return all that customers can be told apart by, the shop's own attributes too, as `FeatureInfos`."""
        self.unit.actor.require(READ)
        return {"features": [each.shown() for each in (await self._known()).values()]}

    async def start(self, data: ClusteringCreate) -> UUID:
        """Queue a clustering; returns its id.

        Raises:
            Invalid: a feature, the rule, the segment or the range is not right.
            Forbidden: a feature or the rule names what the caller has no scope for.
            Duplicate: there is a clustering of this name.

        """
        self.unit.actor.require(WRITE)
        features = await self._features(data.features)
        rule = await self._check_population(data)
        _check_range(data)
        await self.repository.take_turn()
        if await self.repository.is_taken(data.name):
            raise Duplicate(
                errors=[
                    FieldError(
                        "/name",
                        "duplicate",
                        "A clustering has this name: do it again (rerun), or choose another name",
                        "已有同名聚类：请重新运行（rerun）或换一个名称",
                    )
                ]
            )
        asked = data.model_dump(include=set(_ASKED)) | {"rule": rule}
        # What was refused or failed leaves its name to whoever asks for something else.
        revision = await self.repository.last_revision(data.name) + 1
        return await self._insert({"name": data.name, "revision": revision, "features": features, **asked})

    async def rerun(self, clustering_id: UUID, data: ClusteringRerun) -> UUID:
        """Queue the same clustering over customers as they are now: a new revision with clusters of its own.

        Raises:
            NotFound: there is no such clustering.
            Conflict: ``clustering_running``: a revision of it is not done.
            Invalid: a feature or the rule is not right any more.
            Forbidden: it names what the caller has no scope for.

        """
        self.unit.actor.require(WRITE)
        await self.repository.take_turn()
        row = await self.repository.get(clustering_id)
        last = await self.repository.last_revision(row["name"])
        if await self.repository.is_open(row["name"]):
            raise Conflict(
                "A revision of this clustering is not done: wait for it",
                zh="该聚类有尚未完成的版本：请等待其结束",
                code="clustering_running",
            )
        chosen = [FeatureChoice(name=each["name"], transform=each["transform"]) for each in row["features"]]
        features = await self._features(chosen)
        if row["rule"] is not None:
            await self.repository.chosen(row["rule"], check=True)
        asked = {name: row[name] for name in _ASKED}
        again = {"name": row["name"], "revision": last + 1, "archive_previous": data.archive_previous}
        return await self._insert({**again, "features": features, **asked})

    async def picture(self, clustering_id: UUID) -> bytes:
        """Return a sample of the customers in the plane of their first two principal components, as SVG.

        Raises:
            NotFound: there is no such clustering.
            Conflict: it is not completed.

        """
        self.unit.actor.require(READ)
        row = await self.repository.get(clustering_id)
        if row["picture"] is None:
            raise Conflict(
                "There is nothing to draw: the clustering is not completed",
                zh="聚类尚未完成，无法绘图",
                code="not_completed",
            )
        lang = self.unit.actor.locale
        found = [
            {
                "position": each["position"],
                "name": each[f"name_{lang}"],
                "words": each[f"profile_{lang}"],
                "share": each["share"],
            }
            for each in await self.repository.clusters_of(clustering_id)
        ]
        from crm_api.clusters.picture import draw  # noqa: PLC0415 - only who asks for a picture needs it

        return await asyncio.to_thread(draw, row["picture"], found, row["name"], row["customers"], lang)

    async def _insert(self, row: dict[str, Any]) -> UUID:
        clustering_id = new_id()
        await self.repository.insert({"id": clustering_id, **row})
        await self.unit.enqueue(JOB, {"clustering_id": str(clustering_id)})
        shown = row | {"segment_id": row["segment_id"] and str(row["segment_id"])}
        self.unit.audit("clustering.started", "Clustering", clustering_id, after=shown)
        return clustering_id

    async def _known(self) -> dict[str, Feature]:
        """Return what can be chosen: our own features and the shop's attributes of numbers and money."""
        own = {
            f"{PREFIX}{each.key}": attribute_feature(
                f"{PREFIX}{each.key}", _KINDS[each.type], Words(each.label_en, each.label_zh)
            )
            for each in (await definitions_of(self.unit, "customer")).values()
            if each.type in _KINDS and not each.archived
        }
        return {**FEATURES, **own}

    async def _features(self, choices: Sequence[FeatureChoice]) -> list[dict[str, Any]]:
        """Return chosen features as they are stored.

        Raises:
            Invalid: one is unknown or named twice.
            Forbidden: the caller may not know one.

        """
        known = await self._known() if any(each.name.startswith(PREFIX) for each in choices) else FEATURES
        errors: list[FieldError] = []
        stored: list[dict[str, Any]] = []
        for place, choice in enumerate(choices):
            feature = known.get(choice.name)
            pointer = f"/features/{place}/name"
            if feature is None:
                errors.append(
                    FieldError(
                        pointer,
                        "feature_unknown",
                        "There is no such feature: GET /v1/clustering-features lists them",
                        "没有该特征：可通过 GET /v1/clustering-features 查看",
                    )
                )
            elif any(each["name"] == choice.name for each in stored):
                errors.append(FieldError(pointer, "repeated", "Each feature only once", "每个特征只能出现一次"))
            else:
                self.unit.actor.require(feature.scope)
                transform = feature.transform if choice.transform == "auto" else choice.transform
                shown = {"name": feature.name, "kind": feature.kind, "label": feature.label.shown()}
                stored.append({**shown, "transform": transform, "missing": None, "used": None})
        if errors:
            raise Invalid(errors=errors)
        return stored

    async def _check_population(self, data: ClusteringCreate) -> dict[str, Any] | None:
        """Check who takes part; returns the rule as it is stored."""
        if data.rule is not None and data.segment_id is not None:
            raise Invalid.field("/segment_id", "conflict", "Give a rule or a segment", "规则与分群只能提供其一")
        if data.segment_id is not None and not await self.repository.has_segment(data.segment_id):
            raise Invalid.field("/segment_id", "not_found", "There is no such segment", "分群不存在")
        if data.rule is None:
            return None
        document: dict[str, Any] = (await self.repository.chosen(data.rule, check=True)).rule.document
        return document


def _check_range(data: ClusteringCreate) -> None:
    given = data.model_fields_set
    if data.k is not None and given & {"min_k", "max_k"}:
        raise Invalid.field("/k", "conflict", "Give k, or a range to choose from", "k 与范围只能提供其一")
    if data.min_k > data.max_k:
        raise Invalid.field(
            "/min_k", "out_of_range", f"At most max_k, which is {data.max_k}", f"不能大于 max_k（{data.max_k}）"
        )
