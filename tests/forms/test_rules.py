"""Tickets."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_api.core.errors import Invalid
from crm_api.forms import rules


def test_a_ticket_lasts_a_day():
    secret, form, now = b"s" * 32, uuid4(), datetime(2026, 11, 11, tzinfo=UTC)
    text = rules.write_ticket(secret, form, rules.Ticket(uuid4(), now))
    assert rules.read_ticket(secret, form, text, now + timedelta(days=1)).issued_at == now
    with pytest.raises(Invalid) as raised:
        rules.read_ticket(secret, form, text, now + timedelta(days=1, seconds=1))
    assert raised.value.errors[0].code == "ticket_expired"


@given(st.binary(max_size=60))
def test_no_made_up_ticket_is_read(raw):
    text = raw.hex()
    with pytest.raises(Invalid):
        rules.read_ticket(b"s" * 32, uuid4(), text, datetime(2026, 11, 11, tzinfo=UTC))
