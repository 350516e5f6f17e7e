"""Declarations: what start-up refuses, what extensions add, what the wire model says."""

from uuid import UUID

import pytest
from pydantic import BaseModel, Field
from sqlalchemy import Column, Integer, MetaData, Table, Text, Uuid

from crm_api.db.projections import (
    Projection,
    asc,
    check_projections,
    column,
    columns,
    desc,
    extend,
    forget,
    one,
    projection,
    sql,
    wire_model,
)
from tests.support import zoo

THINGS = Table(
    "things",
    MetaData(),
    Column("tenant_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("name", Text),
    Column("size", Integer, nullable=False),
)


class Thing(BaseModel):
    """Any thing."""

    id: UUID
    name: str | None


@pytest.fixture
def declare():
    """Declare a projection called Thing for this test."""
    made = []

    def declared(**given):
        settings = {"fields": columns("id", "name"), "table": THINGS, "model": Thing, **given}
        made.append(Projection("Thing", scope="things:read", description="A thing.", **settings))
        return made[-1]

    yield declared
    forget("Thing")


def faults():
    with pytest.raises(ValueError, match="do not hold together") as raised:
        check_projections()
    return str(raised.value)


def test_a_sound_declaration_passes(declare):
    declare()

    check_projections()


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"fields": columns("id")}, "Thing.name is in the model but nothing serves it"),
        ({"fields": columns("id", "name", "size")}, "Thing.size is served but not in the model"),
        ({"relations": {"owner": one("Nobody", on=lambda p, c: p.c.id == c.c.id)}}, "relates to Nobody"),
        ({"relations": {"double": sql(lambda t: t.c.size * 2)}}, "give returns= and description="),
        ({"orders": {"name": [asc("name")]}}, "name can be null, so say nulls="),
        ({"table": Table("t", MetaData(), Column("id", Uuid), Column("name", Text))}, "has no tenant_id"),
    ],
)
def test_start_up_names_what_is_wrong(declare, given, fault):
    declare(**given)

    assert fault in faults()


def test_two_projections_cannot_share_a_name(declare):
    declare()

    with pytest.raises(ValueError, match="declared twice"):
        declare()


def test_orders_end_in_the_key(declare):
    of = declare(orders={"size": [desc("size")], "mixed": [desc("size"), asc("name", nulls="last")], "id": [asc("id")]})

    assert [[(key.by, key.descending) for key in keys] for keys in of.orders.values()] == [
        [("size", True), ("id", True)],
        [("size", True), ("name", False), ("id", False)],
        [("id", False)],
    ]
    assert of.default_order == "size"


def test_the_version_is_found_only_where_there_is_one(declare):
    assert declare().version is None


class TestExtend:
    def test_a_higher_domain_adds_fields_relations_filters_and_orders(self, declare):
        of = declare()
        extend(of, fields={"size": column("size")}, model_fields={"size": (int, Field(description="How big."))})
        check_projections()

        assert list(wire_model("Thing").model_fields) == ["id", "name", "size"]
        assert wire_model("Thing").__doc__ == "Any thing."
        assert wire_model("Thing") is wire_model("Thing")
        assert list(Thing.model_fields) == ["id", "name"]

    def test_without_a_model_field_start_up_says_so(self, declare):
        extend(declare(), fields={"size": column("size")})

        assert "Thing.size is served but not in the model" in faults()

    def test_nothing_can_be_declared_twice(self, declare):
        with pytest.raises(ValueError, match=r"Thing\.name is already declared"):
            extend(declare(), relations={"name": column("name")})


def test_the_wire_model_of_an_unextended_projection_is_the_domains_own(declare):
    declare()

    assert wire_model("Thing") is Thing


def test_fields_that_need_a_scope_of_their_own_are_not_required():
    with zoo.declared():
        shown = wire_model("Keeper")
        schema = shown.model_json_schema()

        assert "secret" in schema["properties"]
        assert "secret" not in schema["required"]
        assert "name" in schema["required"]
        assert list(shown.model_fields)[: len(zoo.Keeper.model_fields)] == list(zoo.Keeper.model_fields)


def test_an_unknown_projection():
    with pytest.raises(LookupError):
        projection("Nobody")
