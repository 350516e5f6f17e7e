"""Channels and their messages over REST."""

from uuid import UUID

from starlette.responses import Response

from crm_api.channels.models import ChannelCreate, ChannelTest, ChannelUpdate
from crm_api.channels.repository import CHANNEL, CHANNEL_MESSAGE
from crm_api.channels.service import ChannelService
from crm_api.web.resources import add_get, add_list, crm_router, resource, shown
from crm_api.web.units import ExpectedVersion, WriteUnit

router = crm_router("channels")

add_list(router, "/channels", CHANNEL, summary="List channels")
add_get(router, "/channels", CHANNEL, summary="Get a channel")
add_list(router, "/channel-messages", CHANNEL_MESSAGE, summary="List messages, newest first")
add_get(router, "/channel-messages", CHANNEL_MESSAGE, summary="Get a message")


@router.post(
    "/channels", status_code=201, summary="Add a channel", responses=shown("Channel", 201), response_model=None
)
async def create_channel(unit: WriteUnit, body: ChannelCreate) -> Response:
    """Add a mail server, a provider of short messages, or a local outbox to try things with."""
    channel_id = await ChannelService(unit).create(body)
    return await resource(unit, CHANNEL, channel_id, status=201, location="/v1/channels")


@router.patch("/channels/{id}", summary="Change a channel", responses=shown("Channel"), response_model=None)
async def update_channel(unit: WriteUnit, id: UUID, body: ChannelUpdate, version: ExpectedVersion) -> Response:
    """Rename it, replace its settings or secret, switch it off, or take it for other kinds of addresses."""
    await ChannelService(unit).update(id, body, expected_version=version)
    return await resource(unit, CHANNEL, id)


@router.post(
    "/channels/{id}/test",
    status_code=202,
    summary="Try a channel",
    responses=shown("ChannelMessage", 202, "The message; poll it to see whether it was sent."),
    response_model=None,
)
async def test_channel(unit: WriteUnit, id: UUID, body: ChannelTest) -> Response:
    """Send a message over a channel, even one that is switched off."""
    message_id = await ChannelService(unit).test(id, body)
    return await resource(unit, CHANNEL_MESSAGE, message_id, status=202, location="/v1/channel-messages")
