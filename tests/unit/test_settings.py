"""Settings: the old service's names, every bad variable at once, and no secret in sight."""

from pathlib import Path

import pytest

from whatsapp_contract.settings import Settings, SettingsError, misspelled


def test_the_defaults_are_the_documented_ones() -> None:
    settings = Settings.from_env({})
    assert settings.session_id == "shula-whatsapp"
    assert settings.port == 3100
    assert settings.backup_interval_ms == 300_000
    assert settings.health_check_cron == "*/10 * * * * *"
    assert settings.connection_reset_cron == "0 * * * *"
    assert settings.whatsapp_web_url == "https://web.whatsapp.com/"
    assert settings.link_silence_s == 35
    assert settings.redis_url.get_secret_value() == "redis://127.0.0.1:6379/0"
    assert not settings.wants_s3


def test_the_variables_of_the_old_service_work() -> None:
    settings = Settings.from_env(
        {
            "REDIS_HOST": "redis.local",
            "REDIS_PORT": "6380",
            "PORT": "8080",
            "BUCKET_STATE_NAME": "sessions",
            "AWS_REGION": "eu-central-1",
            "BUCKET_STATE_ACCESS_KEY": "AKIA-ACCESS",
            "BUCKET_STATE_SECRET_KEY": "SECRET-KEY",
            "WHATSAPP_SESSION_ID": "acc_1",
            "WHATSAPP_BACKUP_SYNC_INTERVAL_MS": "60000",
            "PUPPETEER_EXECUTABLE_PATH": "/usr/bin/chromium",
        }
    )
    assert settings.redis_url.get_secret_value() == "redis://redis.local:6380/0"
    assert (settings.port, settings.session_id, settings.backup_interval_ms) == (8080, "acc_1", 60_000)
    assert (settings.bucket_name, settings.aws_region, settings.wants_s3) == ("sessions", "eu-central-1", True)
    assert settings.browser_executable == Path("/usr/bin/chromium")


def test_every_bad_variable_is_named_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env(
            {
                "PORT": "eighty",
                "REDIS_PORT": "70000",
                "WHATSAPP_SESSION_ID": "no spaces",
                "WHATSAPP_BACKUP_SYNC_INTERVAL_MS": "1000",
                "QR_CONSOLE": "maybe",
                "LINK_SILENCE_S": "inf",
                "START_BUDGET_WINDOW_S": "nan",
                "REDIS_URL": "redis://:s3cret/pw@redis:6379/0",
                "API_TOKEN": "short",
            }
        )
    named = {problem.split(":")[0] for problem in caught.value.problems}
    assert named == {
        "PORT",
        "REDIS_PORT",
        "WHATSAPP_SESSION_ID",
        "WHATSAPP_BACKUP_SYNC_INTERVAL_MS",
        "QR_CONSOLE",
        "LINK_SILENCE_S",
        "START_BUDGET_WINDOW_S",
        "REDIS_URL",
        "API_TOKEN",
    }
    assert caught.value.variables == named
    assert "s3cret" not in str(caught.value)
    assert "eighty" in str(caught.value)
    assert "short (" not in str(caught.value)
    assert "'short'" not in str(caught.value)


def test_an_empty_variable_counts_as_unset() -> None:
    settings = Settings.from_env({"REDIS_HOST": "", "PORT": "", "BUCKET_STATE_NAME": ""})
    assert (settings.redis_host, settings.port, settings.wants_s3) == (None, 3100, False)


def test_a_redis_url_wins_over_host_and_port() -> None:
    settings = Settings.from_env({"REDIS_URL": "rediss://u:p@r:1/2", "REDIS_HOST": "other"})
    assert settings.redis_url.get_secret_value() == "rediss://u:p@r:1/2"


def test_a_password_with_signs_of_an_address_is_quoted() -> None:
    settings = Settings.from_env({"REDIS_PASSWORD": "p@ss/w:rd#"})
    assert settings.redis_url.get_secret_value() == "redis://:p%40ss%2Fw%3Ard%23@127.0.0.1:6379/0"


def test_no_secret_shows_in_a_repr() -> None:
    secrets = {
        "REDIS_URL": "redis://:hidden-1@r:1/2",
        "REDIS_PASSWORD": "hidden-2",
        "BUCKET_STATE_ACCESS_KEY": "hidden-3",
        "BUCKET_STATE_SECRET_KEY": "hidden-4",
        "API_TOKEN": "hidden-5",
        "SESSION_ENCRYPTION_KEY": "hidden-6",
    }
    settings = Settings.from_env(secrets)
    assert "hidden-" not in repr(settings) + str(settings) + repr(settings.redis_url)
    assert sorted(settings.secrets()) == sorted([*secrets.values(), "hidden-1"])


def test_the_parts_of_a_secret_are_secrets_too() -> None:
    settings = Settings.from_env({"REDIS_URL": "redis://u:p%40ss@r/0", "SESSION_ENCRYPTION_KEY": "first, second"})
    assert {"p%40ss", "p@ss", "first", "second", "first, second"} < set(settings.secrets())
    assert "u" not in settings.secrets()
    assert "" not in settings.secrets()


@pytest.mark.parametrize(
    ("store", "bucket", "expected"),
    [("auto", "", False), ("auto", "b", True), ("s3", "", True), ("directory", "b", False)],
)
def test_the_session_store_is_s3_where_its_variables_are_set(store: str, bucket: str, expected: bool) -> None:
    settings = Settings.from_env({"SESSION_STORE": store, "BUCKET_STATE_NAME": bucket})
    assert settings.wants_s3 is expected


def test_a_variable_that_is_ours_but_for_its_spelling_is_noticed_and_nobody_else_s_is() -> None:
    environ = {
        "QR_CONSOL": "off",
        "qr_console": "off",
        "WHATSAP_SESSION_ID": "x",
        "API_TOKENS": "x",
        # of a shell, of AWS, of Kubernetes
        **dict.fromkeys(("PATH", "HOME", "PORT", "HOSTNAME", "AWS_ACCESS_KEY_ID", "AWS_DEFAULT_REGION"), "x"),
        **dict.fromkeys(("REDIS_SERVICE_HOST", "REDIS_SERVICE_PORT", "REDIS_PORT_6379_TCP_PORT", "LOG"), "x"),
    }
    assert misspelled(environ) == {
        "QR_CONSOL": "QR_CONSOLE",
        "qr_console": "QR_CONSOLE",
        "WHATSAP_SESSION_ID": "WHATSAPP_SESSION_ID",
        "API_TOKENS": "API_TOKEN",
    }
