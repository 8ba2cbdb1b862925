"""Strategies for text and numbers of key attributes."""

from hypothesis import strategies as st

# Two letters and at most two of them, so that equal texts occur.
short_texts = st.text(alphabet="ab", max_size=2)


@st.composite
def spelled_numbers(draw: st.DrawFn, *, most: int = 10**38 - 1, far: int = 130) -> str:
    """Some spelling of some number."""
    coefficient = str(draw(st.integers(0, most)))
    exponent = draw(st.integers(-far, far))
    zeros = draw(st.integers(0, 3))
    digits = "0" * draw(st.integers(0, 3)) + coefficient + "0" * zeros
    exponent -= zeros
    point = draw(st.integers(0, len(digits)))
    whole, fraction = digits[:point], digits[point:]
    exponent += len(fraction)
    text = f"{whole}.{fraction}" if fraction or draw(st.booleans()) else whole
    if exponent or draw(st.booleans()):
        plus = draw(st.sampled_from(["", "+"])) if exponent >= 0 else ""
        text += f"{draw(st.sampled_from('eE'))}{plus}{exponent}"
    return draw(st.sampled_from(["", "+", "-"])) + text
