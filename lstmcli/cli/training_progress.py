"""The progress of a training: what it does, how long it takes, which epoch it is at."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from lstmcli.cli.screen import Stages
from lstmcli.cli.terminal import say

if TYPE_CHECKING:
    from rich.progress import Progress

    from lstmcli.forecasters.run_recipe import Work
    from lstmcli.forecasters.training import Epoch, TrainingConfig
    from lstmcli.pipeline.members import MemberDone

EVERY = 10.0
"""Seconds between lines of progress off a terminal."""

MEASURED = 2
"""The epoch whose time is taken for that of the others; the first one compiles, too."""


class TrainingProgress:
    """Shows stages by a spinner and epochs by a bar; a plain line now and then elsewhere."""

    def __init__(self, work: Work, training: TrainingConfig, *, quiet: bool) -> None:
        self._work, self._training, self._quiet = work, training, quiet
        self._networks = work.networks * (2 if training.refit else 1)
        # Early stopping may end each network sooner.
        self._bound = "at most" if work.keeps_best else "about"
        self._epochs: dict[tuple[str, int], int] = {}
        self._said = 0.0
        self._estimated = False
        self._stages = Stages(quiet=quiet)
        self._bar: Progress | None = None

    def __enter__(self) -> TrainingProgress:
        return self

    def __exit__(self, *error: object) -> None:
        self._stages.end()
        self._end_bar()

    def on_stage(self, stage: str) -> None:
        """Show what begins. Nothing of the epochs before stays beside it."""
        self._end_bar()
        self._stages.begin(stage)

    def on_member(self, done: MemberDone) -> None:
        """Show a member that a worker has trained."""
        epochs = "1 epoch" if done.epochs == 1 else f"{done.epochs} epochs"
        say(
            f"{done.fit} fit, network {done.member}: {epochs}, {done.seconds:.0f} s "
            f"({done.done}/{done.of})",
            quiet=self._quiet,
        )

    def on_epoch(self, epoch: Epoch) -> None:
        """Show an epoch that has ended, and once how long the training takes."""
        self._stages.end()
        self._estimate(epoch)
        done = self._done(epoch)
        if sys.stderr.isatty() and not self._quiet:
            self._show(epoch, done)
        elif time.monotonic() - self._said > EVERY or epoch.epoch == 1:
            self._said = time.monotonic()
            seconds = (self._networks * epoch.epochs - done) * epoch.seconds / epoch.together
            say(
                f"{epoch.fit} fit, network {epoch.member}/{epoch.members}: epoch {epoch.epoch} "
                f"loss {epoch.loss:.4f}{self._validation(epoch)}, "
                f"{self._bound} {seconds:.0f} s left",
                quiet=self._quiet,
            )

    def _done(self, epoch: Epoch) -> int:
        """Return how many epochs are done, those of networks that stopped early counted whole."""
        self._epochs[epoch.fit, epoch.member] = epoch.epoch
        done = (epoch.fit == "final") * epoch.members * epoch.epochs
        for member in range(1, epoch.members + 1):
            # A network that has not been heard of is trained, or its turn has not come.
            trained = member <= epoch.member - epoch.together
            done += self._epochs.get((epoch.fit, member), trained * epoch.epochs)
        return done

    def _estimate(self, epoch: Epoch) -> None:
        """Say how long all epochs take, once one has been measured."""
        if self._estimated or epoch.epoch < min(MEASURED, epoch.epochs):
            return
        from lstmcli.report.wording import time_to_come

        self._estimated = True
        limit = self._training.max_minutes
        say(
            time_to_come(
                epoch.seconds / epoch.together,
                networks=self._networks,
                least=self._work.least,
                most=epoch.epochs,
                limit=None if limit is None else 60 * limit,
            ),
            quiet=self._quiet,
        )

    def _show(self, epoch: Epoch, done: int) -> None:
        shown: dict[str, Any] = {
            "description": f"{epoch.fit} fit {epoch.member}/{epoch.members}",
            "completed": done,
            "loss": f"epoch {epoch.epoch}: {epoch.loss:.4f}{self._validation(epoch)}",
        }
        if self._bar is None:
            from rich import progress
            from rich.console import Console

            self._bar = progress.Progress(
                progress.TextColumn("{task.description}"),
                progress.BarColumn(bar_width=None),
                progress.TextColumn("{task.fields[loss]}"),
                progress.TextColumn(self._bound),
                progress.TimeRemainingColumn(compact=True),
                console=Console(stderr=True),
                transient=True,
                expand=True,
            )
            total = self._networks * epoch.epochs
            self._task = self._bar.add_task(total=total, **shown)
            self._bar.start()
        self._bar.update(self._task, **shown)

    def _end_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _validation(self, epoch: Epoch) -> str:
        """Return the loss on the validation block, where there is one."""
        if epoch.validation_loss != epoch.validation_loss:
            return ""
        best = f" (best: epoch {epoch.best_epoch})" if self._work.keeps_best else ""
        return f", validation {epoch.validation_loss:.4f}{best}"
