"""Access to households; children's ages and stages, made in SQL from today in the tenant's zone."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Date,
    FromClause,
    Integer,
    Text,
    Uuid,
    and_,
    any_,
    bindparam,
    case,
    delete,
    func,
    literal_column,
    or_,
    select,
    true,
)
from sqlalchemy import column as named_column
from sqlalchemy.dialects.postgresql import insert

from crm_api.accounts.tables import tenants
from crm_api.core.errors import Invalid, NotFound, PreconditionFailed
from crm_api.customers.repository import CUSTOMER
from crm_api.customers.tables import customers
from crm_api.db import timeline
from crm_api.db.ownership import Erased
from crm_api.db.projections import (
    NOW,
    TENANT,
    Filter,
    FilterValue,
    Projection,
    asc,
    at_least,
    below,
    column,
    columns,
    desc,
    eq,
    eq_ref,
    extend,
    items,
    many,
    one,
    ref,
    sql,
    struct,
)
from crm_api.db.repository import Repository
from crm_api.db.uow import UnitOfWork
from crm_api.households.models import Household, HouseholdMember, HouseholdSettings, MemberRelation
from crm_api.households.rules import CHILD, DEFAULT_STAGES, OVERDUE, UNBORN, StageSettings
from crm_api.households.tables import customer_children, household_members, household_settings, households

# -- ages and stages ---------------------------------------------------------------------------------------------------

Given = ColumnElement[Any]


def today() -> Given:
    """Return the tenant's business day by the unit's clock; evaluated once per statement."""
    found = func.crm_today(TENANT, NOW).table_valued(named_column("day", Date)).render_derived()
    return select(found.c.day).scalar_subquery()


def _cuts(tenant: Given, now: Given) -> FromClause:
    """Return the tenant's stages as they are now: code, first month, and the latest birth that has reached it."""
    return (
        func.crm_stage_cuts(tenant, now)
        .table_valued(named_column("code", Text), named_column("from_months", Integer), named_column("newest", Date))
        .render_derived()
    )


def _overdue_after(tenant: Given) -> Given:
    table = household_settings.alias()
    stored = select(table.c.overdue_after_days).where(table.c.tenant_id == tenant).scalar_subquery()
    default = literal_column(str(DEFAULT_STAGES.overdue_after_days), Integer())
    return func.coalesce(stored, default, type_=Integer())


def age_months(born: Given, day: Given) -> Given:
    """Return the whole months between a birth and a day.

    On the last day of a month that is too short for the birth's day, the month is whole. ``born`` and ``day`` must be
    plain values, so that PostgreSQL takes the function's body into the plan.
    """
    return func.crm_age_months(born, day, type_=Integer())


def _age(t: FromClause) -> Given:
    """Return a member's age; a sub-select makes plain values of the day and the birthday."""
    given = select(_born_on(t).label("born"), today().label("day")).offset(literal_column("0")).subquery()
    return select(age_months(given.c.born, given.c.day)).scalar_subquery()


def stage_of(born: Given, due: Given, tenant: Given = TENANT, now: Given = NOW) -> Given:
    """Return a child's stage at a time: by its birth, else by its due date, else null.

    The days at which stages begin are made once per statement, so that each row is one search in a sorted array.
    A due date that has passed says nothing about a birth: until ``overdue_after_days`` later the child is still
    expected, then the stage is ``overdue``, and it becomes no age before somebody records the birth.
    """
    cuts, names = _cuts(tenant, now), _cuts(tenant, now)
    days = func.array(select(cuts.c.newest).order_by(cuts.c.newest).scalar_subquery(), type_=ARRAY(Date))
    codes = func.array(select(names.c.code).order_by(names.c.newest).scalar_subquery(), type_=ARRAY(Text))
    # Of the cuts in the order of their days, the first that is not before the birth.
    place = func.width_bucket(born - literal_column("1", Integer()), days, type_=Integer()) + literal_column("1")
    return case(
        (born.is_not(None), codes[place]),
        (due >= _still_expected(tenant, now), literal_column(f"'{UNBORN}'", Text())),
        (due.is_not(None), literal_column(f"'{OVERDUE}'", Text())),
    )


def _still_expected(tenant: Given, now: Given) -> Given:
    """Return the earliest due date of a child who is still expected."""
    found = func.crm_today(tenant, now).table_valued(named_column("day", Date)).render_derived()
    return select(found.c.day - _overdue_after(tenant)).scalar_subquery()


def _is_in_stage(born: Given, due: Given, wanted: Given) -> ColumnElement[bool]:
    """Tell whether a child is in a stage, by days that indexes serve."""
    cuts, next_ = _cuts(TENANT, NOW), _cuts(TENANT, NOW)
    newest = select(cuts.c.newest).where(cuts.c.code == wanted).scalar_subquery()
    start = _cuts(TENANT, NOW)
    begin = select(start.c.from_months).where(start.c.code == wanted).scalar_subquery()
    oldest = select(func.max(next_.c.newest)).where(next_.c.from_months > begin).scalar_subquery()
    after = func.coalesce(oldest, literal_column("'-infinity'::date"), type_=Date())
    limit = _still_expected(TENANT, NOW)
    return or_(
        and_(born <= newest, born > after),
        and_(born.is_(None), wanted == literal_column(f"'{UNBORN}'"), due >= limit),
        and_(born.is_(None), wanted == literal_column(f"'{OVERDUE}'"), due < limit),
    )


def _birthday_of_customer(t: FromClause) -> ColumnElement[Any]:
    c = customers.alias()
    day = func.make_date(c.c.birth_year, c.c.birth_month, c.c.birth_day, type_=Date())
    return (
        select(day)
        .where(
            c.c.tenant_id == TENANT,
            c.c.id == t.c.customer_id,
            c.c.birth_calendar == literal_column("'solar'"),
            c.c.birth_year.is_not(None),
        )
        .scalar_subquery()
    )


def _born_on(t: FromClause) -> ColumnElement[Any]:
    return func.coalesce(t.c.born_on, _birthday_of_customer(t), type_=Date())


def _child(t: FromClause, made: ColumnElement[Any]) -> ColumnElement[Any]:
    return case((t.c.relation == literal_column(f"'{CHILD}'"), made))


def _name(t: FromClause) -> ColumnElement[Any]:
    c = customers.alias()
    own = select(c.c.name).where(c.c.tenant_id == TENANT, c.c.id == t.c.customer_id).scalar_subquery()
    return func.coalesce(t.c.name, own, type_=Text())


def _living(t: FromClause) -> ColumnElement[bool]:
    """Leave out members whose customer is deleted or merged into another."""
    c = customers.alias()
    there = select(c.c.id).where(c.c.tenant_id == TENANT, c.c.id == t.c.customer_id, c.c.deleted_at.is_(None))
    return or_(t.c.customer_id.is_(None), there.exists())


def _child_of(t: FromClause, v: FilterValue) -> ColumnElement[bool]:
    child = customer_children.alias()
    ids = select(child.c.id).where(child.c.tenant_id == TENANT, child.c.customer_id == v(None, Uuid()))
    return t.c.id == any_(func.array(ids.scalar_subquery(), type_=ARRAY(Uuid)))


async def _is_stage(unit: UnitOfWork, pointer: str, stage: str) -> None:
    """Raise Invalid unless the tenant has this stage."""
    known = (UNBORN, *(await HouseholdRepository(unit).settings()).codes, OVERDUE)
    if stage not in known:
        shown = ", ".join(known)
        raise Invalid.field(
            pointer,
            "unknown_stage",
            f"There is no stage '{stage}': choose from {shown}",
            f"没有阶段 “{stage}”，可选：{shown}",
        )


def _in_stage(t: FromClause, v: FilterValue) -> ColumnElement[bool]:
    is_child = t.c.relation == literal_column(f"'{CHILD}'")
    return and_(is_child, _is_in_stage(_born_on(t), t.c.due_date, v(None, Text())))


HOUSEHOLD_MEMBER = Projection(
    "HouseholdMember",
    table=household_members,
    model=HouseholdMember,
    scope="customers:read",
    description="Somebody who belongs to a household: a customer, or a child that is none.",
    where=_living,
    fields={
        **columns("id", "relation", "sex", "due_date", "version", "created_at", "updated_at"),
        "household_id": ref("household_id", "Household"),
        "customer_id": ref("customer_id", "Customer"),
        "guardian_id": ref("guardian_id", "Customer"),
        "name": sql(_name),
        # The month comes first: a birthday may lack its year, and an object is null when its first part is.
        "birthday": struct(
            {part: column(f"birth_{part}") for part in ("calendar", "year", "month", "day", "leap_month")}
        ),
        "born_on": sql(_born_on),
        "age_months": sql(lambda t: _child(t, _age(t))),
        "stage": sql(lambda t: _child(t, stage_of(_born_on(t), t.c.due_date))),
    },
    relations={
        "household": one("Household", on=lambda p, c: c.c.id == p.c.household_id, description="Where they belong."),
        "customer": one("Customer", on=lambda p, c: c.c.id == p.c.customer_id, description="The customer this is."),
        "guardian": one(
            "Customer", on=lambda p, c: c.c.id == p.c.guardian_id, description="Who answers for the child."
        ),
    },
    orders={"newest": [desc("id")], "entered": [asc("id")]},
    filters={
        "household_id": eq_ref("household_id", "Household"),
        "customer_id": eq_ref("customer_id", "Customer"),
        "guardian_id": eq_ref("guardian_id", "Customer"),
        "child_of": Filter(
            UUID,
            _child_of,
            ref="Customer",
            description="Children of the households this customer is a grown-up member of.",
            sql_type=Uuid(),
        ),
        "relation": eq("relation", MemberRelation),
        "stage": Filter(str, _in_stage, description="Children in this stage today.", check=_is_stage),
        "due_from": at_least("due_date", date, description="Expected on this day or later."),
        "due_before": below("due_date", date, description="Expected before this day."),
    },
)


def _homes_of(t: FromClause, v: FilterValue) -> ColumnElement[bool]:
    me = household_members.alias()
    homes = select(me.c.household_id).where(me.c.tenant_id == TENANT, me.c.customer_id == v(None, Uuid()))
    return t.c.id == any_(func.array(homes.scalar_subquery(), type_=ARRAY(Uuid)))


HOUSEHOLD = Projection(
    "Household",
    table=households,
    model=Household,
    scope="customers:read",
    description="People who live together, as far as the shop knows them.",
    fields={
        **columns("id", "name", "version", "created_at", "updated_at"),
        "members": items("HouseholdMember", on=lambda p, c: c.c.household_id == p.c.id, order=[asc("id")]),
    },
    filters={
        "customer_id": Filter(
            UUID, _homes_of, ref="Customer", description="Households this customer is a member of.", sql_type=Uuid()
        ),
    },
)


def _stages(_t: FromClause) -> Given:
    cuts = _cuts(TENANT, NOW)
    each = select(cuts.c.code, cuts.c.from_months).order_by(cuts.c.from_months).subquery("stage")
    return select(func.json_agg(literal_column("stage"))).select_from(each).scalar_subquery()


HOUSEHOLD_SETTINGS = Projection(
    "HouseholdSettings",
    table=tenants,
    model=HouseholdSettings,
    scope="customers:read",
    description="How children's ages become stages.",
    fields={
        "stages": sql(_stages),
        "overdue_after_days": sql(lambda _: _overdue_after(TENANT)),
    },
    node=False,
    key="tenant_id",
    version=None,
)


# -- what a customer has of it -----------------------------------------------------------------------------------------


def _children(t: FromClause) -> tuple[FromClause, ColumnElement[bool]]:
    child = customer_children.alias()
    return child, (child.c.tenant_id == TENANT) & (child.c.customer_id == t.c.id)


def _is_child_of(t: FromClause, member: FromClause) -> ColumnElement[bool]:
    child, mine = _children(t)
    ids = select(child.c.id).where(mine).scalar_subquery()
    return member.c.id == any_(func.array(ids, type_=ARRAY(Uuid)))


def _lives_in(t: FromClause, home: FromClause) -> ColumnElement[bool]:
    me = household_members.alias()
    ids = select(me.c.household_id).where(me.c.tenant_id == TENANT, me.c.customer_id == t.c.id).scalar_subquery()
    return home.c.id == any_(func.array(ids, type_=ARRAY(Uuid)))


def _child_stages(t: FromClause) -> ColumnElement[Any]:
    child, mine = _children(t)
    stage = stage_of(child.c.born_on, child.c.due_date).label("stage")
    expected = func.coalesce(child.c.born_on, child.c.due_date).label("day")
    each = select(stage, expected).where(mine).subquery()
    listed = (
        select(each.c.stage)
        .where(each.c.stage.is_not(None))
        .group_by(each.c.stage)
        .order_by(func.max(each.c.day).desc(), each.c.stage)
    )
    return func.array(listed.scalar_subquery(), type_=ARRAY(Text))


def _has_child_in(t: FromClause, v: FilterValue) -> ColumnElement[bool]:
    child = customer_children.alias()
    is_in = _is_in_stage(child.c.born_on, child.c.due_date, v(None, Text()))
    ids = select(child.c.customer_id).where(child.c.tenant_id == TENANT, is_in)
    return t.c.id == any_(func.array(ids.scalar_subquery(), type_=ARRAY(Uuid)))


extend(
    CUSTOMER,
    relations={
        # Not in REST's body, where every reading of any customer would pay for it: its children tell their stages.
        "child_stages": sql(
            _child_stages,
            returns=list[str],
            description="Stages of the children in the customer's households, the youngest's first, each once.",
        ),
        "households": many("Household", on=_lives_in, description="Households the customer is a member of."),
        "children": many(
            "HouseholdMember",
            on=_is_child_of,
            description="Children of the households the customer is a grown-up member of.",
        ),
    },
    filters={
        "child_stage": Filter(
            str, _has_child_in, description="Customers with a child in this stage today.", check=_is_stage
        ),
    },
)

timeline.register(
    timeline.Source(
        kind="child_born",
        scope="customers:read",
        rows=customer_children,
        tenant=customer_children.c.tenant_id,
        customer=customer_children.c.customer_id,
        at=customer_children.c.birth_recorded_at,
        id=customer_children.c.id,
        title=customer_children.c.name,
        data={name: customer_children.c[name] for name in ("born_on", "household_id")},
        where=(customer_children.c.birth_recorded_at.is_not(None),),
    )
)


_IDS: Final = bindparam("ids", type_=ARRAY(Uuid()))


# -- writing -----------------------------------------------------------------------------------------------------------


class HouseholdRepository(Repository):
    """Households of the tenant."""

    table = households

    async def today(self) -> date:
        """Return the tenant's business day by the unit's clock."""
        day: date = await self.unit.connection.fetchval(
            "SELECT day FROM crm_today($1, $2)", self.unit.tenant_id, self.unit.now()
        )
        return day

    async def members(self, household_id: UUID) -> list[dict[str, Any]]:
        """Return the members in the order they were entered."""
        m = household_members
        rows = await self.unit.fetch_all(
            select(m).where(self.mine(m), m.c.household_id == household_id).order_by(m.c.id)
        )
        return [dict(row) for row in rows]

    async def lock_member(
        self, member_id: UUID, *, expected_version: int | None = None
    ) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Hold a member's household; return the member as it is then, and all members.

        Raises:
            NotFound: there is no such member.
            PreconditionFailed: its version is not the expected one.

        """
        m = household_members
        home = await self.unit.fetch_value(select(m.c.household_id).where(self.by_id(member_id, m)))
        if home is not None:
            await self.find(home, lock=True)
        members = [] if home is None else await self.members(home)
        for member in members:
            if member["id"] == member_id:
                if expected_version is not None and member["version"] != expected_version:
                    raise PreconditionFailed
                return member, members
        raise NotFound

    async def kinds(self, customer_ids: Iterable[UUID]) -> dict[UUID, str]:
        """Return living customers' kinds, ``person`` or ``company``."""
        wanted = sorted(set(customer_ids))
        if not wanted:
            return {}
        c = customers
        rows = await self.unit.fetch_all(
            select(c.c.id, c.c.kind).where(self.mine(c), c.c.id == any_(_IDS), c.c.deleted_at.is_(None)),
            {"ids": wanted},
        )
        return {row["id"]: row["kind"] for row in rows}

    async def children_of_others(self, customer_id: UUID, household_id: UUID) -> bool:
        """Tell whether the customer is a child of another household."""
        m = household_members
        found = await self.unit.fetch_value(
            select(true())
            .where(self.mine(m), m.c.customer_id == customer_id, m.c.relation == CHILD)
            .where(m.c.household_id != household_id)
            .limit(1)
        )
        return bool(found)

    async def add_members(self, rows: list[dict[str, Any]]) -> None:
        """Insert members; all rows have the same columns."""
        await self.insert_many(rows, household_members)

    async def change_member(self, member_id: UUID, values: Mapping[str, Any]) -> None:
        """Change a member and bump its version."""
        m = household_members
        await self.unit.execute(
            m.update().where(self.by_id(member_id, m)).values(**values, version=m.c.version + 1, updated_at=func.now())
        )

    async def remove_member(self, member_id: UUID) -> None:
        """Delete a membership."""
        await self.unit.execute(delete(household_members).where(self.by_id(member_id, household_members)))

    async def remove(self, household_id: UUID) -> None:
        """Delete a household with its memberships."""
        m = household_members
        await self.unit.execute(delete(m).where(self.mine(m), m.c.household_id == household_id))
        await self.unit.execute(delete(households).where(self.by_id(household_id)))

    async def settings(self) -> StageSettings:
        """Return the tenant's stages; the defaults when it has none of its own."""
        t = household_settings
        row = await self.unit.fetch_one(select(t).where(self.mine(t)))
        if row is None:
            return DEFAULT_STAGES
        return StageSettings(tuple(row["stage_codes"]), tuple(row["stage_months"]), row["overdue_after_days"])

    async def set_settings(self, settings: StageSettings) -> None:
        """Store the tenant's stages."""
        values = {
            "stage_codes": list(settings.codes),
            "stage_months": list(settings.months),
            "overdue_after_days": settings.overdue_after_days,
        }
        statement = insert(household_settings).values(tenant_id=self.unit.tenant_id, **values)
        await self.unit.execute(statement.on_conflict_do_update(index_elements=["tenant_id"], set_=values))


# -- erasure -----------------------------------------------------------------------------------------------------------

_HOMES: Final = """
SELECT DISTINCT household_id FROM household_members WHERE tenant_id = $1 AND customer_id = ANY ($2::uuid[])
"""
# A household in which no other customer is left tells of nobody else: it goes, with what is known of its children.
_ERASE: Final = """
WITH homes AS MATERIALIZED (
  SELECT h.id, EXISTS (
    SELECT FROM household_members m
    WHERE m.tenant_id = $1 AND m.household_id = h.id AND m.customer_id <> ALL ($2::uuid[])
  ) AS is_shared
  FROM households h
  WHERE h.tenant_id = $1 AND h.id = ANY (ARRAY(
    SELECT household_id FROM household_members WHERE tenant_id = $1 AND customer_id = ANY ($2::uuid[])
  ))
),
gone AS (
  DELETE FROM household_members m USING homes WHERE m.tenant_id = $1 AND m.household_id = homes.id AND NOT is_shared
),
blanked AS (
  UPDATE households h SET name = '—', version = version + 1, updated_at = now()
  FROM homes WHERE h.tenant_id = $1 AND h.id = homes.id
)
SELECT count(*) FROM homes
"""
_EMPTY: Final = """
DELETE FROM households h
WHERE h.tenant_id = $1 AND h.id = ANY ($2::uuid[])
  AND NOT EXISTS (SELECT FROM household_members m WHERE m.tenant_id = $1 AND m.household_id = h.id)
"""


async def homes_of(unit: UnitOfWork, customer_ids: Sequence[UUID]) -> list[UUID]:
    """Return the households these customers are members of."""
    rows = await unit.connection.fetch(_HOMES, unit.tenant_id, list(customer_ids))
    return [row["household_id"] for row in rows]


async def erase_homes(unit: UnitOfWork, erased: Erased) -> int:
    """Take the names from households of erased customers; those of nobody else are deleted. Returns how many."""
    customer_ids = list(erased.customer_ids)
    homes = await homes_of(unit, customer_ids)
    await unit.connection.execute(_ERASE, unit.tenant_id, customer_ids)
    await unit.connection.execute(_EMPTY, unit.tenant_id, homes)
    return len(homes)
