"""Documents, docstrings, comments and messages avoid words that hide the thing meant."""

from __future__ import annotations

import ast
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("signals", "backtests", "reports", "rnn_strategies")
TEXTS = ("*.md", "*.toml", "*.html", "*.ipynb")

AVOIDED = re.compile(
    r"\b(?:said|told|heard|taught|learnt|mend(?:s|ed|ing)?|whoever|nobody|somebody|aloud|for ever|anew|"
    r"c(?:ome|omes|ame|oming) by|turned away)\b",
    re.IGNORECASE,
)
# (file, words around the match): why it stays
EXCEPTIONS: dict[tuple[str, str], str] = {}


def code_files():
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def documents():
    inside = [path for package in PACKAGES for pattern in TEXTS for path in sorted((ROOT / package).rglob(pattern))]
    tops = [
        ROOT / "README.md",
        ROOT / "CHANGELOG.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "pyproject.toml",
        ROOT / "Makefile",
    ]
    return [*inside, *tops, *sorted((ROOT / "tests").rglob("README.md"))]


def texts_of_code(path):
    """Comments and string literals (docstrings, messages, help) of a module, with their lines."""
    with tokenize.open(path) as file:
        tokens = [
            (token.start[0], token.string)
            for token in tokenize.generate_tokens(file.readline)
            if token.type == tokenize.COMMENT
        ]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    strings = [
        (node.lineno, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    return tokens + strings


def avoided(text):
    """Avoided words of a text, each with what stands around it; line breaks count as spaces."""
    flat = re.sub(r"\s+", " ", text)
    return [flat[max(0, match.start() - 30) : match.end() + 30] for match in AVOIDED.finditer(flat)]


def excepted(path, around):
    return any(file == path and words in around for file, words in EXCEPTIONS)


@pytest.mark.parametrize("package", PACKAGES)
def test_code_avoids_words_that_hide_the_thing_meant(package):
    found = [
        f"{path.relative_to(ROOT)}:{line}: {around}"
        for path in sorted((ROOT / package).rglob("*.py"))
        for line, text in texts_of_code(path)
        for around in avoided(text)
        if not excepted(str(path.relative_to(ROOT)), around)
    ]
    assert not found, "\n".join(found)


def test_documents_avoid_words_that_hide_the_thing_meant():
    found = [
        f"{path.relative_to(ROOT)}: {around}"
        for path in documents()
        for around in avoided(path.read_text(encoding="utf-8"))
        if not excepted(str(path.relative_to(ROOT)), around)
    ]
    assert not found, "\n".join(found)


def test_an_avoided_word_is_found():
    assert avoided("The broker\nsaid no for\never.") == ["The broker said no for ever.", "The broker said no for ever."]
    assert avoided("recommend, amended") == []
