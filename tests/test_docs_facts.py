"""What the pages say about commands, options, defaults and files is held to the code."""

import ast
import re
import shlex
from pathlib import Path

import pytest

from wsscli.cli.app import COMMANDS, load
from wsscli.cli.tables import fill
from wsscli.methods import METHODS

ROOT = Path(__file__).parents[1]
PAGES = {path.name: path.read_text() for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]}
BY_HAND = sorted(set(PAGES) - {"cli.md"})


def leaves(table=COMMANDS, prefix=()):
    for name, (target, _) in table.items():
        if isinstance(target, dict):
            yield from leaves(target, (*prefix, name))
        else:
            yield (*prefix, name), load(name, table)


LEAVES = dict(leaves())


def commands(page):
    """The `wss` commands that stand as shell lines in a page, split at pipes."""
    blocks = re.findall(r"```bash\n(.*?)\n```", page, re.DOTALL) + re.findall(r"(?:^ {4}.*\n)+", page, re.MULTILINE)
    for block in blocks:
        for line in block.splitlines():
            for part in re.split(r"\||&&|;|\$\(", line.split(" # ")[0]):
                if part.strip().startswith("wss "):
                    yield part.strip().split(" >")[0]


@pytest.mark.parametrize("name", BY_HAND)
def test_commands_and_their_options_exist(name):
    for line in commands(PAGES[name]):
        words = shlex.split(line.rstrip(")"))[1:]
        command = LEAVES.get((words[0],)) or LEAVES.get(tuple(words[:2]))
        assert command is not None, line
        known = {flag for p in command.params for flag in (*p.opts, *p.secondary_opts)} | {"--help"}
        given = {word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert given <= known, f"{name}: {line}: no option {sorted(given - known)}"


def test_there_are_commands_to_check():
    assert sum(len(list(commands(PAGES[name]))) for name in BY_HAND) > 40


@pytest.mark.parametrize("name", BY_HAND)
def test_options_named_in_a_sentence_exist(name):
    everything = {flag for c in LEAVES.values() for p in c.params for flag in (*p.opts, *p.secondary_opts)}
    everything |= {"--version", "--help", "--extra-index-url", "--upgrade"}
    everything |= {"--nproc-per-node", "--nnodes", "--rdzv-backend", "--rdzv-endpoint"}  # torchrun's
    everything |= {"--nodes", "--ntasks-per-node", "--gpus-per-node", "--cpus-per-task", "--time", "--kill-on-bad-exit"}
    everything |= {"--array", "--gpus", "--dependency", "--wrap"}  # sbatch's
    everything |= {"--nworkers", "--nthreads", "--memory-limit", "--port"}  # dask worker's
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", PAGES[name]))
    assert named <= everything, sorted(named - everything)


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name):
    folder = ROOT if name == "README.md" else ROOT / "docs"
    for target in re.findall(r"\]\(([^)\s]+)\)", PAGES[name]):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        page = folder / path if path else folder / name
        assert page.exists(), f"{name}: {target}"
        if anchor and page.suffix == ".md":
            assert anchor in anchors(page.read_text()), f"{name}: {target}"


def anchors(page):
    """The names by which GitHub links to a page's headings."""
    found: dict[str, int] = {}
    for heading in re.findall(r"^#+ (.*)$", page, re.MULTILINE):
        base = re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
        number = found.get(base, 0)
        found[base] = number + 1
        if number:
            found[f"{base}-{number}"] = 1
    return set(found)


def test_made_tables_are_those_of_the_code():
    assert fill(PAGES["methods.md"]) == PAGES["methods.md"], "run `make docs`"


def sections():
    parts = re.split(r"^## (.*)$", PAGES["methods.md"], flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("name", METHODS)
def test_defaults_in_a_method_s_table_are_those_of_its_command(name):
    command = LEAVES[(METHODS[name].step,)]
    defaults = {flag: p.default for p in command.params for flag in (*p.opts, *p.secondary_opts)}
    for options, said in re.findall(r"^\| (`--[^|]*) \| ([^|]*) \|", sections()[name], re.MULTILINE):
        for option in re.findall(r"`(--[a-z-]+)`", options):
            assert option in defaults, f"{name}: {option}"
            value = re.fullmatch(r"`([^`]+)`", said)
            if value:
                default = defaults[option]
                assert value[1] == (f"{default:g}" if isinstance(default, float) else str(default)), option
            else:
                assert defaults[option] in (None, False), f"{name}: {option} has a default to name"


@pytest.mark.parametrize("name", METHODS)
def test_a_method_says_where_it_is_from(name):
    assert "\nSource: " in sections()[name]


def test_defaults_that_only_the_help_tells_are_in_the_pages():
    text = " ".join(p.help or "" for c in LEAVES.values() for p in c.params)
    rules = set(re.findall(r"((?:const|power):[0-9.]+) when left out", text))
    section = PAGES["methods.md"].partition("\n# From scores to masks")[2].partition("\n# ")[0]
    assert rules and all(f"`{rule}`" in section for rule in rules)


@pytest.mark.parametrize("words", LEAVES, ids=" ".join)
def test_help_holds_no_markup(words):
    """The terminal takes `[word]` for a style and leaves it out."""
    texts = [p.help or "" for p in LEAVES[words].params] + [LEAVES[words].help or ""]
    assert not [text for text in texts if re.search(r"\[[a-z#/@]", text)]


def spoken():
    """The fixed parts of every string in the code, implicit concatenations joined."""
    texts = []
    for path in (ROOT / "wsscli").rglob("*.py"):
        texts += [
            n.value
            for n in ast.walk(ast.parse(path.read_text()))
            if isinstance(n, ast.Constant) and isinstance(n.value, str)
        ]
    return texts


def test_messages_in_the_pages_are_those_of_the_code():
    texts = spoken()
    table = PAGES["datasets.md"].partition("## What is refused")[2]
    messages = re.findall(r"^\| [^|]+ \| `([^`]+)` \|$", table, re.MULTILINE)
    assert len(messages) > 20
    for message in messages:
        for part in message.split("..."):
            words = part.strip(" '():;?,")
            if len(words) > 8 and "'..', ids" not in part:
                assert any(words in text for text in texts), f"{message}: nothing says '{words}'"
