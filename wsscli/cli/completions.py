"""The completion scripts in `completions/`: `python -m wsscli.cli.completions DIR` writes them anew.

Static text made from the command table, so that completing costs no start of Python.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from wsscli.cli.app import COMMANDS, Table, load
from wsscli.cli.parameters import choices


class Option(NamedTuple):
    """An option of a command: its names, its help's first sentence, its values (empty: free), whether it takes one."""

    names: tuple[str, ...]
    help: str
    values: tuple[str, ...]
    takes_value: bool


class Command(NamedTuple):
    """A command by its words (`export voc-server`), or a group with the names below it."""

    words: tuple[str, ...]
    help: str
    options: tuple[Option, ...]
    below: tuple[tuple[str, str], ...] = ()


def commands(table: Table = COMMANDS, prefix: tuple[str, ...] = ()) -> Iterator[Command]:
    """All commands and groups, as the command line has them."""
    for name, (target, summary) in table.items():
        words = (*prefix, name)
        if isinstance(target, dict):
            yield Command(words, summary, (), tuple((n, s) for n, (_, s) in target.items()))
            yield from commands(target, words)
        else:
            yield Command(words, summary, tuple(_options(load(name, table))))


def _options(command: Any) -> Iterator[Option]:
    for parameter in command.params:
        if parameter.param_type_name != "option":
            continue
        values = choices(parameter)
        first = (parameter.help or "").split(". ")[0].rstrip(".")
        yield Option((*parameter.opts, *parameter.secondary_opts), first, values, not parameter.is_flag)
    yield Option(("--help",), "Show this message and exit", (), False)


def bash() -> str:
    """The script for bash."""
    lines = ["# bash completion of wss. Made by `make docs`; source it, or copy it to bash_completion.d.", "_wss() {"]
    lines += [
        "    local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} words= value=",
        '    local command="${COMP_WORDS[1]-}"',
        '    case "$command" in',
        f'        {"|".join(c.words[0] for c in commands() if c.below)}) command="$command ${{COMP_WORDS[2]-}}" ;;',
        "    esac",
        '    case "$command" in',
    ]
    for command in commands():
        if command.below:
            continue
        lines.append(f"        '{' '.join(command.words)}')")
        lines.append(f"            words='{' '.join(n for o in command.options for n in o.names)}'")
        lines.append('            case "$before" in')
        lines += [
            f"                {'|'.join(o.names)}) words='{' '.join(o.values)}'; value=1 ;;"
            for o in command.options
            if o.takes_value
        ]
        lines += ["            esac ;;"]
    top = " ".join(COMMANDS)
    for command in commands():
        if command.below:
            lines.append(f"        '{command.words[0]} '*) words='{' '.join(n for n, _ in command.below)}' ;;")
    lines += [
        f"        *) words='{top} --help --version' ;;",
        "    esac",
        "    if ((COMP_CWORD == 1)); then words='" + top + " --help --version'; value=; fi",
        "    if [[ -n $words && ( -n $value || $current == -* || \"$COMP_CWORD\" -eq 1 || $command == *' ' ) ]]; then",
        '        mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")',
        "    else",
        '        mapfile -t COMPREPLY < <(compgen -f -- "$current")',
        "    fi",
        "}",
        "complete -o filenames -F _wss wss",
    ]
    return "\n".join(lines) + "\n"


def zsh() -> str:
    """The script for zsh."""
    lines = ["#compdef wss", "# zsh completion of wss. Made by `make docs`; copy it to a folder of your fpath."]
    lines += ["_wss() {", "    local -a names", "    local command=${words[2]}"]
    groups = [c for c in commands() if c.below]
    lines.append("    if (( CURRENT == 2 )); then")
    lines.append("        names=(" + " ".join(_zsh_pair(n, s) for n, (_, s) in COMMANDS.items()) + ")")
    lines.append("        _describe command names; return")
    lines.append("    fi")
    for group in groups:
        lines.append(f"    if [[ $command == {group.words[0]} ]]; then")
        lines.append("        if (( CURRENT == 3 )); then")
        lines.append("            names=(" + " ".join(_zsh_pair(n, s) for n, s in group.below) + ")")
        lines.append("            _describe command names; return")
        lines.append("        fi")
        lines.append('        command="$command ${words[3]}"')
        lines.append("    fi")
    lines.append('    case "$command" in')
    for command in commands():
        if command.below:
            continue
        lines.append(f"        '{' '.join(command.words)}') _arguments -s \\")
        lines += [f"            {_zsh_option(o)} \\" for o in command.options]
        lines.append("            '*:file:_files' ;;")
    lines += ["    esac", "}", '_wss "$@"']
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _zsh_pair(name: str, summary: str) -> str:
    return _quoted(f"{name}:{summary.replace(':', ' -')}")


def _zsh_option(option: Option) -> str:
    text = option.help.replace("[", "(").replace("]", ")").replace(":", " -")
    value = ""
    if option.takes_value:
        value = f":value:({' '.join(option.values)})" if option.values else ":value:_files"
    parts = [_quoted(f"{name}[{text}]{value}") for name in option.names]
    return " ".join(parts)


def fish() -> str:
    """The script for fish."""
    lines = ["# fish completion of wss. Made by `make docs`; copy it to ~/.config/fish/completions/wss.fish."]
    top = " ".join(COMMANDS)
    lines.append(f"set -l top {top}")
    for name, (_, summary) in COMMANDS.items():
        lines.append(f'complete -c wss -f -n "not __fish_seen_subcommand_from $top" -a {name} -d {_quoted(summary)}')
    for command in commands():
        seen = "; and ".join(f"__fish_seen_subcommand_from {word}" for word in command.words)
        for name, summary in command.below:
            unseen = " ".join(n for n, _ in command.below)
            condition = f"{seen}; and not __fish_seen_subcommand_from {unseen}"
            lines.append(f'complete -c wss -f -n "{condition}" -a {name} -d {_quoted(summary)}')
        for option in command.options:
            names = " ".join(f"-l {n[2:]}" if n.startswith("--") else f"-s {n[1:]}" for n in option.names)
            value = " -r" if option.takes_value else ""
            if option.values:
                value += f" -f -a {_quoted(' '.join(option.values))}"
            lines.append(f'complete -c wss -n "{seen}" {names}{value} -d {_quoted(option.help)}')
    return "\n".join(lines) + "\n"


FILES = {"wss.bash": bash, "_wss": zsh, "wss.fish": fish}


def write(folder: Path) -> None:
    """Write all scripts into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in FILES.items():
        (folder / name).write_text(make())


if __name__ == "__main__":
    write(Path(sys.argv[1] if len(sys.argv) > 1 else "completions"))
