"""Settings are read once, and say what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from tasks.settings import PREFIX, Settings, describe

README = Path(__file__).parents[3] / "README.md"


def test_a_wrong_value_names_itself_and_what_is_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STOKEHOLD_LEASE_S", "soon")

    with pytest.raises(ValidationError) as caught:
        Settings()

    assert describe(caught.value).startswith("STOKEHOLD_LEASE_S='soon': Input should be a valid number")


def test_a_secret_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STOKEHOLD_S3_SECRET_KEY", "hunter2")

    assert "hunter2" not in repr(Settings())


def test_a_variable_that_is_empty_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STOKEHOLD_WEBHOOK_SECRET", "")

    assert Settings().webhook_secret is None


@pytest.mark.parametrize(
    ("base_url", "public", "expected"),
    [
        ("https://cdn.example.com", None, "set both"),
        (None, "images", "set both"),
        ("https://cdn.example.com", "stokehold", "must differ from STOKEHOLD_S3_BUCKET"),
    ],
)
def test_what_is_public_needs_a_bucket_of_its_own(base_url: str | None, public: str | None, expected: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({"public_base_url": base_url, "s3_public_bucket": public})

    assert describe(caught.value).startswith("STOKEHOLD_S3_PUBLIC_BUCKET=")
    assert expected in describe(caught.value)


def test_folders_are_separated_by_colons(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STOKEHOLD_ADAPTER_FOLDERS", "demo/loras:/srv/loras")

    assert Settings().adapter_folders == (Path("demo/loras"), Path("/srv/loras"))


@pytest.mark.parametrize("url", ["unix:///run/valkey.sock", "sentinel://host:26379", "http://host", "host:6379"])
def test_a_valkey_that_is_no_single_server_is_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("STOKEHOLD_VALKEY_URL", url)

    with pytest.raises(ValidationError, match="must begin with redis:// or rediss://: one server"):
        Settings()


def test_the_readme_lists_every_setting_and_no_other() -> None:
    documented = {
        line.split("`")[1] for line in README.read_text("utf-8").splitlines() if line.startswith(f"| `{PREFIX}")
    }
    assert documented == {PREFIX + name.upper() for name in Settings.model_fields}
