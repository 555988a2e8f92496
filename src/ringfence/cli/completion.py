"""`ringfence completion`: what a shell needs to complete the command line; and what it completes.

The shell asks by starting `ringfence` at each press of the key. So nothing here starts or imports
an application: services are read from the text of its files, which is kept from the last start.
"""

from pathlib import Path

import click
from click.shell_completion import CompletionItem, get_completion_class

from ringfence.cli.terminal import say_text

_HOW = {
    "bash": 'eval "$(ringfence completion bash)" in ~/.bashrc',
    "zsh": 'eval "$(ringfence completion zsh)" in ~/.zshrc',
    "fish": "ringfence completion fish > ~/.config/fish/completions/ringfence.fish, once",
}
_VARIABLE = "_RINGFENCE_COMPLETE"  # by which click tells a shell's question from a command


@click.command("completion", epilog="  ".join(f"{s}: {how}." for s, how in _HOW.items()))
@click.argument("shell", type=click.Choice(list(_HOW)))
@click.pass_context
def verb(ctx: click.Context, shell: str) -> int:
    """Print the script by which SHELL completes commands, applications, domains and services."""
    made = get_completion_class(shell)
    assert made is not None
    script = made(ctx.find_root().command, {}, "ringfence", _VARIABLE).source()
    say_text(script)
    return 0


def complete_service(
    ctx: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete a service of the application that the command is about."""
    from ringfence.library import Library
    from ringfence.reading.files import discover

    root = _root(ctx)
    if root is None:
        return []
    library = Library(root)
    _, features, _ = discover(root)
    found = {
        name
        for feature in features
        for word, name in library.read(feature.path).names
        if word == "service" and name.startswith(incomplete)
    }
    return [CompletionItem(name) for name in sorted(found)]


def complete_domain(
    ctx: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Complete a domain of the application that the command is about, with a slash behind it."""
    root = _root(ctx)
    names = sorted(one.name for one in (root / "domains").iterdir()) if root else []
    found = [name for name in names if name.isidentifier() and name.startswith(incomplete)]
    return [CompletionItem(f"{name}/") for name in found]


def _root(ctx: click.Context) -> Path | None:
    root = ctx.params.get("app")  # None where there is no application
    return root if isinstance(root, Path) and (root / "domains").is_dir() else None
