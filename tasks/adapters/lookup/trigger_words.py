"""Trigger words: those that an adapter was trained with, and that a prompt leaves out."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.logs import shortened

MAX_NAMED, MAX_WORD = 10, 100


def trigger_warnings(ref: str, trigger_words: Sequence[str], prompt: str) -> tuple[str, ...]:
    """The warning that a prompt lacks trigger words of an adapter, where it does.

    Args:
        ref: the adapter, as the client wrote it.
    """
    missing = [word for word in trigger_words if not occurs(word, prompt)]
    if not missing:
        return ()
    named = ", ".join(repr(shortened(word, MAX_WORD)) for word in missing[:MAX_NAMED])
    return (f"{ref}: Trigger words that the prompt does not hold: {named}. Without them it may have little effect.",)


def occurs(word: str, prompt: str) -> bool:
    """Return whether a word, or several in a row, stands in a prompt, in any case of its letters."""
    word, prompt = as_compared(word), as_compared(prompt)
    begin = prompt.find(word)
    while begin >= 0:
        end = begin + len(word)
        if not (are_one_word(prompt[begin - 1 : begin], word[:1]) or are_one_word(word[-1:], prompt[end : end + 1])):
            return True
        begin = prompt.find(word, begin + 1)
    return False


def as_compared(text: str) -> str:
    """A text with single spaces and small letters."""
    return " ".join(text.casefold().split())


def are_one_word(left: str, right: str) -> bool:
    """Return whether two characters beside each other belong to one word; scripts without spaces do not tell."""
    return all(character.isascii() and (character.isalnum() or character == "_") for character in (left, right))
