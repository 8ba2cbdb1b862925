"""Attacks on what is cached, each against a live service: none may get an answer."""
