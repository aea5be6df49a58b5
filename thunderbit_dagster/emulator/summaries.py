"""Summary, answer and highlights without a model: sentences of the page itself, chosen by what they say.

Nothing is ever written that is not on the page; where no sentence fits, nothing is returned and nothing is billed.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

SUMMARY_SENTENCES: Final = 3
HIGHLIGHTS: Final = 5

_WORD: Final = re.compile(r"[^\W_]{2,}")
_SENTENCE_END: Final = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[]*[^\Wa-z])|(?<=[\u3002\uff01\uff1f])")
_FENCE: Final = re.compile(r"^(`{3,}).*?^\1\s*$", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"!?\[([^\]]*)\]\((?:<[^>]*>|[^()\s]*(?:\([^()]*\)[^()\s]*)*)(?:\s+\"[^\"]*\")?\)")
_STOP_WORDS: Final = (
    "a an and are as at be been but by can could did do does for from had has have how i if in into is it its me my no"
    " not of on or our should so than that the their them then there these they this those to was we were what when"
    " where which who why will with would you your"
)
_STOP: Final = frozenset(_STOP_WORDS.split())
_LEAST_SHARED: Final = 0.5
_SHORTEST_STEM: Final = 4
_SHORTEST: Final = 25
_LONGEST: Final = 600


def summary(markdown: str) -> str | None:
    """The sentences whose words the page uses most, in the page's order."""
    sentences = sentences_of(markdown)
    scores = _centrality(sentences)
    best = sorted(range(len(sentences)), key=lambda place: (-scores[place], place))[:SUMMARY_SENTENCES]
    return " ".join(sentences[place] for place in sorted(best)) or None


def answer(markdown: str, question: str) -> str | None:
    """The sentence that shares most with the question, if it shares at least half of what the question asks."""
    found = _ranked(markdown, question)
    return found[0][1] if found and found[0][0] >= _LEAST_SHARED else None


def highlights(markdown: str, query: str) -> list[str]:
    """The sentences about the query, best first."""
    return [sentence for _, sentence in _ranked(markdown, query)[:HIGHLIGHTS]]


def sentences_of(markdown: str) -> list[str]:
    """The prose of a Markdown text as sentences; headings, code, tables and lists of links are left out."""
    prose = _LINK.sub(r"\1", _FENCE.sub("\n", markdown))
    paragraphs = [" ".join(block.split()) for block in re.split(r"\n\s*\n", prose) if _is_prose(block)]
    found = [part.strip() for text in paragraphs for part in _SENTENCE_END.split(_plain(text)) if part]
    return list(dict.fromkeys(text for text in found if _SHORTEST <= len(text) <= _LONGEST and " " in text))


def words_of(text: str) -> list[str]:
    """The words that carry meaning, lower case."""
    return [_stem(word) for word in _WORD.findall(text.lower()) if word not in _STOP]


def _is_prose(block: str) -> bool:
    start = block.lstrip()
    return not start.startswith(("#", "|", "---", "![", "`")) and any(c in block for c in ".!?\u3002\uff01\uff1f")


def _plain(text: str) -> str:
    return re.sub(r"(?:^|(?<=\s))(?:[-*+>]|\d+\.)\s+", "", text.replace("**", "").replace("`", ""))


def _stem(word: str) -> str:
    for ending in ("ing", "ies", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= _SHORTEST_STEM:
            return word[: -len(ending)]
    return word


def _centrality(sentences: Sequence[str]) -> list[float]:
    words = [words_of(sentence) for sentence in sentences]
    counts = Counter(word for found in words for word in set(found))
    # Early sentences of a page say what it is about; the weight falls off slowly.
    return [
        sum(counts[word] for word in set(found)) / (len(set(found)) + 5) / math.log2(place + 4)
        for place, found in enumerate(words)
    ]


def _ranked(markdown: str, query: str) -> list[tuple[float, str]]:
    wanted = set(words_of(query))
    if not wanted:
        return []
    scored = [
        (len(wanted & set(words_of(sentence))) / len(wanted), -place, sentence)
        for place, sentence in enumerate(sentences_of(markdown))
    ]
    return [(score, sentence) for score, _, sentence in sorted(scored, reverse=True) if score > 0]
