"""Names, masks and cells: pure functions."""

import pytest

from crm_api.exchange.cells import guarded as guarded_by_imports
from crm_api.exchange.cells import unguarded
from crm_api.exports import rules


@pytest.mark.parametrize(
    ("name", "plural"),
    [
        ("Customer", "customers"),
        ("LoyaltyEntry", "loyalty_entries"),
        ("Delivery", "deliveries"),
        ("Staff", "staffs"),
        ("PurchaseFacts", "purchase_facts"),
        ("Survey", "surveys"),
        ("Batch", "batches"),
    ],
)
def test_plural(name, plural):
    assert rules.plural(name) == plural


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("+8613812341234", "138****1234"),
        ("13812341234", "138****1234"),
        ("+442079460958", "+4420****0958"),
        ("+85291234567", "+852****4567"),
        ("x@example.com", "x****@example.com"),
        ("xiaoming.wang@mail.example.cn", "x****@mail.example.cn"),
        ("oX3k9_abcdef", "oX****ef"),
        ("张三", "张****"),
        ("12345", "1****"),
        ("@", "****@"),
    ],
)
def test_masks(text, shown):
    assert rules.mask_contact(text) == shown


def test_documents_are_scrubbed_of_what_looks_like_contact_details():
    before = {
        "a": ["call 13812341234", 5, None],
        "b": {"mail": "to a.b@example.com!"},
        "sku": "6901234567892",
        "n": "1381234",
    }
    assert rules.scrub(before) == {
        "a": ["call 138****1234", 5, None],
        "b": {"mail": "to a****@example.com!"},
        "sku": "6901234567892",
        "n": "1381234",
    }


@pytest.mark.parametrize("text", ["=1+1", "+86138", "-5", "@x", "\t=1", "\r=1", "plain", "", "'quoted", "a=b"])
def test_what_is_guarded_here_imports_take_away_again(text):
    assert rules.guarded(text) == guarded_by_imports(text)
    assert unguarded(rules.guarded(text)) == text


def test_secrets():
    secret = rules.new_secret()
    assert len(secret) >= 43
    assert rules.fits(secret, rules.hash_secret(secret))
    assert not rules.fits("x", rules.hash_secret(secret))
    assert not rules.fits(secret, None)
