"""The one command of the project: `aecompanion COMMAND ...`, or `python -m aecompanion COMMAND ...`.

Every command but `data` works on a checkout. What a command imports is imported when it runs, so that `--help`,
`--version` and `data` need nothing beyond the library's own dependencies.
"""

import importlib
import os
import sys
import tomllib
from importlib import metadata

from aecompanion.pipeline.paths import IN_CHECKOUT, ROOT

DISTRIBUTION = "adversarial-explanation-companion"
ANYWHERE = {"data"}  # commands that need no checkout
SPARED = (  # optional imports of jsonschema (formats of addresses) and papermill (remote files): a second per stage
    "rfc3987_syntax",
    "pyarrow.fs",
)

COMMANDS = {  # name: what it runs, and what `aecompanion --help` says of it
    "data": ("data.sources:main", "copy the raw files from the installed packages into data/, hashes checked"),
    "repro": ("pipeline.repro:main", "regenerate every figure and table, or the stages that are named"),
    "profile": ("pipeline.profile:main", "the same at another size or on other data, in a side tree"),
    "run": ("pipeline.run:main", "execute one notebook as its stage, or by hand with `-p name=value`"),
    "cluster": ("pipeline.cluster:main", "start a scheduler and workers on this machine for jobs to run on"),
    "status": ("pipeline.repro:status", "say which modules changed since the last run, and what is stale"),
    "plan": ("pipeline.plan.__main__:main", "print what the pipeline would cost, without running it"),
    "code": ("pipeline.fingerprint:main", "write the fingerprint of every notebook's code (the first stage)"),
    "public": ("data.public:main", "check the data sets that a profile names, or download them"),
    "verify": ("report.verification:main", "compare the last run with the published results, or with those of a REF"),
    "dag": ("pipeline.graph:main", "print the pipeline as a mermaid graph per paper"),
    "bundle": ("pipeline.bundle:main", "write what the last run made to one archive"),
    "pull": ("pipeline.pull:main", "take what a run made from an archive, a folder or a remote instead of computing"),
    "publish": ("report.publication:main", "copy the last run's results over the published, renew the pages"),
    "report": ("report.pages:main", "write the pages of README, docs/ and results/ anew from what is published"),
    "replication": ("report.replications:main", "keep the last run's claims beside the published: another machine"),
    "missing": ("report.missing:main", "list the displays and claims that wait for a number of their paper"),
    "headers": ("report.headers:main", "write the lines below every notebook's title: papers, chain, results"),
    "site": ("site.build:main", "everything as one site to read in a browser, build/site/index.html"),
    "pages": ("pipeline.notebooks:main", "today's notebooks with the last outputs, to build/pages/"),
}


def usage() -> str:
    """The list of commands."""
    lines = [f"  {name:11} {what}" for name, (_, what) in COMMANDS.items()]
    last = "`aecompanion COMMAND --help` says more, `aecompanion --version` the version."
    return "\n".join(["usage: aecompanion COMMAND ...", "", *lines, "", last])


def version() -> str:
    """The version: of the checkout, which may be newer than what was installed from it, else of the package."""
    if IN_CHECKOUT:
        return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    return metadata.version(DISTRIBUTION)


def main() -> None:
    """Run one command; its own arguments follow its name. Any problem ends in one sentence and exit code 1; a reader
    of the output who has seen enough, such as `head`, is no problem.
    """
    try:
        dispatch()
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left goes nowhere


def dispatch() -> None:
    """Find the command and run it."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("-h", "--help"):
        print(usage())
        return
    if name in ("-V", "--version"):
        print(f"aecompanion {version()}")
        return
    if name not in COMMANDS:
        sys.exit(f"aecompanion: no command {name!r}, expected one of {', '.join(COMMANDS)}")
    if not IN_CHECKOUT and name not in ANYWHERE:
        sys.exit(f"aecompanion {name}: needs a checkout of the project, {ROOT} is none")
    module, _, function = COMMANDS[name][0].partition(":")
    sys.argv = [f"aecompanion {name}", *sys.argv[2:]]
    for each in SPARED:
        sys.modules.setdefault(each, None)  # type: ignore[arg-type]  # importing it fails, as if not installed
    try:
        command = getattr(importlib.import_module(f"aecompanion.{module}"), function)
    except ModuleNotFoundError as error:
        if (error.name or "aecompanion").partition(".")[0] == "aecompanion":
            raise  # a module of ours: no package that could be installed
        extra = "site" if name == "site" else "pipeline"
        sys.exit(f'aecompanion {name}: {error.name} is missing, install "{DISTRIBUTION}[{extra}]"')
    command()


if __name__ == "__main__":
    main()
