"""The cursor reads tokens in order, and stays where it is when one does not match."""

import pytest

from botocache._dynamodb.tokens import END, Token, TokenCursor, UnreadableError


def test_a_cursor_reads_each_token_once() -> None:
    tokens = TokenCursor("a <= :b[10].#c")
    read = []
    while not tokens.is_at_end:
        assert tokens.peek() == tokens.peek()
        read.append(tokens.next())
    assert read == [
        Token("word", "a"),
        Token("symbol", "<="),
        Token("value", ":b"),
        Token("symbol", "["),
        Token("number", "10"),
        Token("symbol", "]"),
        Token("symbol", "."),
        Token("name", "#c"),
    ]


def test_a_cursor_never_moves_behind_the_end() -> None:
    tokens = TokenCursor(" ")
    assert tokens.is_at_end
    assert tokens.peek() is END
    assert not tokens.is_at_call
    assert not tokens.accept("(")
    assert not tokens.accept_keyword("AND")
    for _ in range(2):
        with pytest.raises(UnreadableError):
            tokens.next()
        with pytest.raises(UnreadableError):
            tokens.expect("(")


@pytest.mark.parametrize(
    ("expression", "is_call"),
    [("size(a)", True), ("size (a)", True), ("size", False), ("#size(a)", False)],
)
def test_a_call_is_a_word_before_a_parenthesis(
    expression: str,
    is_call: bool,
) -> None:
    assert TokenCursor(expression).is_at_call is is_call


def test_a_token_that_does_not_match_is_not_read() -> None:
    tokens = TokenCursor("and(")
    assert not tokens.accept("and")
    assert not tokens.accept_keyword("OR")
    assert tokens.accept_keyword("AND")
    assert not tokens.accept(")")
    assert tokens.accept("(")
    assert tokens.is_at_end


@pytest.mark.parametrize(
    "expression", ["a & b", "a = 'x'", "#", "a\N{NO-BREAK SPACE}b"]
)
def test_other_text_has_no_tokens(expression: str) -> None:
    with pytest.raises(UnreadableError):
        TokenCursor(expression)
