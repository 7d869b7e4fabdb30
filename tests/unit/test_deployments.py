"""The service takes the variables that compose.yaml and deploy/kubernetes give it."""

import re
from pathlib import Path
from typing import Any

import yaml

from cli.service import usable_settings

REPOSITORY = Path(__file__).parents[2]
KUBERNETES = REPOSITORY / "deploy" / "kubernetes"
SECRETS = {
    "REDIS_URL": "redis://:PASSWORD@redis.example:6379/0",
    "BUCKET_STATE_ACCESS_KEY": "key",
    "BUCKET_STATE_SECRET_KEY": "secret",
    "SESSION_ENCRYPTION_KEY": "00" * 32,
    "API_TOKEN": "00" * 24,
}


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def test_compose_starts() -> None:
    service = read(REPOSITORY / "compose.yaml")["services"]["whatsapp"]
    settings, problems = usable_settings({**service["environment"], "RUN_DIR": "/run/whatsapp-container"})
    assert problems == []
    assert settings.session_store == settings.media_store == "s3"
    head = (REPOSITORY / "compose.yaml").read_text()
    assert f"?token={service['environment']['API_TOKEN']}." in head


def test_a_pod_starts_with_the_secrets_that_are_named() -> None:
    pod = read(KUBERNETES / "stateful-set.yaml")["spec"]["template"]["spec"]["containers"][0]
    named = re.search(r"# (.*API_TOKEN.*)\n", (KUBERNETES / "stateful-set.yaml").read_text())
    assert named is not None
    assert set(named[1].split(", ")) == set(SECRETS)
    scaling = (REPOSITORY / "docs" / "scaling.md").read_text()
    assert all(f"--from-literal={name}=" in scaling for name in SECRETS)
    lines = [line for line in (KUBERNETES / "settings.env").read_text().splitlines() if not line.startswith("#")]
    own = {one["name"]: one.get("value", "whatsapp") for one in pod["env"]}
    for name in ("POD_NAMESPACE", "POD_NAME"):
        own["WHATSAPP_SESSION_ID"] = own["WHATSAPP_SESSION_ID"].replace(f"$({name})", own[name])
    environ = {**dict(line.split("=", 1) for line in lines), **SECRETS, **own, "RUN_DIR": "/run/whatsapp-container"}
    settings, problems = usable_settings(environ)
    assert problems == []
    assert settings.session_id == "whatsapp-whatsapp"


def test_every_manifest_is_in_the_kustomization() -> None:
    listed = set(read(KUBERNETES / "kustomization.yaml")["resources"])
    assert listed == {path.name for path in KUBERNETES.glob("*.yaml")} - {"kustomization.yaml"}
