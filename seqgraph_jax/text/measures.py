"""Measures of written text: words, repetition, copies, loops."""

import re
from collections.abc import Collection, Sequence

WORD = re.compile(r"[^\W\d_]+")


def words(text: str) -> list[str]:
    """Runs of letters, in lower case.

    >>> words("The cat's 2 hats")
    ['the', 'cat', 's', 'hats']
    """
    return WORD.findall(text.lower())


def share_of_words(text: str, known: Collection[str]) -> float:
    """Share of a text's words that are known; the first and the last are not judged.

    They may be cut. NaN if there are none. ``known`` is best a set.

    >>> share_of_words("xx the cat zat o", {"the", "cat"})
    0.6666666666666666
    """
    inner = words(text)[1:-1]
    if not inner:
        return float("nan")
    return sum(word in known for word in inner) / len(inner)


def distinct_ngrams(text: str, n: int = 4) -> float:
    """Number of different n-grams of characters divided by the number of n-grams.

    1 if nothing repeats; NaN for fewer than n characters.

    >>> distinct_ngrams("abcdabcd"), distinct_ngrams("abcdefgh")
    (0.8, 1.0)
    """
    ngrams = [text[i : i + n] for i in range(len(text) - n + 1)]
    return len(set(ngrams)) / len(ngrams) if ngrams else float("nan")


def longest_copy(text: str, corpus: str) -> int:
    """Length of the longest part of a text that stands in the corpus, in characters.

    >>> longest_copy("xthe cab", "on the cat")
    6
    """
    start = longest = 0
    for end in range(1, len(text) + 1):
        while end - start > longest and text[start:end] not in corpus:
            start += 1
        longest = max(longest, end - start)
    return longest


def loop_length(tokens: Sequence[str] | str, min_repeats: int = 3) -> int:
    """Period of the loop that a text ends in, in characters; 0 if there is none.

    The shortest p such that the last ``min_repeats`` p characters have period p.

    >>> loop_length("and so on on on "), loop_length("no loop here")
    (3, 0)
    """
    for period in range(1, len(tokens) // min_repeats + 1):
        end = tokens[len(tokens) - min_repeats * period :]
        if end[period:] == end[:-period]:
            return period
    return 0
