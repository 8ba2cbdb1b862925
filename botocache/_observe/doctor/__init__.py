"""The findings of `botocache doctor`: what is wrong here, and what to do about it."""
