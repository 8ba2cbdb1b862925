"""What the doctor shows of settings."""

from botocache._observe.doctor.variables import check_settings
from botocache._settings.load import Settings, TracedSettings


def test_defaults_are_shown_in_the_words_of_a_user() -> None:
    traced = TracedSettings(Settings(), {}, (), {})
    (finding,) = check_settings(traced)
    assert "tables all, scope auto" in finding.found
    assert finding.found.endswith("prices of us-east-1, 2026-04")
