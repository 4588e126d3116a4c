"""`lstm runs`."""

from __future__ import annotations

from lstmcli.cli.terminal import (
    DEFAULT_WORKSPACE,
    AsJson,
    Quiet,
    WorkspaceFolder,
    highest,
    prepare,
    print_json,
    print_table,
    say_next,
)


def runs(
    workspace: WorkspaceFolder = DEFAULT_WORKSPACE,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> int:
    """List finished and interrupted runs.

    \b
    lstm runs
    lstm runs --json | jq -r '.runs[-1].run'
    """
    prepare(quiet=quiet)
    from lstmcli.pipeline import runs as pipeline
    from lstmcli.pipeline.session import Session
    from lstmcli.store import Workspace

    finished, interrupted, errors = pipeline.runs(Session(Workspace(workspace)))
    if as_json:
        answer = [manifest.model_dump(mode="json") for manifest in finished]
        print_json({"runs": answer, "interrupted": interrupted})
        return highest(errors, as_json=True)
    if not finished and not interrupted and not errors:
        print(f"no runs in {workspace}")
        say_next("lstm train MRK", quiet=quiet)
    if finished:
        rows = [
            [manifest.run, " ".join(manifest.tickers)[:20], f"{manifest.seconds:.0f}"]
            for manifest in finished
        ]
        print_table(["run", "tickers", "seconds"], rows, left=2)
    for run in interrupted:
        print(f"{run}  interrupted: lstm train --resume")
    return highest(errors)
