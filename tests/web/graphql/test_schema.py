"""The schema: conforms to Relay's rules, says what the models say, is planned throughout."""

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNonNull,
    GraphQLObjectType,
    get_named_type,
    validate_schema,
)


@pytest.fixture
def core(engine):
    return engine.schema.core


def own_types(core):
    return [each for each in core.type_map.values() if not each.name.startswith("__")]


def test_it_is_valid(core):
    assert validate_schema(core) == []


@pytest.mark.parametrize(
    ("type_name", "field", "arg", "text"),
    [
        ("Keeper", "name", None, "First name."),
        ("Keeper", "boss", None, "Whom to ask."),
        ("Keeper", "address", None, "Where."),
        ("Keeper", "mealCount", None, "Number of meals given."),
        ("Keeper", "mealCount", "food", "Only this food."),
        ("Query", "keepers", "q", "Any."),
        ("Query", "keeper", None, "A keeper by id."),
        ("Mutation", "hireKeeper", None, "Hire."),
        ("HireKeeperInput", "note", None, "In your words."),
        ("HireKeeperPayload", "keeper", None, "The Keeper as it is now; null when nothing was done."),
        ("HireKeeperPayload", "note", None, "What was noted."),
        ("Keeper", "years", None, None),
    ],
)
def test_descriptions_are_those_of_the_declarations(core, type_name, field, arg, text):
    found = core.get_type(type_name).fields[field]
    assert ((found.args[arg] if arg else found).description or None) == text


def test_node_and_nodes_are_relays(core):
    node = core.get_type("Node")
    assert isinstance(node, GraphQLInterfaceType)
    assert list(node.fields) == ["id"]
    assert str(node.fields["id"].type) == "ID!"
    query = core.query_type
    assert str(query.fields["node"].type) == "Node"
    assert str(query.fields["node"].args["id"].type) == "ID!"
    assert str(query.fields["nodes"].type) == "[Node]!"
    assert {each.name for each in core.get_possible_types(node)} == {"Keeper", "Animal"}


def test_connections_are_relays(core):
    connections = [each for each in own_types(core) if each.name.endswith("Connection")]
    assert connections
    for each in connections:
        assert str(each.fields["pageInfo"].type) == "PageInfo!"
        edge = get_named_type(each.fields["edges"].type)
        assert set(edge.fields) == {"node", "cursor"}
        assert str(edge.fields["cursor"].type) == "String!"
    for each in own_types(core):
        for field in getattr(each, "fields", {}).values():
            if get_named_type(field.type).name.endswith("Connection"):
                assert {"first", "after", "last", "before"} <= set(field.args)


def test_page_info_is_relays(core):
    info = core.get_type("PageInfo")
    assert {name: str(field.type) for name, field in info.fields.items()} == {
        "hasNextPage": "Boolean!",
        "hasPreviousPage": "Boolean!",
        "startCursor": "String",
        "endCursor": "String",
    }


def test_mutations_take_one_input_and_return_a_payload_with_user_errors(core):
    for name, field in core.mutation_type.fields.items():
        title = name[0].upper() + name[1:]
        assert str(field.args["input"].type) == f"{title}Input!"
        assert str(field.type) == f"{title}Payload!"
        assert str(get_named_type(field.type).fields["userErrors"].type) == "[UserError!]!"


@pytest.mark.parametrize(
    ("type_name", "field", "expected"),
    [
        ("Keeper", "id", "ID!"),
        ("Keeper", "bossId", "ID"),
        ("Keeper", "status", "KeeperStatus!"),
        ("Keeper", "moods", "[KeeperMoods!]!"),
        ("Keeper", "salary", "Money"),
        ("Keeper", "rating", "Int"),
        ("Keeper", "hiredOn", "Date!"),
        ("Keeper", "extras", "JSON!"),
        ("Keeper", "boss", "Keeper"),
        ("Keeper", "animals", "AnimalConnection!"),
        ("Keeper", "mealCount", "Int!"),
        ("Keeper", "address", "Address"),
        ("Animal", "weight", "Float"),
        ("Animal", "bornAt", "DateTime!"),
        ("Animal", "meals", "[Meal!]!"),
        ("Keeper", "badges", "[Badge!]!"),
        ("Keeper", "rank", "Badge"),
        ("Badge", "kind", "BadgeKind!"),
        ("Badge", "price", "Money!"),
        ("ShortestKeeperPayload", "badges", "[Badge!]!"),
        ("ShortestKeeperPayload", "mood", "ShortestKeeperPayloadMood!"),
        ("Money", "amount", "BigInt!"),
        ("HireKeeperInput", "name", "String!"),
        ("HireKeeperInput", "status", "KeeperStatus"),
        ("HireKeeperInput", "bossId", "ID"),
        ("HireKeeperInput", "salary", "MoneyInput"),
        ("HireKeeperInput", "note", "String"),
        ("RenameKeeperInput", "expectedVersion", "Int"),
        ("HireKeeperPayload", "team", "[Keeper!]"),
        ("ShortestKeeperPayload", "count", "Int!"),
    ],
)
def test_types_follow_the_models(core, type_name, field, expected):
    assert str(core.get_type(type_name).fields[field].type) == expected


def test_enums_use_graphql_names(core):
    status = core.get_type("KeeperStatus")
    assert isinstance(status, GraphQLEnumType)
    assert list(status.values) == ["ON_DUTY", "AWAY"]


def test_filters_and_orders_are_arguments(core):
    args = {name: str(arg.type) for name, arg in core.query_type.fields["keepers"].args.items()}
    assert args == {
        "first": "Int",
        "after": "String",
        "last": "Int",
        "before": "String",
        "orderBy": "KeeperSort",
        "status": "KeeperStatus",
        "bossId": "ID",
        "names": "[String!]",
        "q": "String",
    }


def test_only_computed_fields_are_not_planned(engine):
    fallback = engine.schema.fallback_list()
    print("\n".join(["Not planned:", *fallback]))  # noqa: T201 - for whoever reads the test's output

    assert fallback == ["Query.shortestKeeper"]


def test_every_field_of_every_object_has_a_note_for_the_planner(engine, core):
    notes = engine.schema.notes
    missing = [
        f"{each.name}.{name}"
        for each in own_types(core)
        if isinstance(each, GraphQLObjectType)
        for name in each.fields
        if name not in notes.get(each.name, {})
    ]
    assert missing == []


def test_optional_input_fields_are_nullable(core):
    for each in own_types(core):
        if isinstance(each, GraphQLInputObjectType):
            for field in each.fields.values():
                assert isinstance(field.type, GraphQLNonNull) is field.type.__class__.__name__.endswith("NonNull")


def test_the_sdl_is_the_same_each_time(engine):
    assert engine.schema.sdl() == engine.schema.sdl()
    assert "type Keeper implements Node" in engine.schema.sdl()
