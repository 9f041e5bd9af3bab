"""What the tests of the command line share."""

from __future__ import annotations

import pytest

from apps.cli import main


@pytest.fixture
def gandissect(capsys: pytest.CaptureFixture[str]):
    """Run the command line in this process: (status, standard output, standard error)."""

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return stop.value.code, said.out, said.err

    return run
