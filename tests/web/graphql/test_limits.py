"""Documents that ask too much are refused before they cost anything; work is counted, not timed."""

import pytest
from graphql import get_introspection_query, parse

from crm_api.web.graphql import engine as module
from crm_api.web.graphql.engine import Request, RequestError
from crm_api.web.graphql.limits import Limits, Meter, TooMuch
from tests.support import zoo


def measured(engine, query, **limits):
    meter = Meter(engine.schema, parse(query))
    meter.check(Limits(**limits))
    return meter


def refused(engine, query, what, **limits):
    meter = Meter(engine.schema, parse(query))
    with pytest.raises(TooMuch) as raised:
        meter.check(Limits(**limits))
    assert raised.value.extensions["code"] == "graphql_limit_exceeded"
    assert raised.value.extensions["limit"] == what
    return meter


def doubling(levels, body="name"):
    """Return a small document whose fragments double their fields at each level."""
    fragments = [f"fragment F{i} on Keeper {{ ...F{i + 1} boss {{ ...F{i + 1} }} }}" for i in range(levels)]
    return f"{{ keepers {{ nodes {{ ...F0 }} }} }} {' '.join(fragments)} fragment F{levels} on Keeper {{ {body} }}"


def test_fragments_that_double_thirty_times_cost_a_visit_per_node(engine):
    query = doubling(30)
    assert len(query) < 2500

    meter = refused(engine, query, "fields", depth=1000)

    assert meter.visits <= 5 * 31 + 3


def test_the_work_grows_with_the_document_not_with_what_it_expands_to(engine):
    visits = {n: refused(engine, doubling(n), "fields", depth=1000).visits for n in (10, 20, 40, 80)}

    assert visits[80] - visits[40] == 2 * (visits[40] - visits[20]) == 4 * (visits[20] - visits[10])


def test_nested_fields_through_fragments_are_refused_by_the_engine_as_a_whole(engine):
    with pytest.raises(RequestError) as raised:
        engine.prepare(doubling(60))

    assert raised.value.code == "graphql_limit_exceeded"


@pytest.mark.parametrize(
    "query",
    [
        "{ keepers { nodes { ...A } } } fragment A on Keeper { boss { ...A } }",
        "{ keepers { nodes { ...A } } } fragment A on Keeper { ...B } fragment B on Keeper { boss { ...A name } }",
        "{ ...A } fragment A on Query { ...A }",
        "{ __typename } fragment A on Keeper { ...B } fragment B on Keeper { ...A }",
    ],
)
def test_fragments_that_contain_themselves_end_and_are_left_to_validation(engine, query):
    assert measured(engine, query).visits < 12

    with pytest.raises(RequestError) as raised:
        engine.prepare(query)
    assert raised.value.code == "graphql_validation_failed"


def test_depth(engine):
    def deep(levels):
        return "{ keepers { nodes { " + "boss { " * levels + "name" + " }" * levels + " } } }"

    measured(engine, deep(12), depth=15)
    refused(engine, deep(13), "depth", depth=15)


def test_depth_through_fragments_nobody_uses(engine):
    deep = "boss { " * 20 + "name" + " }" * 20
    refused(engine, f"{{ __typename }} fragment A on Keeper {{ {deep} }}", "depth")


def test_aliases(engine):
    query = "{ keepers { nodes { " + " ".join(f"a{i}: name" for i in range(51)) + " } } }"

    refused(engine, query, "aliases")
    measured(engine, query.replace("a50: name", ""))


def test_fields(engine):
    refused(engine, "{ keepers { nodes { " + "name " * 999 + "} } }", "fields")


def test_cost_multiplies_page_sizes(engine):
    query = "{ keepers(first: 100) { nodes { animals(first: 50) { nodes { name bornAt } } } } }"

    measured(engine, query, cost=100 * (2 + 50 * 3) + 2 + 100)
    refused(engine, query, "cost", cost=10_000)
    refused(engine, query.replace("first: 50", "last: 50"), "cost", cost=10_000)
    refused(engine, query.replace("first: 50", "first: 99999999999999999999"), "cost")


def test_what_pages_hold_by_default_counts(engine):
    query = "{ keepers { nodes { animals { nodes { name } } } } }"

    refused(engine, query, "cost", cost=100)
    measured(engine, query, cost=150)


def test_nodes_cost_what_they_are(engine):
    ids = " ".join(f'"Keeper:{zoo.uid(1, n)}"' for n in range(1, 51))
    refused(engine, f"{{ nodes(ids: [{ids}]) {{ id }} }}", "cost", cost=50)


@pytest.mark.asyncio
@pytest.mark.database
@pytest.mark.usefixtures("declared")
async def test_page_sizes_in_variables_count_when_the_plan_is_made(zoo_database):
    query = (
        "query($a: Int, $b: Int) { keepers(first: $a) { nodes { animals(first: $b) { nodes { keeper {"
        " animals(first: $b) { nodes { name } } } } } } } }"
    )
    engine = zoo.engine(Limits(cost=20_000))

    async def answer(**variables):
        return await engine.run(Request(query, variables), zoo.actor(), zoo_database)

    assert b"errors" not in (await answer(a=2, b=5)).body
    assert b"graphql_limit_exceeded" in (await answer(a=100, b=50)).body
    assert b"errors" not in (await answer(a=3, b=5)).body


@pytest.mark.parametrize(
    "query",
    ["{" * 3000, "{ a " * 2000 + "}" * 2000, "{ keepers(names: " + "[" * 2000 + "]" * 2000 + ") { totalCount } }"],
)
def test_text_too_deep_to_parse(engine, query):
    with pytest.raises(RequestError):
        engine.prepare(query)


def test_tokens(engine):
    with pytest.raises(RequestError) as raised:
        engine.prepare("{ " + "name " * 6000 + "}")
    assert "token" in raised.value.errors[0].message


def test_comments_are_bounded_too(engine):
    with pytest.raises(RequestError):
        engine.prepare("#\n" * 6000 + "{ __typename }")


def test_introspection_as_tools_send_it_passes(engine):
    engine.prepare(
        get_introspection_query(
            descriptions=True,
            specified_by_url=True,
            directive_is_repeatable=True,
            schema_description=True,
            input_value_deprecation=True,
        )
    )


def test_introspection_has_an_end_too(engine):
    deep = "ofType { " * 40 + "name" + " }" * 40
    with pytest.raises(RequestError) as raised:
        engine.prepare(f'{{ __type(name: "Keeper") {{ {deep} }} }}')
    assert raised.value.code == "graphql_limit_exceeded"


@pytest.mark.usefixtures("declared")
class TestDocumentCache:
    def test_a_text_is_prepared_once(self, engine):
        query = "{ keepers { totalCount } } # once"

        assert engine.prepare(query) is engine.prepare(query)

    def test_it_is_bounded_in_number(self):
        engine = zoo.engine()
        for i in range(1200):
            engine.prepare(f"{{ keepers {{ totalCount }} }} # {i}")
        assert len(engine._documents) == 1000

    def test_it_is_bounded_in_bytes(self, monkeypatch):
        monkeypatch.setattr(module, "CACHED_BYTES", 100_000)
        engine = zoo.engine()
        for i in range(50):
            engine.prepare(f"{{ keepers {{ nodes {{ {'name ' * 20} }} }} }} # {i}")
        assert engine._documents.weight <= 100_000
        assert len(engine._documents) < 8

    @pytest.mark.asyncio
    @pytest.mark.database
    async def test_plans_are_bounded_in_bytes(self, monkeypatch, zoo_database):
        monkeypatch.setattr(module, "PLAN_BYTES", 20_000)
        engine = zoo.engine()
        for size in range(30):
            query = f"{{ keepers(first: {size}) {{ nodes {{ name }} }} }}"
            await engine.run(Request(query), zoo.actor(), zoo_database)
        assert engine._plan_bytes <= 20_000
        assert 0 < len(engine._documents) < 20

    def test_what_is_wrong_is_not_kept(self):
        engine = zoo.engine()
        for i in range(20):
            with pytest.raises(RequestError):
                engine.prepare(f"{{ nothing{i} }}")
        assert len(engine._documents) == 0
