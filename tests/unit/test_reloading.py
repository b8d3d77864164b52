"""Settings read again: new keys are taken over, all else counts from the next start."""

from pathlib import Path

import pytest

from gristmill.errors import Misconfigured
from gristmill.settings import InvalidSettings, Settings, Source, load_settings
from gristmill.settings.reloading import reload

FIRST, SECOND = "sk-first-key-for-tests", "sk-second-key-for-tests"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / ".env.development"
    path.write_text(f"OPENAI_API_KEY={FIRST}\nGRISTMILL_COLLECTION=papers\n")
    return path


def key_of(settings: Settings) -> str:
    assert settings.openai_api_key is not None
    return settings.openai_api_key.get_secret_value()


def test_a_key_that_was_replaced_in_the_file_is_taken_over_and_all_else_stays(file, tmp_path):
    before = load_settings({}, tmp_path)
    file.write_text(f"OPENAI_API_KEY={SECOND}\nGRISTMILL_COLLECTION=other\nGRISTMILL_MAX_PAGES=7\n")
    found = reload(before)
    assert found.rotated == ("openai",)
    assert found.restart == ("GRISTMILL_COLLECTION", "GRISTMILL_MAX_PAGES")
    assert key_of(found.settings) == SECOND
    assert (found.settings.collection, found.settings.max_pages) == ("papers", 2000)
    assert key_of(before) == FIRST


@pytest.mark.usefixtures("file")
def test_nothing_new_is_nothing_new(tmp_path):
    before = load_settings({}, tmp_path)
    found = reload(before)
    assert (found.settings, found.rotated, found.restart) == (before, (), ())


def test_a_secrets_file_is_read_again_and_named_as_the_keys_source(file, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("llx-first-key-for-tests\n")
    before = load_settings({"LLAMA_CLOUD_API_KEY_FILE": str(secret)}, tmp_path)
    secret.write_text("llx-second-key-for-tests\n")
    file.write_text(f"OPENAI_API_KEY_FILE={secret}\nGRISTMILL_COLLECTION=papers\n")
    found = reload(before)
    assert found.rotated == ("openai", "llamaparse")
    assert key_of(found.settings) == "llx-second-key-for-tests"
    rows = {row.name: row for row in found.settings.describe()}
    assert rows["OPENAI_API_KEY"].value == "set (from OPENAI_API_KEY_FILE)"
    assert rows["OPENAI_API_KEY"].source is Source.FILE
    assert rows["LLAMA_CLOUD_API_KEY"].source is Source.ENVIRONMENT


def test_settings_may_be_read_again_and_again(file, tmp_path):
    settings = load_settings({}, tmp_path)
    for key in (SECOND, FIRST, SECOND):
        file.write_text(f"OPENAI_API_KEY={key}\nGRISTMILL_COLLECTION=papers\n")
        settings = reload(settings).settings
        assert key_of(settings) == key


def test_what_is_wrong_by_now_is_told_and_changes_nothing(file, tmp_path):
    before = load_settings({}, tmp_path)
    file.write_text(f"OPENAI_API_KEY={SECOND}\nGRISTMILL_MAX_PAGES=none\nGRISTMILL_NONSENSE=1\n")
    with pytest.raises(InvalidSettings) as caught:
        reload(before)
    assert {each.setting for each in caught.value.problems} == {
        "GRISTMILL_MAX_PAGES",
        "GRISTMILL_NONSENSE",
    }
    assert key_of(before) == FIRST


def test_settings_that_a_program_gave_cannot_be_read_again(tmp_path):
    with pytest.raises(Misconfigured, match="by a program"):
        reload(Settings(home=tmp_path))
