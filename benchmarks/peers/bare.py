# ruff: noqa: E501 - tables of names and SQL read better on one line
"""The peer of the REST benchmarks: a plain FastAPI + asyncpg service, as one writes it by hand.

It returns the same rows with the same fields as ours, but has no authentication, no tenancy (the tenant is fixed and
row-level security does not apply to the tables' owner), no limits, no ETag, no log line, no metrics and no problem
documents. One statement per read; Pydantic models as return types, which current FastAPI serialises in one pass
through pydantic-core; asyncpg's ordinary pool; uvicorn with uvloop and httptools, access log off.
"""

import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import asyncpg
import orjson
import uuid_utils.compat
import uvicorn
from fastapi import FastAPI, HTTPException, Query
from pydantic import BaseModel, Field

from crm_api.customers import search

TENANT = UUID(os.environ["TENANT"])


class Birthday(BaseModel):
    calendar: Literal["solar", "lunar"] = "solar"
    year: int | None = None
    month: int = Field(ge=1, le=12)
    day: int = Field(ge=1, le=31)
    leap_month: bool = False


class ContactPoint(BaseModel):
    id: UUID
    kind: str
    value: str
    is_primary: bool
    verified_at: datetime | None


class ExternalIdentity(BaseModel):
    id: UUID
    platform: str
    external_id: str


class Address(BaseModel):
    id: UUID
    label: str | None
    receiver: str | None
    phone: str | None
    province: str | None
    city: str | None
    district: str | None
    street: str | None
    postcode: str | None
    is_default: bool


class Money(BaseModel):
    amount: int
    currency: str


class Purchases(BaseModel):
    order_count: int
    paid_order_count: int
    first_order_at: datetime | None
    last_order_at: datetime | None
    gross_spend: Money | None
    net_spend: Money | None
    average_order_value: Money | None
    other_currency_order_count: int
    median_gap_days: float | None
    favourite_categories: list[str]
    next_expected_at: datetime | None
    updated_at: datetime


class Scores(BaseModel):
    lifecycle: str
    recency_days: int | None
    frequency: int
    monetary: Money | None
    r: int | None
    f: int | None
    m: int | None
    grade: str | None
    scored_at: datetime


class Customer(BaseModel):
    id: UUID
    kind: str
    name: str
    gender: str | None
    birthday: Birthday | None
    occupation: str | None
    region: str | None
    city: str | None
    address: str | None
    preferences: str | None
    special_requirements: str | None
    price_sensitivity: str | None
    notes: str | None
    age_range: str | None
    family: str | None
    interests: list[str]
    attributes: dict[str, Any]
    addresses: list[Address]
    source: str | None
    blacklisted: bool
    owner_id: UUID | None
    store_id: UUID | None
    contact_points: list[ContactPoint]
    identities: list[ExternalIdentity]
    tags: list[str]
    version: int
    created_at: datetime
    updated_at: datetime
    purchases: Purchases | None
    scores: Scores | None


class Page(BaseModel):
    next: str | None
    previous: str | None
    has_more: bool


class CustomerPage(BaseModel):
    data: list[Customer]
    page: Page


class NewContactPoint(BaseModel):
    kind: Literal["mobile", "landline", "email"]
    value: str = Field(min_length=1, max_length=255)
    is_primary: bool = False


class NewCustomer(BaseModel):
    kind: Literal["person", "company"] = "person"
    name: str = Field(min_length=1, max_length=255)
    gender: Literal["female", "male", "other"] | None = None
    city: str | None = Field(default=None, max_length=255)
    source: str | None = Field(default=None, max_length=255)
    contact_points: list[NewContactPoint] = []


COLUMNS = """
c.id, c.kind, c.name, c.gender, c.birth_calendar, c.birth_year, c.birth_month, c.birth_day, c.birth_leap_month,
c.occupation, c.region, c.city, c.address, c.preferences, c.special_requirements, c.price_sensitivity, c.notes,
c.age_range, c.family, c.interests, c.attributes,
(SELECT coalesce(json_agg(json_build_object('id', a.id, 'label', a.label, 'receiver', a.receiver, 'phone', a.phone,
  'province', a.province, 'city', a.city, 'district', a.district, 'street', a.street, 'postcode', a.postcode,
  'is_default', a.id IS NOT DISTINCT FROM c.default_address_id) ORDER BY a.id DESC), '[]')
 FROM customer_addresses a WHERE a.tenant_id = c.tenant_id AND a.customer_id = c.id) AS addresses,
c.source, c.blacklisted, c.owner_id, c.store_id, c.version, c.created_at, c.updated_at,
(SELECT coalesce(json_agg(json_build_object('id', p.id, 'kind', p.kind, 'value', p.value, 'is_primary', p.is_primary,
  'verified_at', CASE WHEN p.claimed THEN p.verified_at END) ORDER BY p.id DESC), '[]')
 FROM contact_points p WHERE p.tenant_id = c.tenant_id AND p.customer_id = c.id) AS contact_points,
(SELECT coalesce(json_agg(json_build_object('id', i.id, 'platform', i.platform, 'external_id', i.external_id)
  ORDER BY i.id DESC), '[]')
 FROM customer_identities i WHERE i.tenant_id = c.tenant_id AND i.customer_id = c.id) AS identities,
ARRAY(SELECT t.tag FROM customer_tags t WHERE t.tenant_id = c.tenant_id AND t.customer_id = c.id ORDER BY t.tag) AS tags,
p.customer_id AS p_customer_id, p.order_count, p.paid_order_count, p.first_order_at, p.last_order_at,
p.currency AS p_currency, p.gross_spend_amount, p.net_spend_amount, p.average_order_amount,
p.other_currency_order_count, p.median_gap_days, p.favourite_categories, p.next_expected_at,
p.updated_at AS p_updated_at,
s.customer_id AS s_customer_id, s.lifecycle, s.recency_days, s.frequency, s.monetary_amount, s.currency AS s_currency,
s.r, s.f, s.m, s.grade, s.scored_at
"""
TABLES = """
customers c
LEFT JOIN customer_purchase_facts p ON p.tenant_id = c.tenant_id AND p.customer_id = c.id
LEFT JOIN customer_scores s ON s.tenant_id = c.tenant_id AND s.customer_id = c.id
"""
GET = f"SELECT {COLUMNS} FROM {TABLES} WHERE c.tenant_id = $1 AND c.id = $2 AND c.deleted_at IS NULL"  # noqa: S608
FIRST = f"SELECT {COLUMNS} FROM {TABLES} WHERE c.tenant_id = $1 AND c.deleted_at IS NULL ORDER BY c.id DESC LIMIT $2"  # noqa: S608
AFTER = (
    f"SELECT {COLUMNS} FROM {TABLES} WHERE c.tenant_id = $1 AND c.deleted_at IS NULL AND c.id < $3 "  # noqa: S608
    "ORDER BY c.id DESC LIMIT $2"
)


def shown(row: asyncpg.Record) -> Customer:
    return Customer(
        id=row["id"],
        kind=row["kind"],
        name=row["name"],
        gender=row["gender"],
        birthday=birthday(row) if row["birth_calendar"] else None,
        occupation=row["occupation"],
        region=row["region"],
        city=row["city"],
        address=row["address"],
        preferences=row["preferences"],
        special_requirements=row["special_requirements"],
        price_sensitivity=row["price_sensitivity"],
        notes=row["notes"],
        age_range=row["age_range"],
        family=row["family"],
        interests=row["interests"],
        attributes=row["attributes"],
        addresses=row["addresses"],
        source=row["source"],
        blacklisted=row["blacklisted"],
        owner_id=row["owner_id"],
        store_id=row["store_id"],
        contact_points=row["contact_points"],
        identities=row["identities"],
        tags=row["tags"],
        version=row["version"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        purchases=purchases(row) if row["p_customer_id"] else None,
        scores=scores(row) if row["s_customer_id"] else None,
    )


def birthday(row: asyncpg.Record) -> Birthday:
    return Birthday(
        calendar=row["birth_calendar"],
        year=row["birth_year"],
        month=row["birth_month"],
        day=row["birth_day"],
        leap_month=row["birth_leap_month"],
    )


def money(amount: int | None, currency: str | None) -> Money | None:
    return None if amount is None or currency is None else Money(amount=amount, currency=currency)


def purchases(row: asyncpg.Record) -> Purchases:
    currency = row["p_currency"]
    return Purchases(
        order_count=row["order_count"],
        paid_order_count=row["paid_order_count"],
        first_order_at=row["first_order_at"],
        last_order_at=row["last_order_at"],
        gross_spend=money(row["gross_spend_amount"], currency),
        net_spend=money(row["net_spend_amount"], currency),
        average_order_value=money(row["average_order_amount"], currency),
        other_currency_order_count=row["other_currency_order_count"],
        median_gap_days=row["median_gap_days"],
        favourite_categories=row["favourite_categories"],
        next_expected_at=row["next_expected_at"],
        updated_at=row["p_updated_at"],
    )


def scores(row: asyncpg.Record) -> Scores:
    return Scores(
        lifecycle=row["lifecycle"],
        recency_days=row["recency_days"],
        frequency=row["frequency"],
        monetary=money(row["monetary_amount"], row["s_currency"]),
        r=row["r"],
        f=row["f"],
        m=row["m"],
        grade=row["grade"],
        scored_at=row["scored_at"],
    )


async def prepare(connection: asyncpg.Connection) -> None:
    await connection.set_type_codec("json", schema="pg_catalog", encoder=json.dumps, decoder=orjson.loads)
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=orjson.loads)


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with asyncpg.create_pool(
        os.environ["DATABASE_URL"], min_size=4, max_size=4, init=prepare, server_settings={"jit": "off"}
    ) as pool:
        app.state.pool = pool
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/customers/{id}")
async def get_customer(id: UUID) -> Customer:
    row = await app.state.pool.fetchrow(GET, TENANT, id)
    if row is None:
        raise HTTPException(404)
    return shown(row)


@app.get("/customers")
async def list_customers(limit: Annotated[int, Query(ge=1, le=200)] = 50, after: UUID | None = None) -> CustomerPage:
    if after is None:
        rows = await app.state.pool.fetch(FIRST, TENANT, limit + 1)
    else:
        rows = await app.state.pool.fetch(AFTER, TENANT, limit + 1, after)
    data = [shown(row) for row in rows[:limit]]
    more = len(rows) > limit
    page = Page(next=str(data[-1].id) if more else None, previous=str(after) if after else None, has_more=more)
    return CustomerPage(data=data, page=page)


INSERT = """
INSERT INTO customers (tenant_id, id, kind, name, gender, city, source) VALUES ($1, $2, $3, $4, $5, $6, $7)
RETURNING *
"""
INSERT_CONTACT = """
INSERT INTO contact_points (tenant_id, id, customer_id, kind, value, is_primary) VALUES ($1, $2, $3, $4, $5, $6)
"""
INSERT_KEYS = """
INSERT INTO customer_search_keys (tenant_id, customer_id, name, haystack, keys_version) VALUES ($1, $2, $3, $4, 1)
"""
INSERT_AUDIT = """
INSERT INTO audit_log (tenant_id, id, at, actor_kind, actor_id, request_id, operation, subject_type, subject_id, after)
VALUES ($1, $2, now(), 'key', $3, '', 'customer.created', 'Customer', $4, $5)
"""
INSERT_OUTBOX = """
INSERT INTO outbox (tenant_id, id, type, subject_id, payload, occurred_at)
VALUES ($1, $2, 'customer.created', $3, '{}', now())
"""
SHOWN = frozenset(Customer.model_fields)


def created(row: asyncpg.Record, contacts: list[ContactPoint]) -> Customer:
    values: dict[str, Any] = {name: value for name, value in row.items() if name in SHOWN}
    return Customer(
        **values,
        birthday=None,
        addresses=[],
        contact_points=contacts,
        identities=[],
        tags=[],
        purchases=None,
        scores=None,
    )


def new_id() -> UUID:
    return uuid_utils.compat.uuid7()


@app.post("/one-row", status_code=201)
async def create_one_row(data: NewCustomer) -> Customer:
    row = await app.state.pool.fetchrow(
        INSERT, TENANT, new_id(), data.kind, data.name, data.gender, data.city, data.source
    )
    return created(row, [])


@app.post("/same-rows", status_code=201)
async def create_same_rows(data: NewCustomer) -> Customer:
    customer_id = new_id()
    contacts = [ContactPoint(id=new_id(), verified_at=None, **each.model_dump()) for each in data.contact_points]
    haystack = search.haystack(search.Known(data.name, [each.value for each in contacts]))  # the same rows as ours
    async with app.state.pool.acquire() as connection, connection.transaction():
        row = await connection.fetchrow(
            INSERT, TENANT, customer_id, data.kind, data.name, data.gender, data.city, data.source
        )
        await connection.executemany(
            INSERT_CONTACT,
            [(TENANT, each.id, customer_id, each.kind, each.value, each.is_primary) for each in contacts],
        )
        await connection.execute(INSERT_KEYS, TENANT, customer_id, "", haystack)
        await connection.execute(INSERT_AUDIT, TENANT, new_id(), TENANT, customer_id, data.model_dump(mode="json"))
        await connection.execute(INSERT_OUTBOX, TENANT, new_id(), customer_id)
    return created(row, contacts)


if __name__ == "__main__":
    uvicorn.run(
        app, host="127.0.0.1", port=int(sys.argv[1]), loop="uvloop", http="httptools", access_log=False, ws="none"
    )
