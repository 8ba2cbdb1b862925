"""`completion`: real shells complete every command and option."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from botocache.__main__ import main
from botocache._cli.commands import COMMANDS, Parser, load_command
from botocache._cli.completion import SHELLS
from botocache._cli.console import Console
from botocache._dynamodb.operations import OPERATIONS
from tests.support.processes import TIMEOUT

pytest.importorskip("shtab")


def options_of(name: str) -> set[str]:
    """Return the long options of a command."""
    parser = Parser(f"botocache {name}", Console())
    load_command(name).add_arguments(parser)
    return {option for option in parser.options() if option.startswith("--")}


@pytest.fixture
def script(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[[str], Path]:
    """Write the script of a shell to a file."""

    def write(shell: str) -> Path:
        assert main(["completion", shell]) == 0
        file = tmp_path / f"completion.{shell}"
        file.write_text(capsys.readouterr().out)
        return file

    return write


def shell_of(name: str) -> str:
    """Return the path of a shell; skip the test if it is not installed."""
    path = shutil.which(name)
    if path is None:
        found = ", ".join(shell for shell in SHELLS if shutil.which(shell))
        pytest.skip(f"{name} is not installed; of its like there is: {found}")
    return path


def output(*command: str) -> str:
    done = subprocess.run(
        command, capture_output=True, check=True, text=True, timeout=TIMEOUT
    )
    assert done.stderr == ""
    return done.stdout


LINES: dict[str, set[str]] = {
    "": {*COMMANDS},
    "sta": {"stats"},
    "completion ": {*SHELLS},
    "explain Get": {name for name in OPERATIONS if name.startswith("Get")},
    **{f"{name} --": options_of(name) for name in COMMANDS},
}
"""What stands on the line behind `botocache`, and how it can go on."""


def test_bash_completes_commands_options_and_values(
    script: Callable[[str], Path],
) -> None:
    bash = shell_of("bash")
    cases = "".join(
        f"try {' '.join(f'{word!r}' for word in ('botocache', *line.split(' ')))}\n"
        for line in LINES
    )
    program = f"""
source {script("bash")}
try() {{
    COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
    _shtab_botocache
    echo "${{COMPREPLY[*]}}"
}}
{cases}
complete -p botocache
"""
    *answers, registered = output(bash, "--norc", "-c", program).splitlines()
    assert dict(zip(LINES, map(set, map(str.split, answers)), strict=True)) == LINES
    assert registered.endswith("-F _shtab_botocache botocache")


def test_bash_completes_the_names_of_files(
    script: Callable[[str], Path], tmp_path: Path
) -> None:
    bash = shell_of("bash")
    (tmp_path / "call.json").touch()
    program = f"""
cd {tmp_path}; source {script("bash")}
COMP_WORDS=(botocache explain GetItem cal); COMP_CWORD=3
_shtab_botocache
echo "${{COMPREPLY[*]}}"
"""
    assert output(bash, "--norc", "-c", program) == "call.json\n"


def test_fish_completes_commands_options_and_values(
    script: Callable[[str], Path], tmp_path: Path
) -> None:
    fish = shell_of("fish")
    cases = "".join(f"complete -C 'botocache {line}'; echo ---\n" for line in LINES)
    program = f"source {script('fish')}\n{cases}"
    environ = ("env", f"HOME={tmp_path}", f"XDG_CONFIG_HOME={tmp_path}")
    answers = output(*environ, fish, "--no-config", "-c", program).split("---\n")
    for (line, expected), answer in zip(LINES.items(), answers, strict=False):
        completed = {each.split("\t")[0] for each in answer.splitlines()}
        assert expected <= completed, line


def test_zsh_completes_commands_and_options(
    script: Callable[[str], Path], tmp_path: Path
) -> None:
    zsh = shell_of("zsh")
    file = script("zsh")
    output(zsh, "-f", "-n", str(file))
    # What zsh would describe and offer, through stand-ins of its two functions.
    program = f"""
compdef() {{ : }}
_arguments() {{ print -rl -- "$@" }}
_describe() {{ print -rl -- "${{(P@)2}}" }}
source {file}
print -r -- "== commands"
_shtab_botocache_commands
for name in {" ".join(COMMANDS)}; do
    print -r -- "== $name"
    variable="_shtab_botocache_${{name}}_options"
    print -rl -- "${{(P@)variable}}"
done
"""
    _, commands, *options = output(zsh, "-f", "-c", program).split("== ")
    _, *described = commands.splitlines()
    assert {line.split(":")[0] for line in described} == {*COMMANDS}
    for name, text in zip(COMMANDS, options, strict=True):
        assert text.startswith(f"{name}\n")
        for option in options_of(name):
            assert f"{option}[" in text, name


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_ends_its_last_line(
    script: Callable[[str], Path], shell: str
) -> None:
    assert script(shell).read_text().endswith("\n")


def test_without_shtab_it_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", "bash"]) == 1
    assert capsys.readouterr() == (
        "",
        "botocache: completion: it needs the package shtab: pip install "
        "'botocache-dynamodb[cli]'\n",
    )
