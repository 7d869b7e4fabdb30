"""Settings, read once from the environment; every bad variable is named at once."""

import difflib
import socket
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote, unquote, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
)

from . import webhook_settings
from .names import INSTANCE_ID_PATTERN, SESSION_ID_PATTERN, InstanceNames, SessionNames

OnOff = Literal["on", "off"]
Port = Annotated[int, Field(ge=1, le=65535)]
LEAST_BROWSER_MB = 200  # less is taken by a browser that shows nothing
Seconds = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]


def _usable(url: SecretStr) -> SecretStr:
    from .redis_connection import check_url

    check_url(url.get_secret_value())
    return url


def _sane_limit(megabytes: int) -> int:
    if 0 < megabytes < LEAST_BROWSER_MB:
        raise ValueError(f"a browser needs at least {LEAST_BROWSER_MB} MB; 0 turns the limit off")
    return megabytes


def _usable_hooks(urls: SecretStr) -> SecretStr:
    webhook_settings.check_urls(urls.get_secret_value())
    return urls


def _usable_hook_secrets(secrets: SecretStr) -> SecretStr:
    webhook_settings.check_secrets(secrets.get_secret_value())
    return secrets


def _listed(value: Any) -> Any:
    """Words with commas between them."""
    return webhook_settings.split_list(value) if isinstance(value, str) else value


class SettingsError(Exception):
    """Some variables cannot be used. `problems` has one sentence for each, never a secret's value."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems

    @property
    def variables(self) -> set[str]:
        """Those that cannot be used."""
        return {problem.partition(":")[0] for problem in self.problems}


class Settings(BaseModel):
    """Everything the processes read from the environment; the field's alias is the variable.

    An empty variable counts as unset, as container tools pass it.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    # Redis
    redis_host: str | None = Field(None, alias="REDIS_HOST")
    redis_port: Port = Field(6379, alias="REDIS_PORT")
    redis_url_given: Annotated[SecretStr, AfterValidator(_usable)] | None = Field(None, alias="REDIS_URL")
    redis_embedded: Literal["auto", "on", "off"] = Field("auto", alias="REDIS_EMBEDDED")
    redis_password: SecretStr | None = Field(None, alias="REDIS_PASSWORD")
    events_maxlen: int = Field(100_000, alias="EVENTS_MAXLEN", ge=1, le=10**9)

    # The session
    session_id: str = Field("shula-whatsapp", alias="WHATSAPP_SESSION_ID", pattern=SESSION_ID_PATTERN)
    instance_id: str = Field(default_factory=socket.gethostname, alias="INSTANCE_ID", pattern=INSTANCE_ID_PATTERN)
    whatsapp_web_url: Annotated[str, StringConstraints(pattern=r"^https?://[^\s/]+/")] = Field(
        "https://web.whatsapp.com/", alias="WHATSAPP_WEB_URL"
    )

    # Its builds: docs/versions.md. Numbers, or `x` for any; empty is what the site serves.
    whatsapp_web_version: str = Field(
        "", alias="WHATSAPP_WEB_VERSION", pattern=r"^$|^(\d+|x)(\.(\d+|x)){0,2}(-[A-Za-z0-9.]+)?$"
    )
    whatsapp_web_fallback: OnOff = Field("off", alias="WHATSAPP_WEB_FALLBACK")

    # Where things lie
    data_dir: Path = Field(Path("data"), alias="DATA_DIR")
    run_dir_given: Path | None = Field(None, alias="RUN_DIR")
    wa_js_path: Path = Field(Path("node_modules/@wppconnect/wa-js/dist/wppconnect-wa.js"), alias="WA_JS_PATH")
    swagger_ui_path: Path = Field(Path("node_modules/swagger-ui-dist"), alias="SWAGGER_UI_PATH")
    wa_version_path: Path = Field(Path("node_modules/@wppconnect/wa-version"), alias="WA_VERSION_PATH")
    session_store: Literal["auto", "s3", "directory"] = Field("auto", alias="SESSION_STORE")
    bucket_name: str | None = Field(None, alias="BUCKET_STATE_NAME")
    bucket_access_key: SecretStr | None = Field(None, alias="BUCKET_STATE_ACCESS_KEY")
    bucket_secret_key: SecretStr | None = Field(None, alias="BUCKET_STATE_SECRET_KEY")
    aws_region: str = Field("us-east-1", alias="AWS_REGION")
    s3_endpoint_url: str | None = Field(None, alias="S3_ENDPOINT_URL", pattern=r"^https?://")
    backup_interval_ms: int = Field(300_000, alias="WHATSAPP_BACKUP_SYNC_INTERVAL_MS", ge=60_000)
    session_generations: int = Field(5, alias="SESSION_GENERATIONS", ge=1, le=100)
    session_encryption_key: SecretStr | None = Field(None, alias="SESSION_ENCRYPTION_KEY")

    # Messages in
    follow_chats: Annotated[tuple[str, ...], BeforeValidator(_listed)] = Field(("groups",), alias="FOLLOW_CHATS")
    backfill_on_first_login_days: float = Field(0, alias="BACKFILL_ON_FIRST_LOGIN_DAYS", ge=0, le=3650)
    media_store: Literal["auto", "s3", "directory"] = Field("auto", alias="MEDIA_STORE")
    media_bucket: str | None = Field(None, alias="MEDIA_BUCKET")
    media_max_bytes: int = Field(100 * 1024 * 1024, alias="MEDIA_MAX_BYTES", ge=1, le=4 * 1024**3)

    # Messages out
    send_rate: float = Field(20, alias="SEND_RATE", gt=0, le=100_000)  # per minute, all chats together
    send_rate_per_chat: float = Field(10, alias="SEND_RATE_PER_CHAT", gt=0, le=100_000)
    send_rate_strangers: float = Field(3, alias="SEND_RATE_STRANGERS", gt=0, le=100_000)
    send_private_hosts: Annotated[tuple[str, ...], BeforeValidator(_listed)] = Field((), alias="SEND_PRIVATE_HOSTS")

    # Webhooks: see webhook_settings.py
    webhook_url: Annotated[SecretStr, AfterValidator(_usable_hooks)] | None = Field(None, alias="WEBHOOK_URL")
    webhook_secret: Annotated[SecretStr, AfterValidator(_usable_hook_secrets)] | None = Field(
        None, alias="WEBHOOK_SECRET"
    )
    webhook_events: Annotated[
        tuple[str, ...], BeforeValidator(_listed), AfterValidator(webhook_settings.check_events)
    ] = Field(webhook_settings.DEFAULT_EVENTS, alias="WEBHOOK_EVENTS")
    webhook_private_hosts: Annotated[tuple[str, ...], BeforeValidator(_listed)] = Field(
        (), alias="WEBHOOK_PRIVATE_HOSTS"
    )

    # The browser
    browser_executable: Path | None = Field(None, alias="PUPPETEER_EXECUTABLE_PATH")
    chromium_sandbox: OnOff = Field("off", alias="CHROMIUM_SANDBOX")
    qr_console: OnOff = Field("on", alias="QR_CONSOLE")
    browser_memory_limit_mb: Annotated[int, AfterValidator(_sane_limit)] | None = Field(
        None, alias="BROWSER_MEMORY_LIMIT_MB", ge=0, le=10**7
    )  # MiB of all its processes; 0 turns it off, None is a part of the container's own limit

    # Health
    health_check_cron: str = Field("*/10 * * * * *", alias="HEALTH_CHECK_CRON")
    connection_reset_cron: str = Field("0 * * * *", alias="CONNECTION_RESET_CRON")
    # With the answer's own 5 s, two checks to agree and the reset a hung link is over within a minute.
    link_silence_s: Seconds = Field(35.0, alias="LINK_SILENCE_S")
    takeover_limit: int = Field(3, alias="TAKEOVER_LIMIT", ge=0, le=1000)
    start_budget: int = Field(5, alias="START_BUDGET", ge=1, le=10_000)
    start_budget_window_s: Seconds = Field(600.0, alias="START_BUDGET_WINDOW_S")

    # Said by the entry point (cli/service.py), as is LOG_ON_TERMINAL
    service_started_at: float | None = Field(None, alias="SERVICE_STARTED_AT", gt=0, allow_inf_nan=False)

    # Web and logs
    port: Port = Field(3100, alias="PORT")
    api_token: SecretStr | None = Field(None, alias="API_TOKEN", min_length=8)
    view_token: SecretStr | None = Field(None, alias="VIEW_TOKEN", min_length=8)
    api_rate: float = Field(100, alias="API_RATE", gt=0, le=1_000_000)  # requests a second, of each address
    trusted_proxies: str = Field("", alias="TRUSTED_PROXIES", pattern=r"^[0-9A-Fa-f.:/, ]*$")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", alias="LOG_LEVEL")
    log_format: Literal["text", "json"] = Field("text", alias="LOG_FORMAT")
    log_on_terminal: bool = Field(False, alias="LOG_ON_TERMINAL")  # said by the entry point: cli/service.py

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Settings":
        """Raises SettingsError naming every variable that cannot be used."""
        aliases = {field.alias for field in cls.model_fields.values()}
        given = {name: value for name, value in environ.items() if name in aliases and value != ""}
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            raise SettingsError([_problem(dict(item), given) for item in error.errors()]) from None

    @cached_property
    def redis_url(self) -> SecretStr:
        """Where Redis is, password included: REDIS_URL, else host and port, else this machine."""
        if self.redis_url_given:
            return self.redis_url_given
        password = f":{quote(self.redis_password.get_secret_value(), safe='')}@" if self.redis_password else ""
        return SecretStr(f"redis://{password}{self.redis_host or '127.0.0.1'}:{self.redis_port}/0")

    def secrets(self) -> list[str]:
        """Every value that must not be shown, for the logs to hide; also those that are parts of others."""
        given = (getattr(self, name) for name in type(self).model_fields)
        whole = [value.get_secret_value() for value in given if isinstance(value, SecretStr)]
        keys = self.session_encryption_key.get_secret_value().split(",") if self.session_encryption_key else []
        password = urlsplit(self.redis_url.get_secret_value()).password or ""
        parts = {*(key.strip() for key in keys), password, unquote(password)}
        parts |= {*self.webhook_urls, *self.webhook_secrets}
        for url in self.webhook_urls:
            parts |= webhook_settings.secret_parts(url)
        known = {webhook_settings.shown(url) for url in self.webhook_urls}  # an address may be no more than its host
        return [secret for secret in (*whole, *sorted(parts - {"", *whole})) if secret not in known]

    @cached_property
    def run_dir(self) -> Path:
        """Where sockets, pid files and generated configuration live; may be a tmpfs."""
        return (self.run_dir_given or self.data_dir / "run").absolute()

    @property
    def session_dir(self) -> Path:
        """What belongs to this session under DATA_DIR: the browser's profile first of all."""
        return self.data_dir.absolute() / "sessions" / self.session_id

    @property
    def wants_s3(self) -> bool:
        """Whether the variables ask for sessions in S3."""
        if self.session_store != "auto":
            return self.session_store == "s3"
        return any((self.bucket_name, self.bucket_access_key, self.bucket_secret_key))

    @property
    def wants_media_in_s3(self) -> bool:
        """Whether the variables ask for photos and files in S3: as sessions, unless they say otherwise."""
        if self.media_store != "auto":
            return self.media_store == "s3"
        return self.media_bucket is not None or self.wants_s3

    @property
    def webhook_urls(self) -> tuple[str, ...]:
        return _split(self.webhook_url)

    @property
    def webhook_secrets(self) -> tuple[str, ...]:
        """All of them sign; none where nothing is signed."""
        return _split(self.webhook_secret)

    @cached_property
    def names(self) -> SessionNames:
        return SessionNames(self.session_id)

    @cached_property
    def instance_names(self) -> InstanceNames:
        return InstanceNames(self.session_id, self.instance_id)


def misspelled(environ: Mapping[str, str]) -> dict[str, str]:
    """Variables that are none of ours and look as if one was meant, with that one. Nobody else's are that close."""
    known = {str(field.alias) for field in Settings.model_fields.values()}
    guesses = {
        name: difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.88) for name in environ if name not in known
    }
    return {name: found[0] for name, found in guesses.items() if found}


def _split(given: SecretStr | None) -> tuple[str, ...]:
    return webhook_settings.split_list(given.get_secret_value()) if given else ()


SECRET_VARIABLES = frozenset(
    field.alias for field in Settings.model_fields.values() if "SecretStr" in str(field.annotation)
)


# Where pydantic would show a pattern, or speak of items.
_WORDS = {
    "API_TOKEN": "should have at least 8 characters",
    "VIEW_TOKEN": "should have at least 8 characters",
    "TRUSTED_PROXIES": "should be addresses or networks with commas between them, as in 10.0.0.1,172.16.0.0/12",
    "WHATSAPP_SESSION_ID": "should be of letters, digits, _ and -, 64 at most",
    "INSTANCE_ID": "should be of letters, digits, _, . and -, 64 at most",
    "WHATSAPP_WEB_URL": "should be http:// or https:// with a host and a path, if only the final /",
    "S3_ENDPOINT_URL": "should begin with http:// or https://",
    "WHATSAPP_WEB_VERSION": "should be numbers with dots, or x for any of them, as in 2.3000.x",
}


def _problem(item: dict[str, Any], given: Mapping[str, str]) -> str:
    variable = str(item["loc"][0])
    shown = "" if variable in SECRET_VARIABLES or variable not in given else f" (it is {given[variable]!r})"
    message = _WORDS.get(variable) or item["msg"].removeprefix("Value error, ")
    return f"{variable}: {message[0].lower()}{message[1:]}{shown}"
