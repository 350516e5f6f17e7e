"""Why a voucher does not apply: stable codes, with words for people in English and Chinese."""

from collections.abc import Mapping
from typing import Final, NamedTuple


class Reason(NamedTuple):
    """Words for people."""

    en: str
    zh: str


REASONS: Final[Mapping[str, Reason]] = {
    # by itself
    "malformed": Reason(
        "This is no code of ours: a character is wrong or missing. Look at it again", "券码有误：请核对后重新输入"
    ),
    "not_found": Reason("There is no such voucher", "没有此优惠券"),
    "void": Reason("The voucher was withdrawn", "该优惠券已作废"),
    "campaign_paused": Reason("The offer is paused at the moment", "该活动已暂停"),
    "campaign_archived": Reason("The offer is over", "该活动已结束"),
    "not_started": Reason("The offer has not begun yet", "该活动尚未开始"),
    "ended": Reason("The offer has ended", "该活动已过期"),
    "expired": Reason("The voucher has expired", "该优惠券已过期"),
    "used": Reason("The voucher was used already", "该优惠券已被使用"),
    "locked": Reason(
        "The voucher is set aside for another checkout: try again when that one is over",
        "该优惠券已被其他订单占用，请稍后再试",
    ),
    "campaign_used_up": Reason("The offer has been used up", "该活动名额已用完"),
    "customer_used_up": Reason("This customer has used the offer as often as allowed", "该客户已达使用次数上限"),
    "customer_required": Reason(
        "The offer depends on the customer: send customer_id", "该优惠与客户相关：请提供 customer_id"
    ),
    "not_yours": Reason("The voucher belongs to another customer", "该优惠券属于其他客户"),
    "customer_not_eligible": Reason("The offer is not for this customer", "该客户不符合活动条件"),
    "rule_broken": Reason(
        "The offer's rule names something that is gone: correct the campaign", "活动规则引用的内容已不存在：请修改活动"
    ),
    # by the cart
    "wrong_currency": Reason("The voucher is for another currency", "该优惠券币种不符"),
    "no_matching_items": Reason("Nothing in the cart is part of the offer", "购物车中没有适用的商品"),
    "below_minimum_amount": Reason("The cart is below the offer's minimum amount", "未达到最低消费金额"),
    "below_minimum_quantity": Reason("The cart has fewer pieces than the offer asks for", "未达到最低购买件数"),
    # by another voucher
    "repeated": Reason("The same voucher is there twice", "同一优惠券重复提交"),
    "exclusive_applied": Reason("A voucher that goes with no other applies already", "已使用不可叠加的优惠券"),
    "must_be_alone": Reason(
        "This voucher goes with no other, and another applies already", "该优惠券不可与其他优惠券同用"
    ),
    "group_taken": Reason("Another voucher of its group applies already", "同组优惠券只能使用一张"),
    "nothing_left": Reason("Nothing is left that it could take off", "已无可抵扣金额"),
}
"""Code → words. Codes are part of the API: they are added to, never changed."""
