"""The image, built from the Dockerfile, run hardened. `make image-test` builds it and says by which engine.

`make test` needs no image and skips them, each counted.
"""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from .container import Container
from .engine import Engine
from .standin import StandIn

IMAGE, ENGINE, SECCOMP = "IMAGE_UNDER_TEST", "ENGINE", "DOCKER_SECCOMP_PROFILE"

NOT_TESTED = "THE IMAGE WAS NOT TESTED: `make image-test` builds it and runs these"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without an image each of these is skipped, and so counted."""
    if not os.environ.get(IMAGE):
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(NOT_TESTED))


@pytest.fixture(scope="session")
def image() -> str:
    return os.environ[IMAGE]


@pytest.fixture(scope="session")
def engine() -> Engine:
    return Engine(os.environ[ENGINE])


@pytest.fixture(scope="session")
def seccomp() -> Path | None:
    """Docker's own default profile: other engines have others, which may hide what Docker's users would meet. None
    where the engine is Docker."""
    return Path(os.environ[SECCOMP]) if os.environ[SECCOMP] else None


@pytest.fixture(scope="module")
def run_id() -> str:
    """In the names of what this run makes, so that it removes nothing else."""
    return f"wac-test-{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def stand_in(engine: Engine, image: str, run_id: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    with StandIn(engine, image, f"{run_id}-stand-in", tmp_path_factory.mktemp("stand-in")) as stand_in:
        yield stand_in


@pytest.fixture(scope="module")
def volume(engine: Engine, run_id: str) -> Iterator[str]:
    yield run_id
    engine.remove_volume(run_id)


@pytest.fixture
def another_volume(engine: Engine) -> Iterator[str]:
    name = f"wac-test-{uuid.uuid4().hex[:8]}"
    yield name
    engine.remove_volume(name)


@pytest.fixture
def another(engine: Engine, image: str, stand_in: StandIn, seccomp: Path | None, another_volume: str) -> Container:
    """One that was not started, with a volume of its own."""
    return Container(engine, image, stand_in, seccomp, another_volume, another_volume)
