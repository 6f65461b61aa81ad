import pytest

from edge_keras.plot_text import LABEL, plain


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("Glas & Flaschen", "Glas & Flaschen"),
        ("$x_1$", r"\$x_1\$"),
        ("cat \U0001f408", "cat [cat]"),
        ("tab\there", "tab here"),
        ("gone\udc80", r"gone\udc80"),
    ],
)
def test_what_no_font_has_is_described(text: str, drawn: str) -> None:
    assert plain(text) == drawn


def test_a_long_label_keeps_both_ends() -> None:
    short = plain("first" + "x" * 200 + "last", LABEL)
    assert len(short) == LABEL
    assert short.startswith("first") and short.endswith("last")
