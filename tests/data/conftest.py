"""Tests on real data run where RECTUTOR_SAMPLES names the samples; elsewhere they are not collected, and it is said."""

import os

import pytest
from hypothesis import settings

# Timings belong to the benchmarks: on a busy machine a deadline fails tests at random.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

collect_ignore_glob = [] if os.environ.get("RECTUTOR_SAMPLES") else ["*_samples.py"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if collect_ignore_glob:
        terminalreporter.write_line("RECTUTOR_SAMPLES is not set: the tests on real data were left out")


@pytest.fixture(autouse=True)
def _no_home_cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test reads or writes the user's cache."""
    monkeypatch.setenv("RECTUTOR_DATA", str(tmp_path_factory.mktemp("cache")))
