"""What the choices of rule fields are called in Chinese; in English their names are words already."""

from collections.abc import Mapping
from typing import Final

Labels = Mapping[str, str]

NONE: Final[Labels] = {}
"""Of a field that is no choice."""
AGES: Final[Labels] = {
    "under_18": "18 岁以下",
    "18_24": "18–24 岁",
    "25_34": "25–34 岁",
    "35_44": "35–44 岁",
    "45_54": "45–54 岁",
    "55_64": "55–64 岁",
    "65_plus": "65 岁及以上",
}
PARTIES: Final[Labels] = {"person": "个人", "company": "企业"}
GENDERS: Final[Labels] = {"female": "女", "male": "男", "other": "其他"}
LEVELS: Final[Labels] = {"low": "低", "medium": "中", "high": "高"}
ORDER_STATUSES: Final[Labels] = {
    "pending_payment": "待付款",
    "paid": "已付款",
    "shipped": "已发货",
    "completed": "已完成",
    "cancelled": "已取消",
    "refunded": "已退款",
}
CONTACT_KINDS: Final[Labels] = {
    "mobile": "手机",
    "landline": "固定电话",
    "email": "邮箱",
    "wechat_openid": "微信 OpenID",
    "wechat_unionid": "微信 UnionID",
    "wecom_external_userid": "企业微信外部联系人",
    "taobao_buyer": "淘宝买家",
    "douyin_open_id": "抖音 OpenID",
    "weibo": "微博",
}
COMPLAINT_STATES: Final[Labels] = {
    "received": "已接收",
    "acknowledged": "已受理",
    "assessed": "已评估",
    "in_progress": "处理中",
    "waiting_customer": "等待客户",
    "waiting_third_party": "等待第三方",
    "proposed": "已提出方案",
    "escalated_external": "已升级至外部机构",
    "resolved": "已解决",
    "closed": "已关闭",
    "duplicate": "重复",
    "withdrawn": "已撤回",
    "rejected": "不予受理",
}
COMPLAINT_KINDS: Final[Labels] = {"complaint": "投诉", "inquiry": "咨询", "request": "请求", "praise": "表扬"}
COMPLAINT_CHANNELS: Final[Labels] = {
    "call": "电话",
    "visit": "上门",
    "email": "邮件",
    "sms": "短信",
    "wechat": "微信",
    "live_chat": "在线客服",
    "social": "社交媒体",
    "in_store": "门店",
    "platform": "电商平台",
    "regulator": "监管机构",
    "web": "网站",
}
CONSENT_ACTIONS: Final[Labels] = {"granted": "同意", "withdrawn": "撤回"}
PURPOSES: Final[Labels] = {
    "marketing": "营销",
    "service": "服务通知",
    "personalization": "个性化推荐",
    "analytics": "数据分析",
    "third_party": "第三方共享",
}
SENDING: Final[Labels] = {
    "app_push": "App 推送",
    "call": "电话",
    "email": "邮件",
    "live_chat": "在线客服",
    "post": "邮寄",
    "sms": "短信",
    "social": "社交媒体",
    "wechat": "微信",
}
"""Purposes of consent, and the channels it is given for."""
