"""What becomes of referrals in a merge, an export and an erasure."""

from crm_api.db.ownership import EraseHook, Owned, on_erase, own
from crm_api.referrals.repository.erasure import erase_words
from crm_api.referrals.tables import referral_codes, referral_events, referral_signals, referrals

own(
    # Who stays keeps their own code; a loser's still leads to them.
    Owned(referral_codes, on_merge="unite", same=("programme_id",), erase="delete"),
    Owned(referrals, "referrer_id"),
    # A person comes once: of two referrals of one person the winner's counts, `follow` voids the other.
    Owned(referrals, "friend_id", on_merge="unite", same=("programme_id",)),
    Owned(referral_events, through=("referral_id", referrals)),
    Owned(referral_signals, on_merge="unite", same=("kind", "digest"), erase="delete", secret=("digest",)),
)
# By either side: the declaration above follows the first column alone.
on_erase(EraseHook("referral_events.words", erase_words))
