"""What all benchmarks stand on; the figures themselves take minutes."""

import os
from pathlib import Path

import pytest

from benchmarks import __main__ as benchmarks
from benchmarks.report import Figure
from benchmarks.sessions import _environment
from whatsapp_contract.settings import Settings


def test_a_benchmark_that_fails_does_not_take_the_figures_of_the_others_with_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(_folder: Path) -> list[Figure]:
        raise RuntimeError("it is broken")

    def works(_folder: Path) -> list[Figure]:
        return [Figure("what it measures", "1 s", "0.5 s", "2 s")]

    monkeypatch.setattr(benchmarks, "BENCHMARKS", {"broken": fails, "whole": works})
    assert benchmarks.main([]) == 1
    said = capsys.readouterr()
    assert "what it measures" in said.out
    assert "it is broken" in said.err
    assert "without the figures of broken" in said.err


def test_the_process_that_saves_has_the_settings_that_are_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given = {"WHATSAPP_SESSION_ID": "s", "DATA_DIR": str(tmp_path), "BUCKET_STATE_SECRET_KEY": "k"}
    for field in Settings.model_fields.values():
        monkeypatch.delenv(str(field.alias), raising=False)
    settings, former = Settings.from_env(given), dict(os.environ)
    with _environment(settings):
        assert Settings.from_env(os.environ) == settings
    assert dict(os.environ) == former
