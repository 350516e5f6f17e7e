"""What can be done with tiers."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg

from crm_api.core.errors import Conflict, Invalid, NotFound
from crm_api.core.ids import new_id
from crm_api.customers.service import unknown_customer
from crm_api.db.uow import UnitOfWork
from crm_api.db.violations import unique_as
from crm_api.tiers import checks
from crm_api.tiers.following import Following
from crm_api.tiers.models import TierOverrideCreate, TierReplayCreate, TierSchemeCreate, TierSchemeUpdate
from crm_api.tiers.repository import OverrideRepository, ReplayRepository, Scheme, SchemeRepository, StandingRepository
from crm_api.tiers.rules import Rules, Standing, Tier
from crm_api.tiers.walking import stand

READ = "loyalty:read"
WRITE = "loyalty:write"
JOB = "tiers.replay"

_HAS_ONE: Final = Conflict(
    "The loyalty programme has tiers already: change its scheme with PATCH /v1/loyalty/tiers/schemes/{id}",
    zh="该积分计划已有等级方案：请用 PATCH /v1/loyalty/tiers/schemes/{id} 修改",
    code="scheme_exists",
)


class TierService:
    """Schemes, tiers given by hand, and where customers stand."""

    def __init__(self, unit: UnitOfWork) -> None:
        """Work inside a unit."""
        self.unit = unit
        self.repository = SchemeRepository(unit)
        self.standings = StandingRepository(unit)

    # -- schemes ---------------------------------------------------------------------------------------------------

    async def create_scheme(self, data: TierSchemeCreate) -> UUID:
        """Give a loyalty programme tiers; a job then works out everybody's. Returns the scheme's id.

        Raises:
            Invalid: the rules cannot be.
            Conflict: there is no programme, or it has tiers already.

        """
        scheme_id, programme_id = await self._add(data)
        self.unit.emit("tier_scheme.created", scheme_id, {"name": data.name, "programme_id": str(programme_id)})
        await self._replay(scheme_id, "rules")
        return scheme_id

    async def require_code(self, code: str, pointer: str) -> None:
        """Raise Invalid, naming the pointer, unless a tier has this code: for domains that ask for tiers."""
        if not await self.repository.has_code(code):
            raise Invalid.field(pointer, "unknown_reference", "No tier has this code", "没有此等级代码")

    async def preset(self, data: TierSchemeCreate) -> None:
        """Store what a new tenant, which has no customers yet, starts with."""
        await self._add(data)

    async def _add(self, data: TierSchemeCreate) -> tuple[UUID, UUID]:
        self.unit.actor.require(WRITE)
        programme = await self._programme(data.programme_id)
        rules = checks.stored(data.rules, programme["currency"])
        scheme_id = new_id()
        row = {"id": scheme_id, "programme_id": programme["id"], "name": data.name, "rules": rules}
        with unique_as({"uq_tier_schemes_programme": _HAS_ONE}):
            await self.repository.insert(row)
        await self.repository.add_version(scheme_id, None, rules, programme["time_zone"])
        told = {"name": data.name, "programme_id": str(programme["id"])}
        self.unit.audit("tier_scheme.created", "TierScheme", scheme_id, after={**told, "rules": rules})
        return scheme_id, programme["id"]

    async def update_scheme(
        self, scheme_id: UUID, data: TierSchemeUpdate, *, expected_version: int | None = None
    ) -> None:
        """Change a scheme; new rules are kept beside the old ones and hold from now on, or from the start.

        Raises:
            NotFound: no such scheme.
            Invalid: the rules cannot be.
            PreconditionFailed: its version is not the expected one.

        """
        self.unit.actor.require(WRITE)
        before = await self.repository.get(scheme_id, lock=True, expected_version=expected_version)
        given = data.model_fields_set
        values: dict[str, Any] = {"name": data.name} if "name" in given else {}
        if data.rules is not None:
            programme = await self._programme(before["programme_id"])
            rules = checks.changed(before["rules"], data.rules, programme["currency"])
            from_start = data.apply == "from_the_start"
            if rules != before["rules"] or from_start:
                values["rules"] = rules
                since = None if from_start else self.unit.now()
                await self.repository.add_version(scheme_id, since, rules, programme["time_zone"])
                await self._replay(scheme_id, "rules")
        await self.repository.change(scheme_id, values)
        told = {name: before[name] for name in values}
        self.unit.audit("tier_scheme.updated", "TierScheme", scheme_id, before=told, after=values)
        self.unit.emit("tier_scheme.updated", scheme_id, {"programme_id": str(before["programme_id"])})

    async def start_replay(self, data: TierReplayCreate) -> UUID:
        """Queue a replay of everybody's tier; returns its id.

        Raises:
            NotFound: no such scheme.
            Conflict: the default programme has none.

        """
        self.unit.actor.require(WRITE)
        if data.scheme_id is not None:
            await self.repository.get(data.scheme_id)
        scheme_id = data.scheme_id or (await self._scheme(None)).id
        return await self._replay(scheme_id, "replay")

    async def _replay(self, scheme_id: UUID, cause: str) -> UUID:
        replay_id = new_id()
        await ReplayRepository(self.unit).insert({"id": replay_id, "scheme_id": scheme_id, "cause": cause})
        await self.unit.enqueue(JOB, {"replay_id": str(replay_id)})
        told = {"scheme_id": str(scheme_id), "cause": cause}
        self.unit.audit("tier_replay.started", "TierReplay", replay_id, after=told)
        self.unit.emit("tier_replay.started", replay_id, told)
        return replay_id

    # -- tiers given by hand ---------------------------------------------------------------------------------------

    async def give(self, customer_id: UUID, data: TierOverrideCreate) -> UUID:
        """Give a tier by hand until a day that is named; it holds at once. Returns the override's id.

        Raises:
            NotFound: no such customer.
            Invalid: no such tier, or the time cannot be.
            Conflict: the programme has no tiers.

        """
        self.unit.actor.require(WRITE)
        await self._require(customer_id)
        scheme = await self._scheme(data.programme_id)
        now = self.unit.now()
        starts_at = data.starts_at or now
        _check_override(data, scheme.rules, starts_at, now)
        override_id = new_id()
        row = {
            "id": override_id,
            "scheme_id": scheme.id,
            "customer_id": customer_id,
            "tier_code": data.tier,
            "mode": data.mode,
            "starts_at": starts_at,
            "ends_at": data.ends_at,
            "reason": data.reason,
        }
        actor = self.unit.actor
        await OverrideRepository(self.unit).insert({**row, "actor_kind": actor.kind, "actor_id": actor.id})
        told = {**data.model_dump(mode="json", exclude={"reason"}), "starts_at": starts_at.isoformat()}
        self._note("tier_override.given", override_id, customer_id, told)
        await Following(self.unit).look([customer_id], "override")
        return override_id

    async def end_override(self, override_id: UUID, *, expected_version: int | None = None) -> None:
        """End a tier given by hand now; ended already, nothing happens.

        Raises:
            NotFound: no such override.
            PreconditionFailed: its version is not the expected one.

        """
        self.unit.actor.require(WRITE)
        repository = OverrideRepository(self.unit)
        row = await repository.get(override_id, lock=True, expected_version=expected_version)
        now = self.unit.now()
        if row["ends_at"] <= now:
            return
        ends_at = max(now, row["starts_at"])
        await repository.change(override_id, {"ends_at": ends_at})
        self._note("tier_override.ended", override_id, row["customer_id"], {"ends_at": ends_at.isoformat()})
        await Following(self.unit).look([row["customer_id"]], "override")

    def _note(self, operation: str, override_id: UUID, customer_id: UUID, told: Mapping[str, Any]) -> None:
        self.unit.audit(operation, "TierOverride", override_id, after=told)
        self.unit.emit(operation, override_id, {**told, "customer_id": str(customer_id)})

    # -- where customers stand -------------------------------------------------------------------------------------

    async def current(self, customer_ids: Iterable[UUID], programme_id: UUID | None = None) -> dict[UUID, Tier | None]:
        """Return the tier of each customer, as stored; None for who has none."""
        wanted = list(customer_ids)
        found: dict[UUID, Tier | None] = dict.fromkeys(wanted)
        for row in await self.standings.current(wanted, programme_id):
            if row["code"] is not None:
                found[row["customer_id"]] = Rules.of(row["rules"], "UTC").named(row["code"])
        return found

    async def held_before(self, occasions: Collection[tuple[UUID, datetime]]) -> dict[tuple[UUID, datetime], Tier]:
        """Return the tier of the default programme that customers had just before something happened.

        Reckoned from the history, not read from what is stored: whether the news of the same order has reached the
        tiers or not makes no difference, and an order never counts towards the tier it is earned with.

        Args:
            occasions: customer and moment.

        Returns:
            By occasion; those without a tier, and all where the shop has none, are left out.

        """
        scheme = next((each for each in await self.repository.schemes() if each.main), None)
        known = await self.standings.living({customer_id for customer_id, _ in occasions}) if scheme else {}
        if scheme is None or not known:
            return {}
        histories = await self.standings.histories(scheme, known)
        given = await self.standings.overrides(scheme.id, list(known))
        found = {}
        for customer_id, moment in occasions:
            if customer_id in known:
                just_before = moment - datetime.resolution
                standing = stand(histories[customer_id], scheme.versions, given.get(customer_id, ()), just_before)
                if standing.tier is not None:
                    found[customer_id, moment] = standing.tier
        return found

    async def progress(self, customer_id: UUID, programme_id: UUID | None = None) -> dict[str, Any]:
        """Return where a customer stands this moment, and what is missing for the next tier: a `TierProgress`.

        Raises:
            NotFound: no such customer.
            Conflict: the programme has no tiers.

        """
        self.unit.actor.require(READ)
        scheme = await self._scheme(programme_id)
        standing = await self._stand(scheme, customer_id, self.unit.now())
        rules, tier = standing.rules, standing.tier
        return {
            "customer_id": customer_id,
            "scheme_id": scheme.id,
            "programme_id": scheme.programme_id,
            "level": standing.level,
            "code": tier and tier.code,
            "name": tier and tier.name,
            "multiplier": float(tier.multiplier) if tier else 1.0,
            "benefits": list(tier.benefits) if tier else [],
            "earned_level": standing.earned,
            "metric": rules.metric,
            "currency": rules.currency,
            "value": standing.value,
            "since": standing.since,
            "until": standing.until,
            "grace_until": standing.grace_until,
            "override_id": standing.override_id,
            "next": _next(standing),
            "will_fall": standing.drop
            and {"at": standing.drop.at, "to_level": standing.drop.level, "to_code": standing.drop.code},
        }

    async def history(
        self, customer_id: UUID, programme_id: UUID | None = None, as_of: datetime | None = None
    ) -> dict[str, Any]:
        """Return every change of a customer's tier by all that is known today: a `TierHistory`. Raises as `progress`.

        The log (`TierTransition`) says what was told when; this says what was true when. They differ where facts came
        late, were refunded, or where rules were changed from the start.
        """
        self.unit.actor.require(READ)
        scheme = await self._scheme(programme_id)
        moment = as_of or self.unit.now()
        standing = await self._stand(scheme, customer_id, moment)
        return {
            "customer_id": customer_id,
            "scheme_id": scheme.id,
            "as_of": moment,
            "level": standing.level,
            "code": standing.tier and standing.tier.code,
            "steps": [{name: getattr(each, name) for name in each.__slots__} for each in standing.steps],
        }

    # -- parts -----------------------------------------------------------------------------------------------------

    async def _stand(self, scheme: Scheme, customer_id: UUID, moment: datetime) -> Standing:
        known = await self._require(customer_id)
        histories = await self.standings.histories(scheme, known)
        given = await self.standings.overrides(scheme.id, [customer_id])
        return stand(histories[customer_id], scheme.versions, given.get(customer_id, ()), moment)

    async def _require(self, customer_id: UUID) -> dict[UUID, datetime]:
        known = await self.standings.living([customer_id])
        if not known:
            raise unknown_customer("/customer_id")
        return known

    async def _programme(self, programme_id: UUID | None) -> asyncpg.Record:
        programme = await self.repository.programme(programme_id)
        if programme is None and programme_id is not None:
            raise NotFound("There is no such loyalty programme", zh="没有此积分计划")
        if programme is None:
            raise Conflict("The shop has no loyalty programme", zh="店铺尚未开通积分计划", code="no_programme")
        return programme

    async def _scheme(self, programme_id: UUID | None) -> Scheme:
        for scheme in await self.repository.schemes():
            if scheme.main if programme_id is None else scheme.programme_id == programme_id:
                return scheme
        raise Conflict(
            "The loyalty programme has no tiers: give it some with POST /v1/loyalty/tiers/schemes",
            zh="该积分计划尚无等级：请先通过 POST /v1/loyalty/tiers/schemes 设置",
            code="no_tiers",
        )


def _next(standing: Standing) -> dict[str, Any] | None:
    rules, value = standing.rules, standing.value
    if standing.level >= len(rules.tiers):
        return None
    tier = rules.tiers[standing.level]
    return {
        "level": tier.level,
        "code": tier.code,
        "name": tier.name,
        "threshold": tier.threshold,
        "missing": max(0, tier.threshold - value),
        "share": min(1.0, value / tier.threshold) if tier.threshold else 1.0,
    }


def _check_override(data: TierOverrideCreate, rules: Rules, starts_at: datetime, now: datetime) -> None:
    if rules.named(data.tier) is None:
        codes = ", ".join(each.code for each in rules.tiers)
        raise Invalid.field(
            "/tier", "unknown_tier", f"There is no such tier; there are: {codes}", f"没有此等级；可选：{codes}"
        )
    if starts_at < now:
        raise Invalid.field(
            "/starts_at", "in_the_past", "A tier cannot be given for the past", "不能为过去的时间指定等级"
        )
    if data.ends_at <= starts_at:
        raise Invalid.field("/ends_at", "wrong_order", "This lies before its beginning", "结束时间早于开始时间")
