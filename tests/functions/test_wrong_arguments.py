"""No public function and no method answers wrong arguments with an error that was not made for the caller."""

import pytest

from tests.helpers.wrong_arguments import functions, methods, unfit

NAMES = sorted([*functions(), *methods()])
PARTS = 16


@pytest.mark.parametrize("part", range(PARTS))
def test_wrong_arguments_are_told_in_words(part, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    chosen = set(NAMES[part::PARTS])
    assert [(call.text, repr(call.error)) for call in unfit(chosen.__contains__)] == []
