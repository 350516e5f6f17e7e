"""Channels and their messages in GraphQL."""

from typing import Any

from crm_api.channels.models import ChannelCreate, ChannelTest, ChannelUpdate
from crm_api.channels.service import ChannelService
from crm_api.web.graphql.parts import Call, GraphQLParts, Mutation, connection, get


async def _create(call: Call) -> dict[str, Any]:
    return {"channel": await ChannelService(call.unit).create(call.data)}


async def _update(call: Call) -> dict[str, Any]:
    await ChannelService(call.unit).update(call.id, call.data, expected_version=call.version)
    return {"channel": call.id}


async def _test(call: Call) -> dict[str, Any]:
    return {"channel_message": await ChannelService(call.unit).test(call.id, call.data)}


GRAPHQL = GraphQLParts(
    queries={
        "channel": get("Channel", description="A channel by id."),
        "channels": connection("Channel", description="Ways to send messages."),
        "channel_message": get("ChannelMessage", description="A message by id."),
        "channel_messages": connection("ChannelMessage", description="What was sent or waits, newest first."),
    },
    mutations={
        "channel_create": Mutation(
            _create, input=ChannelCreate, payload={"channel": "Channel"}, description="Add a way to send messages."
        ),
        "channel_update": Mutation(
            _update,
            target="Channel",
            input=ChannelUpdate,
            versioned=True,
            payload={"channel": "Channel"},
            description="Change a channel: name, settings, secret, what it is taken for, or switch it off.",
        ),
        "channel_test": Mutation(
            _test,
            target="Channel",
            input=ChannelTest,
            payload={"channel_message": "ChannelMessage"},
            description="Send a message over a channel, even one that is switched off.",
        ),
    },
)
