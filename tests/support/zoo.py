"""A small world of its own for the read plans: keepers, animals, meals; every kind of field, order and filter once."""

from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

import asyncpg
from pydantic import BaseModel, Field
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Integer,
    MetaData,
    Numeric,
    Table,
    Text,
    Uuid,
    func,
    literal,
    literal_column,
    select,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.schema import CreateTable

from crm_api.core.actor import Actor
from crm_api.core.clock import FixedClock
from crm_api.core.errors import Duplicate, Invalid, NotFound, PreconditionFailed
from crm_api.core.money import Money
from crm_api.db.pool import _prepare
from crm_api.db.projections import (
    NOW,
    TENANT,
    Arg,
    Filter,
    Projection,
    asc,
    at_least,
    check_projections,
    column,
    columns,
    desc,
    eq,
    eq_ref,
    extend,
    forget,
    items,
    many,
    money,
    one,
    one_of,
    python,
    ref,
    sql,
    struct,
    when,
)
from crm_api.db.uow import UnitOfWork
from crm_api.settings import Settings
from crm_api.web.graphql.app import compose
from crm_api.web.graphql.engine import Engine
from crm_api.web.graphql.limits import Limits
from crm_api.web.graphql.parts import Computed, GraphQLParts, Mutation, connection, get

TENANT_A = UUID("0a000000-0000-7000-8000-000000000000")
TENANT_B = UUID("0b000000-0000-7000-8000-000000000000")
START = datetime(2026, 1, 1, tzinfo=UTC)
ALL = frozenset({"zoo:read", "zoo:meals", "zoo:secret", "zoo:reveal"})

metadata = MetaData()


def _key() -> list[Column[Any]]:
    return [Column("tenant_id", Uuid, primary_key=True), Column("id", Uuid, primary_key=True)]


keepers = Table(
    "keepers",
    metadata,
    *_key(),
    Column("name", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("salary_amount", BigInteger),
    Column("salary_currency", Text),
    Column("hired_on", Date, nullable=False),
    Column("rating", Integer),
    Column("boss_id", Uuid),
    Column("secret", Text),
    Column("phone", Text, nullable=False),
    Column("skills", ARRAY(Text), nullable=False),
    Column("extras", JSONB, nullable=False),
    Column("gone", Boolean, nullable=False),
    Column("version", Integer, nullable=False),
)
animals = Table(
    "animals",
    metadata,
    *_key(),
    Column("keeper_id", Uuid),
    Column("name", Text, nullable=False),
    Column("weight", Numeric),
    Column("born_at", DateTime(timezone=True), nullable=False),
)
meals = Table(
    "meals", metadata, *_key(), Column("animal_id", Uuid, nullable=False), Column("food", Text, nullable=False)
)


class Badge(BaseModel):
    """A sign of rank."""

    number: int
    kind: Literal["silver", "pure-gold"]
    price: Money


class Keeper(BaseModel):
    """Somebody who feeds animals."""

    id: UUID
    name: str = Field(description="First name.")
    status: Literal["on-duty", "away"]
    salary: Money | None
    hired_on: date
    rating: int | None
    boss_id: UUID | None
    secret: str | None
    phone: str
    skills: list[str]
    moods: list[Literal["good", "very-bad"]]
    extras: dict[str, Any]
    badges: list[Badge]
    rank: Badge | None
    moods_now: list[Literal["good", "very-bad"]]
    years: int
    version: int


class Animal(BaseModel):
    """Somebody who is fed."""

    id: UUID
    name: str
    weight: float | None
    born_at: datetime
    meals: list["Meal"]


class Meal(BaseModel):
    """Something eaten."""

    id: UUID
    food: str


Mood = Literal["good", "very-bad"]
Note = Annotated[str, Field(max_length=10)]


class KeeperCreate(BaseModel):
    """A new keeper."""

    name: str = Field(min_length=1, max_length=20)
    status: Literal["on-duty", "away"] = "away"
    boss_id: UUID | None = None
    salary: Money | None = None


def uid(kind: int, number: int) -> UUID:
    """Return the id of the n-th thing of a kind."""
    return UUID(int=(0x7 << 76) | (kind << 64) | (0x8 << 60) | number)


_BADGES = (
    """'[{"number": 1, "kind": "pure-gold", "price": {"amount": 3000000000, "currency": "CNY"}},"""
    """ {"number": 2, "kind": "silver", "price": {"amount": 2, "currency": "JPY"}}]'::jsonb"""
)


def _rank(row: Any, _now: datetime) -> Any:
    if row["rating"] is None:
        return None
    return {"number": row["rating"], "kind": "pure-gold", "price": {"amount": 5, "currency": "CNY"}}


def _years(row: Any, now: datetime) -> int:
    return now.year - date.fromisoformat(row["hired_on"]).year


def _name_like(t: Any, v: Any) -> Any:
    if v.variant == "short":
        return t.c.name == v()
    return t.c.name.ilike(v(lambda text: f"%{text}%", Text()))


def _projections() -> None:
    Projection(
        "Meal",
        table=meals,
        model=Meal,
        scope="zoo:read",
        description="A meal.",
        fields=columns("id", "food"),
        filters={"animal_id": eq_ref("animal_id", "Animal")},
        node=False,
    )
    Projection(
        "Animal",
        table=animals,
        model=Animal,
        scope="zoo:read",
        description="An animal.",
        fields={
            **columns("id", "name", "born_at"),
            "weight": sql(lambda t: t.c.weight),
            "meals": items("Meal", on=lambda p, c: c.c.animal_id == p.c.id, order=[asc("food"), desc("id")]),
        },
        relations={"keeper": one("Keeper", on=lambda p, c: c.c.id == p.c.keeper_id)},
        orders={"oldest": [asc("born_at")], "heaviest": [desc("weight", nulls="last"), asc("name")]},
        filters={"name": eq("name"), "born_after": at_least("born_at"), "keeper_id": eq_ref("keeper_id", "Keeper")},
    )
    keeper = Projection(
        "Keeper",
        table=keepers,
        model=Keeper,
        scope="zoo:read",
        description="A keeper.",
        where=lambda t: t.c.gone.is_(False),
        fields={
            **columns("id", "name", "status", "hired_on", "rating", "skills", "extras", "version"),
            "salary": money("salary_amount", "salary_currency"),
            "boss_id": ref("boss_id", "Keeper"),
            "secret": column("secret", scope="zoo:secret"),
            "phone": column("phone", mask=lambda t: func.left(t.c.phone, 3) + literal("****"), reveal="zoo:reveal"),
            "moods": sql(lambda _: literal_column("ARRAY['good', 'very-bad']", ARRAY(Text))),
            "badges": sql(lambda _: literal_column(_BADGES, JSONB)),
            "rank": python(_rank, needs={"rating": column("rating")}),
            "moods_now": python(lambda _row, _now: ["good", "very-bad"], needs={"id": column("id")}),
            "years": python(_years, needs={"hired_on": column("hired_on")}),
        },
        relations={
            "boss": one("Keeper", on=lambda p, c: c.c.id == p.c.boss_id, description="Whom to ask."),
            "animals": many("Animal", on=lambda p, c: c.c.keeper_id == p.c.id, maximum=50, default=10),
            "meal_count": sql(
                lambda t, a: (
                    select(func.count())
                    .select_from(animals.join(meals, meals.c.animal_id == animals.c.id))
                    .where(
                        animals.c.tenant_id == TENANT,
                        meals.c.tenant_id == TENANT,
                        animals.c.keeper_id == t.c.id,
                        *when(a, "food", lambda food: meals.c.food == food),
                    )
                    .scalar_subquery()
                ),
                args={"food": Arg(str | None, "Only this food.")},
                returns=int,
                description="Number of meals given.",
            ),
            "as_of": sql(lambda _: NOW, returns=datetime, description="When this was asked."),
        },
        orders={
            "newest": [desc("id")],
            "name": [asc("name")],
            "best": [desc("rating", nulls="last")],
            "worst": [asc("rating", nulls="first"), desc("hired_on")],
            "best_first_hired": [desc("rating", nulls="first"), asc("hired_on")],
            "mixed": [desc("hired_on"), asc("name")],
        },
        filters={
            "status": eq("status", Literal["on-duty", "away"]),
            "boss_id": eq_ref("boss_id", "Keeper"),
            "names": one_of("name"),
            "q": Filter(str, _name_like, variant=lambda text: "short" if len(text) < 3 else "long", description="Any."),
        },
    )
    extend(
        keeper,
        fields={"address": struct({"city": column("name"), "door": column("rating")})},
        model_fields={"address": (Address | None, Field(description="Where."))},
    )


class Address(BaseModel):
    """Where somebody lives."""

    city: str
    door: int | None


_declared = 0


@contextmanager
def declared():
    """Have the zoo's projections for the length of the block; blocks may overlap."""
    global _declared  # noqa: PLW0603 - as the registry of projections is
    if not _declared:
        _projections()
        check_projections()
    _declared += 1
    try:
        yield
    finally:
        _declared -= 1
        if not _declared:
            for name in ("Keeper", "Animal", "Meal"):
                forget(name)


async def _hire(call: Any) -> dict[str, Any]:
    data: KeeperCreate = call.data
    if data.name == "taken":
        raise Duplicate("That name is taken", zh="名字已被使用")
    if data.name == "both":
        raise Invalid.field("/boss_id", "unknown_reference", "No such keeper")
    if data.name == "bug":
        raise RuntimeError("secret detail")
    keeper_id = uid(1, 900)
    await call.unit.execute(keepers.insert().values(**keeper_row(900, name=data.name, status=data.status)))
    return {
        "keeper": keeper_id,
        "team": [keeper_id, uid(1, 3)],
        "note": call.extra.get("note") or repr(call.extra.get("animal_id")),
    }


async def _rename(call: Any) -> dict[str, Any]:
    if call.version is not None and call.version != 2:
        raise PreconditionFailed
    mine = keepers.update().where(keepers.c.tenant_id == call.unit.tenant_id, keepers.c.id == call.id)
    if not await call.unit.execute(mine.values(name="renamed")):
        raise NotFound
    return {"keeper": call.id}


async def _shortest(call: Any) -> dict[str, Any]:
    badge = Badge(number=7, kind="pure-gold", price=Money(amount=3 * 10**9, currency="CNY"))
    return {"keeper": uid(1, 1), "count": 1, "badge": badge, "badges": [badge], "mood": "very-bad"}


PARTS = GraphQLParts(
    queries={
        "keeper": get("Keeper", description="A keeper by id."),
        "keepers": connection("Keeper", maximum=100, default=5, description="All keepers."),
        "animals": connection("Animal", description="All animals."),
        "shortest_keeper": Computed(
            _shortest,
            payload={"keeper": "Keeper", "count": int, "badge": Badge, "badges": list[Badge], "mood": Mood},
            description="Computed.",
        ),
    },
    mutations={
        "hire_keeper": Mutation(
            _hire,
            input=KeeperCreate,
            payload={
                "keeper": "Keeper",
                "team": ["Keeper"],
                "note": Annotated[str, Field(description="What was noted.")],
            },
            extra={"note": Annotated[Note | None, Field(description="In your words.")], "animal_id": UUID | None},
            description="Hire.",
        ),
        "rename_keeper": Mutation(
            _rename, target="Keeper", versioned=True, payload={"keeper": "Keeper"}, description="Rename."
        ),
    },
)


def engine(limits: Limits | None = None) -> Engine:
    """Return an engine for the zoo."""
    return Engine(compose([PARTS], only=("Keeper", "Animal", "Meal")), limits or Limits())


# -- data --------------------------------------------------------------------------------------------------------------


def keeper_row(number: int, *, tenant: UUID = TENANT_A, **given: Any) -> dict[str, Any]:
    """Return a keeper."""
    return {
        "tenant_id": tenant,
        "id": uid(1, number),
        "name": f"k{number:02}",
        "status": "on-duty" if number % 2 else "away",
        "salary_amount": None if number % 3 == 0 else number * 10**9,
        "salary_currency": "CNY",
        "hired_on": date(2020, 1, 1) + timedelta(days=number % 4),
        "rating": None if number % 4 == 0 else number % 5,
        "boss_id": None if number < 2 else uid(1, number // 2),
        "secret": f"s{number}",
        "phone": f"138{number:08}",
        "skills": ["feed", "清洁"][: number % 3],
        "extras": {"n": number, "deep": {"a": [1, None]}},
        "gone": False,
        "version": number,
        **given,
    }


KEEPERS = [keeper_row(n) for n in range(1, 24)]
HIDDEN = keeper_row(50, gone=True)
ANIMALS = [
    {
        "tenant_id": TENANT_A,
        "id": uid(2, n),
        "keeper_id": None if n == 0 else uid(1, 1 + n % 5),
        "name": f"a{n % 7}",
        "weight": None if n % 3 == 0 else n + 0.5,
        "born_at": START + timedelta(hours=n % 6, microseconds=120_000 * (n % 3)),
    }
    for n in range(40)
]
MEALS = [{"tenant_id": TENANT_A, "id": uid(3, n), "animal_id": uid(2, n % 40), "food": f"f{n % 3}"} for n in range(100)]


def _typed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**row, **({"extras": row["extras"]} if "extras" in row else {})} for row in rows]


async def build(url: str) -> None:
    """Create the zoo's tables and fill them for two tenants."""
    connection = await asyncpg.connect(url)
    await _prepare(connection)
    try:
        for table in (keepers, animals, meals):
            await connection.execute(str(CreateTable(table).compile(dialect=postgresql.dialect())))
        foreign = keeper_row(1, tenant=TENANT_B, name="theirs", boss_id=None)
        for table, rows in (
            (keepers, [*KEEPERS, HIDDEN, foreign]),
            (animals, [*ANIMALS, {**ANIMALS[1], "tenant_id": TENANT_B, "name": "theirs"}]),
            (meals, MEALS),
        ):
            records = [tuple(row.values()) for row in _typed(rows)]
            await connection.copy_records_to_table(table.name, columns=list(rows[0]), records=records)
    finally:
        await connection.close()


class ZooDatabase:
    """Stands in for ``Database``: plain connections, counted statements, no roles."""

    def __init__(self, url: str, clock: FixedClock) -> None:
        self.url = url
        self.clock = clock
        self.plans: list[Any] = []
        self._idle: list[Any] = []

    @asynccontextmanager
    async def read(self, actor: Actor):
        connection = self._idle.pop() if self._idle else await self._connect()
        try:
            yield CountingUnit(connection, actor, self.clock, self.plans)
        finally:
            self._idle.append(connection)

    async def _connect(self) -> Any:
        connection = await asyncpg.connect(self.url)
        await _prepare(connection)
        return connection

    async def close(self) -> None:
        for each in self._idle:
            await each.close()

    async def run(self, actor: Actor, work: Any) -> Any:
        async with self.read(actor) as unit, unit.connection.transaction():
            return await work(unit)


class CountingUnit(UnitOfWork):
    """Remembers the plans it ran."""

    def __init__(self, connection: Any, actor: Actor, clock: Any, plans: list[Any]) -> None:
        super().__init__(connection, actor, clock, Settings())
        self._plans = plans

    async def fetch_plan(self, plan: Any, variables: Any) -> Any:
        self._plans.append(plan)
        return await super().fetch_plan(plan, variables)


def actor(*scopes: str, tenant: UUID = TENANT_A, locale: Any = "en") -> Actor:
    """Return somebody with these scopes; all of the zoo's when none is named."""
    return Actor(tenant, "key", uid(9, 1), frozenset(scopes) or ALL, locale=locale)
