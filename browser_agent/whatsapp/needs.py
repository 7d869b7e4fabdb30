"""What each of our calls needs of a build of WhatsApp Web: wa-js' functions, and the site's modules behind them.

A module is named as wa-js exports it (`WPP.whatsapp.…`): it looks for each in the build that is there, by name or by
shape, and reading one that it does not find gives undefined. Taken from wa-js 4.6.0's sources, as far as our own uses
go: what it needs for newsletters, statuses, bots or previews is left out. tests/unit/test_needs.py holds the table
against bridge/*.js.
"""

from collections.abc import Iterable, Mapping

_WID = ("WidFactory",)
_CHAT = ("ChatStore", *_WID)
_MESSAGE = ("MsgKey", "MsgStore", "MsgModel", *_CHAT)
_FIND_CHAT = ("functions.findOrCreateLatestChat", *_CHAT)
_OUT = (
    "UserPrefs",
    "MsgKey",
    "MsgModel",
    "Wid",
    "functions.unixTime",
    "functions.getEphemeralFields",
    "enums.ACK",
    *_FIND_CHAT,
)

# What bridge/*.js uses of wa-js -> the modules without which that fails. An event is `on:` and its name.
USES: Mapping[str, tuple[str, ...]] = {
    "isInjected": (),
    "version": (),
    "on:loader.injected": (),
    "on:loader.ready": (),
    "on:loader.full_ready": (),
    "conn.isAuthenticated": ("functions.isAuthenticated",),
    "conn.isRegistered": ("functions.isRegistered",),
    "conn.getMyUserId": ("UserPrefs",),
    "conn.genLinkDeviceCodeForPhoneNumber": (
        "functions.initializeAltDeviceLinking",
        "functions.genLinkDeviceCodeForPhoneNumber",
        "functions.isAuthenticated",
    ),
    "conn.getAuthCode": (
        "Conn",
        "Base64",
        "multidevice.adv",
        "multidevice.waNoiseInfo",
        "multidevice.waSignalStore",
        "functions.isAuthenticated",
        "functions.isRegistered",
    ),
    # What these tell is also asked for with every snapshot.
    "on:conn.stream_mode_changed": (),
    "on:conn.stream_info_changed": (),
    "on:conn.authenticated": (),
    "on:conn.main_ready": (),
    "on:conn.require_auth": (),
    "on:conn.online": (),
    "on:conn.logout": (),
    "on:conn.qrcode_idle": (),
    "on:conn.auth_code_change": (),
    "on:conn.backend_event": ("BackendEventBus",),
    "on:chat.new_message": ("MsgStore", "MsgModel", "ChatStore"),
    "on:chat.msg_edited": ("MsgStore",),
    "on:chat.msg_revoke": ("MsgStore",),
    "on:chat.new_reaction": ("functions.createOrUpdateReactions", "MsgKey", *_WID),
    "on:chat.msg_ack_change": (
        "MsgStore",
        "MsgKey",
        "UserPrefs",
        "functions.handleChatSimpleReceipt",
        "functions.handleGroupSimpleReceipt",
    ),
    "chat.downloadMedia": _MESSAGE,
    "chat.find": _FIND_CHAT,
    "chat.generateMessageID": ("UserPrefs", "ChatModel", "MsgKey", "Wid", "functions.randomMessageId", *_WID),
    "chat.getMessageACK": ("MsgInfoStore", *_MESSAGE),
    "chat.getMessageById": ("functions.getSearchContext", *_MESSAGE),
    # Builds have one or the other.
    "chat.getMessages": ("functions.msgFindQuery|functions.msgFindByDirection", *_MESSAGE),
    "chat.getReactions": ("functions.getReactions", *_WID),
    "chat.sendFileMessage": ("MediaPrep", "OpaqueData", *_OUT),
    "chat.sendReactionToMessage": ("functions.sendReactionToMsg", *_MESSAGE),
    "chat.sendTextMessage": ("functions.addAndSendMsgToChat", *_OUT),
    "contact.queryExists": (
        "functions.queryWidExists",
        "ContactStore",
        "lidPnCache",
        "ApiContact",
        *_WID,
    ),
    "whatsapp.BackendEventBus": ("BackendEventBus",),
    "whatsapp.ChatStore": ("ChatStore",),
    "whatsapp.ContactStore": ("ContactStore",),
    "whatsapp.GroupMetadataStore": ("GroupMetadataStore",),
    "whatsapp.LinkDeviceEvents": ("LinkDeviceEvents",),
    "whatsapp.LruMediaStore": ("LruMediaStore",),
    "whatsapp.MsgKey": ("MsgKey",),
    "whatsapp.MsgStore": ("MsgStore",),
    "whatsapp.Socket": ("Socket",),
    "whatsapp.Stream": ("Stream",),
    "whatsapp.WidFactory": _WID,
    "whatsapp.lidPnCache": ("lidPnCache",),
    "whatsapp.functions.initializeAltDeviceLinking": ("functions.initializeAltDeviceLinking",),
    "whatsapp.functions.queryAllGroups": ("functions.queryAllGroups",),
    "whatsapp.functions.queryWidExists": ("functions.queryWidExists",),
}

# What a person calls it -> what that takes. What the bridge does without, where it is missing, is not among it.
CALLS: Mapping[str, tuple[str, ...]] = {
    "account": ("conn.isAuthenticated", "conn.isRegistered", "conn.getMyUserId"),
    "scan": ("conn.getAuthCode", "whatsapp.BackendEventBus"),
    "state": ("whatsapp.Stream", "whatsapp.Socket", "on:conn.backend_event"),
    "reset": ("whatsapp.Socket",),
    "logout": ("whatsapp.Socket",),
    "messages_in": ("on:chat.new_message", "whatsapp.MsgStore", "whatsapp.ChatStore"),
    "edits_in": ("on:chat.msg_edited", "on:chat.msg_revoke"),
    "reactions_in": ("on:chat.new_reaction", "whatsapp.MsgKey"),
    "lids": ("whatsapp.lidPnCache", "whatsapp.WidFactory"),
    "media_in": ("chat.getMessageById", "chat.downloadMedia"),
    "history": ("whatsapp.ChatStore", "chat.getMessages", "chat.getReactions"),
    "groups": ("whatsapp.GroupMetadataStore", "whatsapp.functions.queryAllGroups", "whatsapp.ContactStore"),
    "link_query": ("whatsapp.functions.queryAllGroups|whatsapp.functions.queryWidExists",),
    "send": ("chat.find", "chat.generateMessageID", "contact.queryExists", "whatsapp.MsgKey", "whatsapp.MsgStore"),
    "send_text": ("chat.sendTextMessage",),
    "send_media": ("chat.sendFileMessage",),
    "send_reaction": ("chat.sendReactionToMessage", "chat.getReactions"),
    "acks": ("on:chat.msg_ack_change",),
}

# Uses without which the bridge goes on: it has another way, or less to tell.
SPARED = frozenset(
    {
        "whatsapp.LruMediaStore",
        "chat.getMessageACK",
        # Of the screen that links: a page that has an account need not have loaded it, and the build is no worse for
        # that. The command says itself when it cannot be carried out, and the QR code is there.
        "conn.genLinkDeviceCodeForPhoneNumber",
        "whatsapp.functions.initializeAltDeviceLinking",
        "whatsapp.LinkDeviceEvents",
    }
)


def modules() -> list[str]:
    """Every module that some call needs, once."""
    names = {one for use in _uses_of_calls() for entry in USES[use] for one in entry.split("|")}
    return sorted(names)


def broken(missing: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Which calls are broken on a build that lacks these modules, each with the modules that it misses."""
    absent = frozenset(missing)
    found = {call: _lacking(uses, absent) for call, uses in CALLS.items()}
    return {call: lacking for call, lacking in found.items() if lacking}


def _uses_of_calls() -> set[str]:
    return {use for uses in CALLS.values() for entry in uses for use in entry.split("|")}


def _lacking(uses: tuple[str, ...], absent: frozenset[str]) -> tuple[str, ...]:
    lacking: set[str] = set()
    for entry in uses:
        ways = [{one for needed in USES[use] for one in _absent(needed, absent)} for use in entry.split("|")]
        if all(ways):  # each way lacks something
            lacking |= set.union(*ways)
    return tuple(sorted(lacking))


def _absent(needed: str, absent: frozenset[str]) -> list[str]:
    """Of a module, or of several of which one will do."""
    ways = needed.split("|")
    return ways if absent.issuperset(ways) else []
