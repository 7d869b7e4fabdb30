"""Messages out on a real page: each goes out once and in its order, whatever is lost, reloaded, refused or killed."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from browser_agent.sending import attempt, life
from browser_agent.whatsapp import outgoing
from browser_agent.whatsapp.outgoing import PageOutgoing
from browser_agent.whatsapp.page import WhatsAppPage
from tests.harness.redis_server import RedisServer
from tests.harness.small_agent import NAMES, SmallAgent, blank_page, open_page, settings_in, small_agent
from tests.whatsapp_web.client import WhatsAppWeb
from tests.whatsapp_web.people import ANNA, BRUNO, FAMILY
from whatsapp_contract.errors import BadArguments, NotFound, Refused

# They share a page, and so its event loop.
pytestmark = pytest.mark.asyncio(loop_scope="module")

JPEG = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 40


@pytest.fixture(scope="module")
def whatsapp_process() -> Iterator[WhatsAppWeb]:
    with WhatsAppWeb(reconnect_first_ms=50, keepalive_s=1) as whatsapp:
        yield whatsapp


@pytest.fixture
def whatsapp(whatsapp_process: WhatsAppWeb) -> WhatsAppWeb:
    """The stand-in, as new, with Bruno's chat known to nobody yet."""
    whatsapp_process.reset()
    return whatsapp_process


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page(whatsapp_process: WhatsAppWeb, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[WhatsAppPage]:
    async with blank_page(tmp_path_factory.mktemp("page") / "profile", whatsapp_process) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def agent(
    redis_server: RedisServer, whatsapp: WhatsAppWeb, page: WhatsAppPage, tmp_path: Path
) -> AsyncIterator[SmallAgent]:
    (tmp_path / "data/outgoing").mkdir(parents=True)
    (tmp_path / "data/outgoing/photo.jpg").write_bytes(JPEG)
    async with small_agent(redis_server, whatsapp, tmp_path, page=page) as made:
        yield made


def sent(whatsapp: WhatsAppWeb) -> list[tuple[str, str]]:
    """Chat and text of what the server has, in its order."""
    return [(message["chat"], message["text"]) for message in whatsapp.outbox()]


async def until(condition: Callable[[], Any], within_s: float = 15) -> None:
    async with asyncio.timeout(within_s):
        while not await asyncio.to_thread(condition):
            await asyncio.sleep(0.02)


async def kept(agent: SmallAgent) -> None:
    """Wait until the page has in its database all that it knows."""
    assert agent.page is not None
    await agent.page._evaluate("require('StandInKeeping').flush()", 20)


async def reload(agent: SmallAgent) -> None:
    assert agent.page is not None
    await agent.page.navigate()
    await agent.until_ready()


# -- what goes out ---------------------------------------------------------------------------------------------------


async def test_texts_replies_mentions_and_reactions(agent: SmallAgent, whatsapp: WhatsAppWeb) -> None:
    asked = whatsapp.deliver_text("Who?")
    await agent.send("send_text", "text", chat_id="+393331111111", text="hello")
    await agent.send("send_reply", "reply", message_key=asked, text="@393332222222", mentions=["393332222222"])
    await agent.send("send_reaction", "reaction", message_key=asked, reaction="👍")
    results = {key: await agent.status(key) for key in ("text", "reply", "reaction")}

    assert {result.status for result in results.values()} == {"sent"}
    by_key = {message["id"]: message for message in whatsapp.outbox()}
    text, reply = (by_key[str(results[key].message_key)] for key in ("text", "reply"))
    assert (text["chat"], text["text"]) == (ANNA.phone, "hello")
    assert (reply["chat"], reply["quoted"]) == (FAMILY.id, asked.split("_")[2])
    assert reply["mentionedJidList"] == [BRUNO.phone]
    assert [message["reaction"] for message in whatsapp.outbox() if message["reaction"]] == ["👍"]
    assert [await agent.acks(key) for key in results] == [["sent"]] * 3


async def test_on_other_builds_of_the_site(redis_server: RedisServer, tmp_path: Path) -> None:
    options: dict[str, Any] = {"minified_keys": True, "vocabulary": "legacy", "author_lid": True, "lid_mapping": False}
    with WhatsAppWeb(reconnect_first_ms=50, keepalive_s=1, **options) as whatsapp:
        async with small_agent(redis_server, whatsapp, tmp_path) as agent:
            asked = whatsapp.deliver_text("Who?")
            await agent.send("send_text", "anna", chat_id=ANNA.phone, text="hello")
            await agent.send("send_reply", "reply", message_key=asked, text="me")
            for key in ("anna", "reply"):
                assert (await agent.status(key)).status == "sent"
            await kept(agent)  # the acks: the page repeats what it does not know to be acknowledged
            await reload(agent)
            for key in ("anna", "reply"):
                record = await agent.sends._outbox.load(key)
                assert record is not None
                await agent.redis.set(NAMES.send(key), record.changed(status="queued").model_dump_json())
                await agent.sends.carry(key, None)  # as if nobody had seen how it ended
                assert (await agent.status(key)).message_key == record.message_key
            assert [message["times"] for message in whatsapp.outbox()] == [1, 1]


async def test_a_reaction_that_is_there_is_not_sent_again(agent: SmallAgent, whatsapp: WhatsAppWeb) -> None:
    asked = whatsapp.deliver_text("Who?")
    for key, reaction in (("one", "👍"), ("two", "👍"), ("three", "")):
        await agent.send("send_reaction", key, message_key=asked, reaction=reaction)
        assert (await agent.status(key)).status == "sent"
    assert [message["reaction"] for message in whatsapp.outbox()] == ["👍", ""]


async def test_a_file_goes_out_as_it_is_and_leaves_nothing(
    agent: SmallAgent, whatsapp: WhatsAppWeb, tmp_path: Path
) -> None:
    await agent.send("send_media", "photo", chat_id=FAMILY.id, source="photo.jpg", caption="us")
    result = await agent.status("photo")
    (message,) = whatsapp.outbox()
    assert (message["id"], message["type"], message["text"]) == (result.message_key, "image", "us")
    assert message["media"]["mimetype"] == "image/jpeg"
    assert whatsapp.media_bytes(message["media"]["directPath"]) == JPEG
    folder = tmp_path / "data/sessions/s1/sending"  # what was sent is told a moment before the file is gone
    await until(lambda: list(folder.iterdir()) == [])


async def test_a_document_keeps_its_name(agent: SmallAgent, whatsapp: WhatsAppWeb) -> None:
    args = {"source": "photo.jpg", "kind": "document", "filename": "the 1st.jpeg", "mimetype": "image/jpeg"}
    await agent.send("send_media", "file", chat_id=FAMILY.id, **args)
    assert (await agent.status("file")).status == "sent"
    (message,) = whatsapp.outbox()
    assert (message["type"], message["filename"]) == ("document", "the 1st.jpeg")


async def test_a_number_without_whatsapp_is_never_written_to(agent: SmallAgent, whatsapp: WhatsAppWeb) -> None:
    await agent.send("send_text", "k", chat_id="+15550001111", text="hello")
    result = await agent.status("k")
    assert (result.status, result.error) == ("failed", "not_found")
    assert whatsapp.outbox() == []
    (ack,) = await agent.events("message_ack")
    assert (ack.data["ack"], ack.data["error"], ack.data["key"]) == ("failed", "not_found", None)


@pytest.mark.parametrize("reaction", ["", "👍"])
async def test_a_message_that_is_not_there_has_no_reaction(agent: SmallAgent, reaction: str) -> None:
    key = f"false_{FAMILY.id}_AC1DDEADBEEF_{BRUNO.phone}"
    await agent.send("send_reaction", "k", message_key=key, reaction=reaction)
    assert (await agent.status("k")).error == "not_found"


async def test_a_reaction_that_went_out_is_found(agent: SmallAgent, whatsapp: WhatsAppWeb) -> None:
    asked = whatsapp.deliver_text("Who?")
    await agent.sends.pause("the test")
    await agent.send("send_reaction", "k", message_key=asked, reaction="👍")
    record = await agent.sends._outbox.load("k")
    assert record is not None
    assert agent.page is not None
    await PageOutgoing(agent.page).react(asked, "👍", 5)
    await agent.redis.set(NAMES.send("k"), record.changed(tried_at=1.0, given_up="internal").model_dump_json())
    await agent.sends.resume()
    assert (await agent.status("k")).status == "sent"
    assert len(whatsapp.outbox()) == 1


async def test_a_number_that_has_another_address_in_whatsapp(agent: SmallAgent, whatsapp: WhatsAppWeb) -> None:
    there, lid, dialled = "551187654321@c.us", "200000000000055@lid", "5511987654321@c.us"
    whatsapp.add_person(there, lid, "Bia", dialled=dialled)
    await agent.send("send_text", "a", chat_id="+5511987654321", text="hello")
    assert (await agent.status("a")).status == "sent"
    assert [message["chat"] for message in whatsapp.outbox()] == [there]
    assert agent.page is not None
    assert set(await PageOutgoing(agent.page).aliases(dialled)) >= {dialled, there}
    await agent.sends.suppress([there], [])
    with pytest.raises(Refused):
        await agent.send("send_text", "b", chat_id="+5511987654321", text="hello")
    assert [message["times"] for message in whatsapp.outbox()] == [1]


async def test_who_has_another_address_in_whatsapp_is_left_alone(agent: SmallAgent, whatsapp: WhatsAppWeb) -> None:
    there, dialled = "551187654321@c.us", "5511987654321@c.us"
    whatsapp.add_person(there, "200000000000055@lid", "Bia", dialled=dialled)
    await agent.sends.suppress([there], [])
    await agent.send("send_text", "k", chat_id=dialled, text="hello")  # nobody knows yet who that is
    assert (await agent.status("k")).error == "refused"
    assert whatsapp.outbox() == []


async def test_what_can_never_go_out_is_refused_at_once(agent: SmallAgent) -> None:
    with pytest.raises(Refused):
        await agent.send("send_media", "k", chat_id=FAMILY.id, source="http://169.254.169.254/latest")
    with pytest.raises(BadArguments):
        await agent.send("send_text", "k", chat_id="abc@g.us", text="hello")
    with pytest.raises(NotFound):
        await agent.sends.status("k")


async def test_a_file_that_is_not_there_fails(agent: SmallAgent) -> None:
    await agent.send("send_media", "k", chat_id=FAMILY.id, source="none.jpg")
    result = await agent.status("k")
    assert (result.status, result.error) == ("failed", "not_found")


# -- once ------------------------------------------------------------------------------------------------------------


async def test_the_same_key_is_the_same_send(agent: SmallAgent, whatsapp: WhatsAppWeb) -> None:
    first = await agent.send("send_text", "k", chat_id=FAMILY.id, text="hello")
    assert first.status == "queued"
    done = await agent.status("k")
    again = await agent.send("send_text", "k", chat_id=FAMILY.id, text="hello")
    assert again == done
    assert again.message_key == whatsapp.outbox()[0]["id"]
    with pytest.raises(BadArguments, match="another content"):
        await agent.send("send_text", "k", chat_id=FAMILY.id, text="something else")
    assert sent(whatsapp) == [(FAMILY.id, "hello")]
    assert await agent.acks("k") == ["sent"]


async def test_the_same_key_at_the_same_time_goes_out_once(agent: SmallAgent, whatsapp: WhatsAppWeb) -> None:
    givings = [agent.send("send_text", "k", chat_id=FAMILY.id, text="hello") for _ in range(20)]
    accepted = await asyncio.gather(*givings)
    assert len({result.accepted_at for result in accepted}) == 1
    carryings = [agent.sends.carry("k", None) for _ in range(20)]
    await asyncio.gather(*carryings)
    await agent.status("k")
    assert [message["times"] for message in whatsapp.outbox()] == [1]


async def test_a_send_whose_answer_is_lost_is_waited_for(agent: SmallAgent, whatsapp: WhatsAppWeb) -> None:
    whatsapp.hold_sends()
    await agent.send("send_text", "k", chat_id=FAMILY.id, text="hello")
    await until(lambda: sent(whatsapp) == [(FAMILY.id, "hello")])
    async with asyncio.timeout(20):
        while len(agent.carried.get("k", [])) < 2:  # it was carried again meanwhile
            await asyncio.sleep(0.05)
    assert (await agent.sends.status("k")).status == "queued"
    whatsapp.answer_sends()
    assert (await agent.status("k")).status == "sent"
    assert [message["times"] for message in whatsapp.outbox()] == [1]
    assert await agent.acks("k") == ["sent"]


@pytest.mark.parametrize("taken", [True, False], ids=["taken", "lost"])
async def test_a_page_that_is_reloaded_amid_a_send(agent: SmallAgent, whatsapp: WhatsAppWeb, taken: bool) -> None:
    if taken:
        whatsapp.hold_sends()
    else:
        whatsapp.lose_sends()
    for key in "ab":
        await agent.send("send_text", key, chat_id=FAMILY.id, text=key)
    await until(lambda: sent(whatsapp) if taken else whatsapp.state()["sends"]["lost"])
    await reload(agent)
    whatsapp.answer_sends()
    if not taken:  # the page repeats what it has no answer to on its next connection
        assert agent.page is not None
        await agent.page.reset()
    assert [(await agent.status(key)).status for key in "ab"] == ["sent"] * 2
    assert sent(whatsapp) == [(FAMILY.id, "a"), (FAMILY.id, "b")]


async def test_a_dead_link_amid_a_send(agent: SmallAgent, whatsapp: WhatsAppWeb) -> None:
    whatsapp.half_open()
    await agent.send("send_text", "k", chat_id=FAMILY.id, text="hello")
    async with asyncio.timeout(20):
        while not agent.carried.get("k"):
            await asyncio.sleep(0.05)
    assert agent.page is not None
    await agent.page.reset()
    assert (await agent.status("k")).status == "sent"
    assert sent(whatsapp) == [(FAMILY.id, "hello")]


@pytest.mark.parametrize("taken", [True, False], ids=["taken", "lost"])
async def test_an_agent_that_is_killed_amid_a_send(
    redis_server: RedisServer, whatsapp: WhatsAppWeb, tmp_path: Path, taken: bool
) -> None:
    async with small_agent(redis_server, whatsapp, tmp_path) as first:
        if taken:
            whatsapp.hold_sends()
        else:
            whatsapp.lose_sends()
        for key in "ab":
            await first.send("send_text", key, chat_id=FAMILY.id, text=key)
        await until(lambda: sent(whatsapp) if taken else whatsapp.state()["sends"]["lost"])
        before = await first.sends.status("a")
    assert before.attempts == 1
    # The browser died with it, and with the browser what had not reached its disk.
    whatsapp.answer_sends()
    async with small_agent(redis_server, whatsapp, tmp_path) as second:
        assert [(await second.status(key)).status for key in "ab"] == ["sent"] * 2
        assert sent(whatsapp) == [(FAMILY.id, "a"), (FAMILY.id, "b")]
        assert [await second.acks(key) for key in "ab"] == [["sent"]] * 2


async def test_a_task_that_was_lost_is_found_by_the_next_ready(
    redis_server: RedisServer, whatsapp: WhatsAppWeb, tmp_path: Path
) -> None:
    async with small_agent(redis_server, whatsapp, tmp_path, with_page=False) as idle:
        await idle.send("send_text", "k", chat_id=FAMILY.id, text="hello")
        assert (await idle.sends.status("k")).error == "not_ready"
        async with asyncio.timeout(20):
            while not idle.carried.get("k"):
                await asyncio.sleep(0.01)
        assert idle.carried["k"][0] is not None
        assert idle.carried["k"][0] >= 10
        await idle.redis.delete(NAMES.send_queue, NAMES.send_queue_due)
    async with small_agent(redis_server, whatsapp, tmp_path) as ready:
        assert (await ready.status("k")).status == "sent"


async def test_a_message_is_found_by_either_address_of_its_chat(agent: SmallAgent, whatsapp: WhatsAppWeb) -> None:
    await agent.send("send_text", "k", chat_id=ANNA.phone, text="hello")
    await agent.status("k")
    record = await agent.sends._outbox.load("k")
    assert record is not None
    await kept(agent)  # the ack
    await reload(agent)
    assert agent.page is not None
    for address in (ANNA.lid, ANNA.phone):
        found = await PageOutgoing(agent.page).look_for(address, record.message_id, is_file=False)
        assert found is not None
        assert (found.key, found.ack) == (record.message_key, 1)
    assert [message["times"] for message in whatsapp.outbox()] == [1]


async def test_uploads_that_fail_are_tried_again(agent: SmallAgent, whatsapp: WhatsAppWeb) -> None:
    whatsapp.fail_uploads(times=2)
    await agent.send("send_media", "photo", chat_id=FAMILY.id, source="photo.jpg")
    result = await agent.status("photo", within_s=40)
    assert (result.status, result.attempts) == ("sent", 3)
    (message,) = whatsapp.outbox()
    assert (message["id"], message["times"]) == (result.message_key, 1)
    assert whatsapp.media_bytes(message["media"]["directPath"]) == JPEG


async def test_a_page_that_is_reloaded_amid_an_upload(agent: SmallAgent, whatsapp: WhatsAppWeb) -> None:
    whatsapp.hold_sends()
    await agent.send("send_media", "photo", chat_id=FAMILY.id, source="photo.jpg", caption="us")
    await until(lambda: sent(whatsapp))
    await reload(agent)
    whatsapp.answer_sends()
    assert (await agent.status("photo")).status == "sent"
    assert sent(whatsapp) == [(FAMILY.id, "us")]


async def test_an_upload_that_takes_long_is_waited_for(
    agent: SmallAgent, whatsapp: WhatsAppWeb, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt, "FILE_WITHIN_S", 0.5)
    monkeypatch.setattr(outgoing, "LOOK_WITHIN_S", 0.5)
    monkeypatch.setattr(life, "PAUSE_AT_MOST_S", 0.2)
    assert agent.page is not None
    await agent.page._evaluate(
        "(() => { const now = window.fetch; const released = new Promise((release) => { window.release = release; });"
        " window.fetch = (to, how) => (String(to).startsWith('/media?') ? released : Promise.resolve())"
        ".then(() => now(to, how)); })()"
    )
    await agent.send("send_media", "photo", chat_id=FAMILY.id, source="photo.jpg", caption="us")
    async with asyncio.timeout(60):
        while len(agent.carried.get("photo", [])) <= 8:  # it is looked for more often than failures are borne
            await asyncio.sleep(0.05)
    await agent.page._evaluate("window.release()", 20)
    result = await agent.status("photo", within_s=40)
    assert (result.status, result.attempts) == ("sent", 1)
    assert [(message["text"], message["times"]) for message in whatsapp.outbox()] == [("us", 1)]
    assert await agent.acks("photo") == ["sent"]


# -- order, pace -----------------------------------------------------------------------------------------------------


async def test_a_chat_s_sends_keep_their_order_and_one_that_fails_makes_way(
    agent: SmallAgent, whatsapp: WhatsAppWeb
) -> None:
    for number in range(12):
        source_or_text = {"source": "none.jpg"} if number == 4 else {"text": str(number)}
        name = "send_media" if number == 4 else "send_text"
        await agent.send(name, f"k{number}", chat_id=FAMILY.id, **source_or_text)
    results = [await agent.status(f"k{number}", within_s=40) for number in range(12)]
    assert [result.status for result in results].count("failed") == 1
    assert [text for _chat, text in sent(whatsapp)] == [str(number) for number in range(12) if number != 4]


async def test_an_album_to_fifty_people_goes_out_evenly(
    redis_server: RedisServer, whatsapp: WhatsAppWeb, tmp_path: Path
) -> None:
    people = [f"3934{number:07d}@c.us" for number in range(50)]
    for number, person in enumerate(people):
        whatsapp.add_person(person, f"2000000{number:04d}@lid", f"Person {number}", has_chat=True)
    rate = 1200  # every 50 ms
    async with small_agent(
        redis_server, whatsapp, tmp_path, SEND_RATE=str(rate), SEND_RATE_STRANGERS=str(rate)
    ) as agent:
        began = time.time()
        for place, person in enumerate(people):
            for photo in range(2):
                await agent.send("send_text", f"{place}.{photo}", chat_id=person, text=str(photo))
        for place in range(50):
            assert (await agent.status(f"{place}.1", within_s=60)).status == "sent"
        out = whatsapp.outbox()
        assert len(out) == 100
        for person in people:
            assert [message["text"] for message in out if message["chat"] == person] == ["0", "1"]
        # None before its place in the row. Later than that, several may come together: a machine is slow at times.
        for place, message in enumerate(out):
            assert message["at"] >= began + place * 60 / rate * 0.9
        # Nobody asks all the time: a slot, the send, and now and then the wait behind the one before.
        assert sum(map(len, agent.carried.values())) <= 100 * 6


async def test_a_stranger_is_who_never_wrote(redis_server: RedisServer, whatsapp: WhatsAppWeb, tmp_path: Path) -> None:
    async with small_agent(redis_server, whatsapp, tmp_path, SEND_RATE_STRANGERS="0.1") as agent:
        whatsapp.deliver_text("I am none", chat=ANNA.phone, author=ANNA.phone)
        await until(lambda: whatsapp.model()[-1]["acked"])
        for key in "ab":
            await agent.send("send_text", f"anna{key}", chat_id=ANNA.phone, text=key)
            await agent.send("send_text", f"group{key}", chat_id=FAMILY.id, text=key)
            await agent.send("send_text", f"bruno{key}", chat_id=BRUNO.phone, text=key)
        for key in ("annaa", "annab", "groupa", "groupb", "brunoa"):
            assert (await agent.status(key)).status == "sent"
        async with asyncio.timeout(20):
            while max((wait_s or 0 for wait_s in agent.carried.get("brunob", [])), default=0) < 100:
                await asyncio.sleep(0.02)
        assert (await agent.sends.status("brunob")).status == "queued"


# -- who is never written to -----------------------------------------------------------------------------------------


async def test_whoever_asks_to_be_left_alone_is(agent: SmallAgent, whatsapp: WhatsAppWeb) -> None:
    assert await agent.sends.suppress(["+393331111111"], []) == [ANNA.phone]
    for address in (ANNA.phone, "393331111111@s.whatsapp.net", ANNA.lid):
        with pytest.raises(Refused):
            await agent.send("send_text", "k", chat_id=address, text="hello")
    await agent.sends.suppress([BRUNO.lid], ["393331111111"])
    with pytest.raises(Refused):
        await agent.send("send_text", "k", chat_id=BRUNO.phone, text="hello")
    await agent.send("send_text", "k", chat_id=ANNA.phone, text="hello")
    assert (await agent.status("k")).status == "sent"


async def test_who_asks_for_it_while_a_send_waits_gets_none(agent: SmallAgent, whatsapp: WhatsAppWeb) -> None:
    await agent.sends.pause("the test")
    await agent.send("send_text", "k", chat_id=ANNA.phone, text="hello")
    await agent.sends.suppress([ANNA.lid], [])
    await agent.sends.resume()
    result = await agent.status("k")
    assert (result.status, result.error) == ("failed", "refused")
    assert whatsapp.outbox() == []
    # The same key is answered as how it stands, list or not.
    assert (await agent.send("send_text", "k", chat_id=ANNA.phone, text="hello")).status == "failed"


# -- when WhatsApp refuses -------------------------------------------------------------------------------------------


async def test_refusals_stop_everything_until_a_person_has_looked(agent: SmallAgent, whatsapp: WhatsAppWeb) -> None:
    whatsapp.refuse_sends(463)
    for key, chat in (("anna", ANNA.phone), ("bruno", BRUNO.phone), ("group", FAMILY.id)):
        await agent.send("send_text", key, chat_id=chat, text="hello")
    async with asyncio.timeout(20):
        while (await agent.sends.state()).stopped is None:
            await asyncio.sleep(0.02)
    assert (await agent.sends.state()).stopped == "rate_limited"
    (alert,) = await agent.events("alert")
    assert alert.data["code"] == "sending_stopped"
    assert "resume_sends" in alert.data["message"]
    refused = len(whatsapp.state()["sends"]["refused"])
    await agent.send("send_text", "later", chat_id=FAMILY.id, text="later")
    await asyncio.sleep(0.5)  # nothing is to happen
    assert len(whatsapp.state()["sends"]["refused"]) == refused
    assert (await agent.sends.state()).open == 4

    whatsapp.answer_sends()
    await agent.sends.resume()
    for key in ("anna", "bruno", "group", "later"):
        assert (await agent.status(key)).status == "sent"
    assert len(await agent.events("alert")) == 1
    assert len(whatsapp.outbox()) == 4


async def test_one_refusal_is_not_a_warning_yet(agent: SmallAgent, whatsapp: WhatsAppWeb) -> None:
    whatsapp.refuse_sends(479, times=1)
    await agent.send("send_text", "k", chat_id=FAMILY.id, text="hello")
    result = await agent.status("k")
    assert (result.status, result.attempts) == ("sent", 2)
    assert sent(whatsapp) == [(FAMILY.id, "hello")]
    assert await agent.events("alert") == []


async def test_pausing_and_resuming(agent: SmallAgent, whatsapp: WhatsAppWeb) -> None:
    state = await agent.sends.pause("lunch")
    assert state.stopped == "paused: lunch"
    await agent.send("send_text", "k", chat_id=FAMILY.id, text="hello")
    async with asyncio.timeout(20):
        while not (due := await agent.redis.zrange(NAMES.send_queue_due, 0, -1)):
            await asyncio.sleep(0.01)
    await agent.redis.zadd(NAMES.send_queue_due, {due[0]: time.time() + 3600})  # it is woken, long before its own time
    assert whatsapp.outbox() == []
    assert (await agent.sends.resume()).stopped is None
    assert (await agent.status("k")).status == "sent"


# -- acknowledgements ------------------------------------------------------------------------------------------------


async def test_acks_are_told_once_each_and_never_backwards(agent: SmallAgent, whatsapp: WhatsAppWeb) -> None:
    await agent.send("send_text", "anna", chat_id=ANNA.phone, text="hello")
    await agent.send("send_text", "group", chat_id=FAMILY.id, text="hello")
    anna, group = [(await agent.status(key)).message_key or "" for key in ("anna", "group")]
    for ack in (2, 2, 3, 3, 2):
        whatsapp.receipt(anna, ack)
    whatsapp.receipt(group, 3, by=BRUNO.phone)
    for ack in (2, 3):
        whatsapp.receipt(group, ack, by=ANNA.phone)
    whatsapp.receipt(group, 2, by=BRUNO.phone)
    await agent.until_acks("anna", ["sent", "delivered", "read"])
    async with asyncio.timeout(20):
        while "read" not in await agent.acks("group"):
            await asyncio.sleep(0.02)
    told = await agent.acks("group")
    assert len(set(told)) == len(told)
    # Of single members wa-js hears some seconds after messages flow; of all of them we hear ourselves.
    members = {
        f"{ack} by {person.phone.partition('@')[0]}" for ack in ("delivered", "read") for person in (ANNA, BRUNO)
    }
    assert set(told) <= {"sent", "delivered", "read"} | members
    # It may begin to hear between Bruno's two, and know of the latter alone.
    assert not {f"{ack} by {BRUNO.phone.partition('@')[0]}" for ack in ("delivered", "read")} <= set(told)
    assert [ack for ack in told if " " not in ack] == ["sent", "delivered", "read"]


async def test_who_of_a_group_received_and_read_it(agent: SmallAgent, whatsapp: WhatsAppWeb) -> None:
    assert agent.page is not None
    await agent.page._evaluate(
        "new Promise((heard) => WPP.isFullReady ? heard() : WPP.on('loader.full_ready', heard))"
    )
    await agent.send("send_text", "k", chat_id=FAMILY.id, text="hello")
    key = (await agent.status("k")).message_key or ""
    await asyncio.sleep(0.1)  # wa-js begins to listen a tick after that
    for ack, person in ((3, BRUNO), (2, ANNA), (3, ANNA), (2, BRUNO)):
        whatsapp.receipt(key, ack, by=person.phone)
    bruno, anna = BRUNO.phone.partition("@")[0], ANNA.phone.partition("@")[0]
    async with asyncio.timeout(20):
        while len(await agent.acks("k")) < 6:
            await asyncio.sleep(0.02)
    told = await agent.acks("k")
    assert [ack for ack in told if " by " in ack] == [f"read by {bruno}", f"delivered by {anna}", f"read by {anna}"]
    assert [ack for ack in told if " by " not in ack] == ["sent", "delivered", "read"]


async def test_receipts_of_other_devices_messages_are_nobody_s(agent: SmallAgent, whatsapp: WhatsAppWeb) -> None:
    assert agent.page is not None
    await agent.page._evaluate(f"WPP.chat.sendTextMessage('{FAMILY.id}', 'by hand').then(() => 1)")
    whatsapp.receipt(whatsapp.outbox()[0]["id"], 3, by=ANNA.phone)
    await agent.send("send_text", "k", chat_id=FAMILY.id, text="hello")
    await agent.status("k")
    assert [event.data["idempotency_key"] for event in await agent.events("message_ack")] == ["k"]


async def test_receipts_that_came_while_the_agent_was_away(
    redis_server: RedisServer, whatsapp: WhatsAppWeb, tmp_path: Path
) -> None:
    async with small_agent(redis_server, whatsapp, tmp_path) as first:
        await first.send("send_text", "anna", chat_id=ANNA.phone, text="hello")
        await first.send("send_text", "group", chat_id=FAMILY.id, text="hello")
        anna, group = [(await first.status(key)).message_key or "" for key in ("anna", "group")]
        await reload(first)  # its database has them
    whatsapp.receipt(anna, 2)
    whatsapp.receipt(anna, 3)
    whatsapp.receipt(group, 3)
    async with small_agent(redis_server, whatsapp, tmp_path) as second:
        async with asyncio.timeout(20):
            while "read" not in await second.acks("anna"):
                await asyncio.sleep(0.02)
        assert (await second.acks("anna"))[-1] == "read"
        assert len(set(await second.acks("anna"))) == len(await second.acks("anna"))
        async with asyncio.timeout(20):
            while not any(ack.startswith("read") for ack in await second.acks("group")):
                await asyncio.sleep(0.02)


async def test_a_send_that_nobody_could_carry_for_a_day_is_given_up(
    redis_server: RedisServer, whatsapp: WhatsAppWeb, tmp_path: Path
) -> None:
    async with small_agent(redis_server, whatsapp, tmp_path, with_page=False) as agent:
        agent.sends._life.lives_s = 0.2
        await agent.send("send_text", "k", chat_id=FAMILY.id, text="hello")
        await asyncio.sleep(0.25)
        await agent.sends.carry("k", None)
        result = await agent.status("k")
        assert (result.status, result.error) == ("failed", "expired")
        assert await agent.acks("k") == ["failed"]
        assert await agent.redis.ttl(NAMES.send("k")) > 6 * 86_400
        assert await agent.redis.exists(NAMES.sends_of(FAMILY.id), NAMES.sends_open) == 0


async def test_a_page_comes_while_sends_wait(redis_server: RedisServer, whatsapp: WhatsAppWeb, tmp_path: Path) -> None:
    async with small_agent(redis_server, whatsapp, tmp_path, with_page=False) as agent:
        await agent.send("send_text", "k", chat_id=FAMILY.id, text="hello")
        async with asyncio.timeout(20):
            while not (due := await agent.redis.zrange(NAMES.send_queue_due, 0, -1)):
                await asyncio.sleep(0.01)
        await agent.redis.zadd(NAMES.send_queue_due, {due[0]: time.time() + 3600})
        async with contextlib.AsyncExitStack() as stack:
            settings = stack.enter_context(settings_in(tmp_path, whatsapp.url))
            await open_page(agent, stack, settings, whatsapp)
            # Woken by ready, long before its own time.
            assert (await agent.status("k")).status == "sent"
            agent.page = None
