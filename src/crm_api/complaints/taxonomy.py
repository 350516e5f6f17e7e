"""The taxonomy every shop starts with; presets add what is special to their trade.

It is ours: ISO 10002 (GB/T 19012) asks that complaints be classified, not how. The classes are those that shops and
platforms tell apart: goods and their description, delivery, price, service, safety, payment, counterfeits, personal
data, and what turns out to be unfounded.
"""

from collections.abc import Mapping
from typing import Any, Final


def _name(en: str, zh: str) -> dict[str, str]:
    return {"en": en, "zh": zh}


COMMON: Final[dict[str, dict[str, str]]] = {
    "quality": _name("Quality", "商品质量"),
    "quality/spoilage": _name("Spoiled", "变质"),
    "quality/cold_chain": _name("Cold chain broken", "冷链断裂"),
    "quality/damage": _name("Damaged", "破损"),
    "quality/defect": _name("Defective", "瑕疵或故障"),
    "quality/expired": _name("Past its date", "过期或临期"),
    "description": _name("Not as described", "描述不符"),
    "description/appearance": _name("Looks different", "外观不符"),
    "description/specification": _name("Other size, weight or material", "规格、重量或材质不符"),
    "logistics": _name("Delivery", "物流配送"),
    "logistics/late": _name("Late", "配送延误"),
    "logistics/lost": _name("Lost", "包裹丢失"),
    "logistics/cold_chain": _name("Cooling failed on the way", "运输途中冷链失效"),
    "logistics/cold_chain/ice_pack": _name("Ice packs melted or too few", "冰袋融化或不足"),
    "logistics/courier": _name("The courier", "配送员服务"),
    "items": _name("Wrong or missing items", "错发漏发"),
    "items/wrong": _name("Wrong item", "错发"),
    "items/missing": _name("Missing item", "漏发"),
    "price": _name("Price", "价格"),
    "price/promotion": _name("Promotion not granted", "促销或优惠未兑现"),
    "price/overcharged": _name("Charged too much", "多收费用"),
    "service": _name("Service", "服务"),
    "service/attitude": _name("Attitude", "服务态度"),
    "service/result": _name("Result of the service", "服务效果"),
    "booking": _name("Booking", "预约"),
    "booking/waiting": _name("Had to wait", "等待过久"),
    "booking/mistake": _name("Wrong or lost booking", "预约出错"),
    "safety": _name("Safety", "安全"),
    "safety/allergy": _name("Allergy", "过敏"),
    "safety/injury": _name("Injury or illness", "受伤或不适"),
    "payment": _name("Payment", "支付"),
    "payment/refund": _name("Refund", "退款"),
    "counterfeit": _name("Suspected counterfeit", "疑似假货"),
    "privacy": _name("Personal data", "个人信息"),
    "unfounded": _name("Unfounded", "无事实依据"),
}
"""Path → name, what lies above before what lies below."""


def ready_made(preset: Mapping[str, Any]) -> dict[str, Mapping[str, str]]:
    """Return the taxonomy of a trade: what all have, and what its preset's ``[complaints.causes]`` adds."""
    return {**COMMON, **preset.get("complaints", {}).get("causes", {})}
