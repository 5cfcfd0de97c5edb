"""What waits for a number of its paper, and where to look: `aecompanion missing`."""

from aecompanion.report import displays, reported
from aecompanion.report.claims import register
from aecompanion.report.papers import papers


def main() -> None:
    """List what waits for a number of its paper."""
    claims = register()
    for paper in (each for each in papers() if each.links):  # what is ours waits for none
        shown = [each for each in paper.displays if each[0] in "FT" and not reported.of_display(each)]
        own = [each for each in claims if each.paper == paper.number and each.display[0] in "FT"]
        open_ = [each.id for each in own if not reported.of_claim(each.id)]
        print(f"Paper {paper.number}, {paper.name}")
        print(f"  look in:  {', '.join(f'{name} {address}' for name, address in paper.links.items())}")
        print(f"  type into: lib/aecompanion/papers/{paper.handle}/reported.yaml")
        print(f"  displays without a number ({len(shown)} of {sum(each[0] in 'FT' for each in paper.displays)}):")
        print(*(f"    {each}  {displays.entry(each)['title']}" for each in shown), sep="\n")
        print(f"  claims without one ({len(open_)}): {', '.join(open_)}", end="\n\n")
