"""The glossary: what the program shows is explained, and found by what people type."""

from __future__ import annotations

import json
import re

import pytest

from lstmcli.cli.screen import MEANINGS
from lstmcli.evaluation.ladder import BEATS, LOSES, NO_VERDICT, NOT_ASKED, TIES
from lstmcli.forecasters.baselines import BASELINES
from lstmcli.report.glossary import (
    GLOSSARY,
    anchor,
    find_term,
    glossary_markdown,
    near_terms,
    term_names,
)
from lstmcli.report.verdict import TABLE_LEGEND


def test_every_term_is_found_by_its_name_and_its_aliases_alone():
    known: dict[str, str] = {}
    for term in GLOSSARY:
        for name in (term.name, *term.aliases):
            assert find_term(name) is term, name
            key = re.sub(r"[\W_]+", " ", name.lower()).strip()
            assert known.setdefault(key, name) == name  # an alias is another word
            assert find_term(name.upper().replace(" ", "_")) is term


def test_every_reference_leads_to_another_term():
    names = {term.name for term in GLOSSARY}
    for term in GLOSSARY:
        assert set(term.see) <= names - {term.name}, term.name


def test_a_term_is_a_few_plain_sentences():
    for term in GLOSSARY:
        assert term.text.endswith(".")
        assert len(term.text) <= 260, term.name
        assert term.text[0].isupper()


@pytest.mark.parametrize(
    "shown",
    [
        *BASELINES,
        *(BEATS, LOSES, TIES, NOT_ASKED, NO_VERDICT, *MEANINGS),
        *re.findall(r"'(\w+)'", TABLE_LEGEND),
        *("P(up)", "CRPS", "skill", "cone", "calibrated", "EWC", "ladder", "quantile", "conformal"),
        *("out of sample", "coverage", "random walk", "HAR ridge", "GJR-GARCH", "total return"),
    ],
)
def test_what_the_output_says_has_a_term(shown: str):
    assert find_term(shown) is not None


def test_a_term_is_explained_with_what_belongs_to_it(lstm):
    answer = lstm("explain", "har", "ridge")
    assert answer.code == 0
    assert answer.out.startswith("HAR ridge\n  HAR with twenty single sessions")
    assert answer.out.endswith("See HAR, baseline.\n")
    (parsed,) = json.loads(lstm("explain", "har_ridge", "--json").out)["terms"]
    term = find_term("HAR ridge")
    assert parsed == {
        "name": "HAR ridge",
        "also": [],
        "text": term.text,
        "see": list(term.see),
    }


def test_without_a_term_all_are_listed(lstm):
    assert ", ".join(term_names()) == " ".join(lstm("explain").out.split())
    assert not re.search(r"HAR$", lstm("explain").out, re.MULTILINE)  # of "HAR ridge"
    parsed = json.loads(lstm("explain", "--json").out)["terms"]
    assert [term["name"] for term in parsed] == [term.name for term in GLOSSARY]


def test_a_term_that_nobody_knows_gets_near_ones(lstm):
    assert near_terms("conee") == ["cone"]
    assert near_terms("randm walk") == ["random walk"]
    answer = lstm("explain", "randm", "walk")
    assert (answer.code, answer.out) == (2, "")
    assert answer.hint == "did you mean lstm explain 'random walk'?"
    assert lstm("explain", "qqqq").hint == "lstm explain lists the terms"


def test_the_markdown_has_a_linked_heading_for_each_term():
    text = glossary_markdown()
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == term_names()
    anchors = re.findall(r"^\((term-[a-z0-9-]+)\)=$", text, re.MULTILINE)
    assert anchors == [anchor(name) for name in term_names()]
    assert len(set(anchors)) == len(GLOSSARY)
    assert set(re.findall(r"\]\(#(.*?)\)", text)) <= set(anchors)
