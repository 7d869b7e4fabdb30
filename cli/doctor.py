"""whatsapp-container doctor"""

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime

import click
import structlog

from whatsapp_contract.logs import without_secrets
from whatsapp_contract.settings import SECRET_VARIABLES, Settings

from .checks import browser, machine, redis_server, service, site, stores, variables, watchdog, webhooks
from .checks.finding import Finding, Level
from .checks.runner import Check, carry_out
from .output import Exit, json_option
from .service import usable_settings

REDIS_VARIABLES = frozenset({"REDIS_HOST", "REDIS_PORT", "REDIS_URL", "REDIS_PASSWORD"})
_FILES_ADVICE = "the disk does not answer: see the machine's log, or whoever serves its network file system"
_REDIS_ADVICE = "it is frozen or overloaded: look at its log and its machine"
_NAME_WIDTH = 18


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Look for what is wrong, and say what to do. Changes nothing; works also while the service does not.

    Exit codes: 0 nothing is bad, 1 something is.
    """
    # What our libraries log is said by the findings.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    settings, problems = usable_settings(os.environ)
    unusable = frozenset(problem.partition(":")[0] for problem in problems)
    hidden = _secrets(settings, os.environ)
    findings = []
    for finding in carry_out(checks(settings, problems, unusable), unusable):
        shown = replace(
            finding,
            found=without_secrets(finding.found, hidden),
            advice=finding.advice and without_secrets(finding.advice, hidden),
        )
        findings.append(shown)
        if not as_json:
            _show(shown)
    well = all(finding.level is not Level.BAD for finding in findings)
    if as_json:
        click.echo(json.dumps({"well": well, "checks": [asdict(finding) for finding in findings]}))
    raise SystemExit(Exit.OK if well else Exit.FAILED)


def checks(settings: Settings, problems: list[str], unusable: frozenset[str]) -> list[Check]:
    """All of them, in the order in which they are told: what explains others comes first."""
    runs = service.service_runs(settings)
    in_session = REDIS_VARIABLES | {"WHATSAPP_SESSION_ID", "INSTANCE_ID"}
    folders = frozenset({"DATA_DIR", "RUN_DIR"})
    return [
        Check(
            "settings",
            lambda: variables.variables(problems, os.environ, settings.follow_chats),
            5.0,
            "look again",
        ),
        Check(
            "encryption",
            lambda: variables.encryption(settings),
            5.0,
            "look again",
            frozenset({"SESSION_ENCRYPTION_KEY"}),
        ),
        Check("disk", lambda: machine.disk(settings), machine.DISK_WITHIN_S, _FILES_ADVICE, folders),
        Check(
            "redis",
            lambda: redis_server.look(settings, service_runs=runs),
            redis_server.WITHIN_S,
            _REDIS_ADVICE,
            in_session,
        ),
        Check(
            "browser",
            lambda: browser.browser(settings),
            browser.WITHIN_S,
            "the machine is overloaded: look again",
            frozenset({"PUPPETEER_EXECUTABLE_PATH", "CHROMIUM_SANDBOX"}),
        ),
        Check("wa-js", lambda: browser.wa_js(settings), 5.0, _FILES_ADVICE, frozenset({"WA_JS_PATH"})),
        Check(
            "builds",
            lambda: browser.builds(settings, datetime.now(UTC)),
            5.0,
            _FILES_ADVICE,
            frozenset({"WHATSAPP_WEB_VERSION", "WHATSAPP_WEB_FALLBACK", "WA_VERSION_PATH"}),
        ),
        Check(
            "session store",
            lambda: stores.look(settings),
            stores.WITHIN_S,
            "see that the store runs and can be reached from here; check S3_ENDPOINT_URL and AWS_REGION",
            stores.NEEDED,
        ),
        Check(
            "site",
            lambda: site.look(settings),
            site.WITHIN_S,
            "check this machine's DNS and network",
            frozenset({"WHATSAPP_WEB_URL"}),
        ),
        Check("clock", lambda: machine.clock(settings, unusable), machine.CLOCK_WITHIN_S, "see what is told above"),
        Check(
            "supervisord",
            lambda: service.supervisord(settings, runs=runs),
            service.SUPERVISORD_WITHIN_S,
            "it hangs: restart the container",
            folders,
        ),
        Check(
            "watchdog",
            lambda: watchdog.look(settings, runs=runs),
            watchdog.WITHIN_S,
            _REDIS_ADVICE,
            in_session,
        ),
        Check(
            "webhooks",
            lambda: webhooks.look(settings, runs=runs),
            webhooks.WITHIN_S,
            "check this machine's DNS, and see `redis`",
            REDIS_VARIABLES | {"WHATSAPP_SESSION_ID", "WEBHOOK_URL", "WEBHOOK_PRIVATE_HOSTS"},
        ),
        Check(
            "agent",
            lambda: service.agent(settings, runs_here=runs),
            service.AGENT_WITHIN_S,
            _REDIS_ADVICE,
            in_session,
        ),
    ]


def _secrets(settings: Settings, environ: Mapping[str, str]) -> list[str]:
    """Those of variables that cannot be used, too."""
    raw = [environ.get(name or "", "") for name in SECRET_VARIABLES]
    return [*settings.secrets(), *filter(None, raw)]


def _show(finding: Finding) -> None:
    click.echo(f"{finding.level:<4}  {finding.name:<{_NAME_WIDTH}} {finding.found}")
    if finding.advice:
        click.echo(f"{'':<6}{'':<{_NAME_WIDTH}} -> {finding.advice}")
