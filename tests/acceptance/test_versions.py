"""Builds of WhatsApp Web, through the whole service: one that breaks a call is told and gone back from, one that is
asked for is served."""

import json
import shutil
import urllib.request
from pathlib import Path
from typing import Any

from tests.harness.service import AROUND, Service
from tests.harness.waiting import wait_until
from tests.whatsapp_web.client import WhatsAppWeb
from whatsapp_contract.events import Event

GOOD, BAD, NEXT, LAST = "2.3000.1045220589", "2.3000.1045220600", "2.3000.1045220700", "2.3000.1045220800"


def keep_build(package: Path, whatsapp: WhatsAppWeb) -> None:
    """What the site serves now, as @wppconnect/wa-version keeps it."""
    version = whatsapp.state()["options"]["build"]
    (package / "html").mkdir(parents=True, exist_ok=True)
    with urllib.request.urlopen(whatsapp.url, timeout=30) as answer:
        (package / "html" / f"{version}-alpha.html").write_bytes(answer.read())
    (package / "versions.json").write_text(json.dumps({"versions": []}))


def alert(service: Service, code: str, after: str = "-") -> Event:
    return service.wait_event("alert", after=after, where=lambda data: data["code"] == code)


def alerts(service: Service, after: str = "-") -> list[str]:
    return [event.data["code"] for event in service.events("alert", after=after)]


def kept(service: Service, version: str) -> dict[str, Any]:
    """What is kept of a build."""
    text: Any = service.redis.hget(service.client.names.builds, version)
    found: dict[str, Any] = json.loads(text)
    return found


def on_show(service: Service, version: str) -> None:
    wait_until(
        lambda: (service.status().state, service.status().whatsapp_web_version) == ("ready", version), 90, version
    )


def test_a_build_that_breaks_a_call_is_gone_back_from_until_there_is_another(tmp_path: Path) -> None:
    package = tmp_path / "wa-version"
    variables = {"WHATSAPP_WEB_FALLBACK": "on", "WA_VERSION_PATH": str(package), "CONNECTION_RESET_CRON": "0 0 1 1 *"}
    with (
        WhatsAppWeb(keepalive_s=2, build=GOOD) as whatsapp,
        Service(tmp_path, whatsapp.url, without=AROUND, **variables) as service,
    ):
        keep_build(package, whatsapp)
        whatsapp.scan(service.wait_event("qr").data["payload"])
        service.wait_event("ready")
        builds = service.client.names.builds
        wait_until(lambda: service.redis.hexists(builds, GOOD), 60, "the good build is known")

        whatsapp.set_options(build=BAD, hide=["WAWebMsgCollection"])
        service.client.call("reload", {"cause": "the test"})
        message = alert(service, "calls_broken").data["message"]
        assert BAD in message
        assert "messages_in (no MsgStore)" in message
        fallback = alert(service, "build_fallback").data["message"]
        assert BAD in fallback
        assert GOOD in fallback
        on_show(service, GOOD)
        key = whatsapp.deliver_text("hello")
        service.wait_event("message", where=lambda data: data["key"] == key)
        wait_until(lambda: service.status().broken_calls == (), 60, "the good build is probed")
        service.wait_event("reset", where=lambda data: data["cause"] == "build_fallback")
        (reload,) = [event for event in service.events("reset") if event.data["cause"] == "build_fallback"]
        assert reload.data["proven"]

        # The site still serves the bad one: another browser, and a whole service anew, keep to the good one.
        service.client.call("restart_browser", {"cause": "the test"}, reply_within_s=90)
        on_show(service, GOOD)
        assert not [event for event in service.events("alert") if event.data["code"] == "build_fallback_over"]

        whatsapp.set_options(build=NEXT, hide=[])
        service.client.call("restart_browser", {"cause": "the test"}, reply_within_s=90)
        assert NEXT.split(".")[2] in alert(service, "build_fallback_over").data["message"]
        on_show(service, NEXT)
        wait_until(lambda: service.redis.hexists(builds, NEXT), 60, "the next build is probed")
        assert kept(service, NEXT)["broken"] == {}
        assert not service.redis.hexists(builds, "fallback")
        assert alerts(service) == ["calls_broken", "build_fallback", "build_fallback_over"]

        # An older build that is not let in any more is given up, and so is going back from the one that it stood for.
        keep_build(package, whatsapp)
        over = service.last_event_id()
        whatsapp.set_options(build=LAST, hide=["WAWebMsgCollection"])
        service.client.call("reload", {"cause": "the test"})
        assert NEXT in alert(service, "build_fallback", over).data["message"]
        on_show(service, NEXT)
        whatsapp.block("DEPRECATED_VERSION")
        assert NEXT in alert(service, "build_fallback_failed", over).data["message"]
        on_show(service, LAST)
        wait_until(lambda: "messages_in" in service.status().broken_calls, 60, "it is told to be broken")
        assert kept(service, LAST)["keep"]
        assert alerts(service, over) == ["calls_broken", "build_fallback", "build_fallback_failed"]


def test_a_build_that_is_asked_for_is_served_and_what_it_breaks_is_told_once(tmp_path: Path) -> None:
    package = tmp_path / "wa-version"
    with WhatsAppWeb(keepalive_s=2, build=GOOD, hide=["WAWebMsgCollection"]) as whatsapp:
        keep_build(package, whatsapp)
        whatsapp.set_options(build=NEXT, hide=[])
        variables = {"WHATSAPP_WEB_VERSION": "2.3000.x", "WA_VERSION_PATH": str(package)}
        with Service(tmp_path, whatsapp.url, without=AROUND, **variables) as service:
            whatsapp.scan(service.wait_event("qr").data["payload"])
            on_show(service, GOOD)
            alert(service, "calls_broken")
            wait_until(lambda: service.status().verdict == "blocked", 60, "blocked: no restart mends a build")
            assert service.status().verdict_reason == "calls_broken"
            assert "messages_in" in service.status().broken_calls
            known, last = kept(service, GOOD), service.last_event_id()
        # The newest that is kept is another than its name says.
        shutil.copy(package / f"html/{GOOD}-alpha.html", package / f"html/{NEXT}-alpha.html")
        with Service(tmp_path, whatsapp.url, without=AROUND, **variables) as service:
            service.wait_event("ready", after=last)
            on_show(service, GOOD)
            wait_until(lambda: service.status().verdict == "blocked", 60, "it is known to be broken")
            message = alert(service, "build_not_served").data["message"]
            assert NEXT in message
            assert GOOD in message
            wait_until(lambda: kept(service, GOOD) != known, 60, "it is probed again")
            known = kept(service, GOOD)
            service.client.call("reload", {"cause": "the test"})
            wait_until(lambda: kept(service, GOOD) != known, 60, "the next document is probed, too")
            assert alerts(service) == ["calls_broken", "build_not_served"]
