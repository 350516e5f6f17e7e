"""Attributes in GraphQL."""

import pytest

pytestmark = [pytest.mark.asyncio, pytest.mark.database]

DEFINE = """
mutation ($input: AttributeDefinitionCreateInput!) {
  attributeDefinitionCreate(input: $input) {
    attributeDefinition { id key type label { en zh } choices { value label { zh } archived } version }
    userErrors { code path }
  }
}
"""


async def run(client, query, **variables):
    answer = (await client.post("/graphql", json={"query": query, "variables": variables})).json()
    assert "errors" not in answer, answer
    return answer["data"]


async def test_define_write_find(client):
    given = {
        "key": "skin",
        "type": "CHOICE",
        "label": {"zh": "肤质"},
        "choices": [{"value": "dry", "label": {"zh": "干性"}}],
    }
    made = (await run(client, DEFINE, input=given))["attributeDefinitionCreate"]
    assert made["userErrors"] == []
    definition = made["attributeDefinition"]
    assert definition["choices"] == [{"value": "dry", "label": {"zh": "干性"}, "archived": False}]
    again = (await run(client, DEFINE, input=given))["attributeDefinitionCreate"]
    assert again["userErrors"][0]["code"] == "duplicate"

    create = """
    mutation ($attributes: JSON) {
      customerCreate(input: {name: "王", attributes: $attributes, addresses: [{city: "上海", isDefault: true}]}) {
        customer { id attributes nextBirthday addresses { id city isDefault } } userErrors { code path }
      }
    }
    """
    customer = (await run(client, create, attributes={"skin": "dry"}))["customerCreate"]["customer"]
    assert customer["attributes"] == {"skin": "dry"}
    assert (customer["addresses"][0]["city"], customer["addresses"][0]["isDefault"]) == ("上海", True)
    wrong = (await run(client, create, attributes={"skin": "wet"}))["customerCreate"]
    assert wrong["userErrors"] == [{"code": "unknown_choice", "path": ["input", "attributes", "skin"]}]

    listed = await run(client, '{ customers(attribute: ["skin:dry"]) { nodes { id } } }')
    assert [each["id"] for each in listed["customers"]["nodes"]] == [customer["id"]]
    search = """
    query ($rule: JSON!) {
      customerSearch(input: {rule: $rule, order: "attributes.skin"}) { customers { attributes } }
    }
    """
    rule = {"field": "attributes.skin", "op": "eq", "value": "dry"}
    assert (await run(client, search, rule=rule))["customerSearch"]["customers"] == [{"attributes": {"skin": "dry"}}]

    update = """
    mutation ($id: ID!) {
      attributeDefinitionUpdate(input: {id: $id, archived: true}) { attributeDefinition { archived } }
    }
    """
    changed = await run(client, update, id=definition["id"])
    assert changed["attributeDefinitionUpdate"]["attributeDefinition"] == {"archived": True}
    delete = "mutation ($id: ID!) { attributeDefinitionDelete(input: {id: $id}) { deleted userErrors { code } } }"
    refused = (await run(client, delete, id=definition["id"]))["attributeDefinitionDelete"]
    assert refused["userErrors"][0]["code"] == "attribute_in_use"


async def test_what_there_is(client):
    await run(client, DEFINE, input={"key": "size", "type": "NUMBER", "label": {"en": "Size"}})
    found = await run(client, "{ metadata { entities } ruleFields { fields collections } }")
    customer = next(each for each in found["metadata"]["entities"] if each["name"] == "Customer")
    assert [each["key"] for each in customer["attributes"]] == ["size"]
    assert "attributes.size" in {each["name"] for each in found["ruleFields"]["fields"]}
    listed = await run(client, "{ attributeDefinitions(first: 5) { nodes { key } } }")
    assert listed["attributeDefinitions"]["nodes"] == [{"key": "size"}]
