"""`lstm explain`."""

from __future__ import annotations

from typing import Annotated

import typer

from lstmcli.cli.screen import STICKY, wrapped
from lstmcli.cli.terminal import AsJson, prepare, print_json
from lstmcli.errors import ConfigError, shell_word


def explain(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="TERM", help="Such as cone, skill, HAR ridge.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Explain a term of the output.

    Without a term: list them.

    \b
    lstm explain cone
    lstm explain random walk
    lstm explain --json | jq -r '.terms[].name'
    """
    prepare()
    from lstmcli.report.glossary import GLOSSARY, Term, find_term, near_terms, term_names

    def answer(term: Term) -> dict[str, object]:
        names = {"name": term.name, "also": list(term.aliases)}
        return {**names, "text": term.text, "see": list(term.see)}

    if not words:
        if as_json:
            print_json({"terms": [answer(term) for term in GLOSSARY]})
        else:
            print(wrapped(", ".join(name.replace(" ", STICKY) for name in term_names())))
        return 0
    asked = " ".join(words)
    term = find_term(asked)
    if term is None:
        near = near_terms(asked)
        offered = " or ".join(f"lstm explain {shell_word(name)}" for name in near)
        raise ConfigError(
            f"The glossary has no term {asked!r}.",
            hint=f"did you mean {offered}?" if near else "lstm explain lists the terms",
        )
    if as_json:
        print_json({"terms": [answer(term)]})
        return 0
    print(term.name)
    print(wrapped(term.text, indent="  "))
    if term.see:
        print(wrapped(f"See {', '.join(term.see)}.", indent="  "))
    return 0
