"""results/: the published displays, the claims table and the generated README that shows them all."""

import json
import shutil
from pathlib import Path

import pandas as pd

from aecompanion.pipeline import paths
from aecompanion.report import displays, paper1, paper2, paper3, paper4, tables

PAPERS = {
    1: "Yang et al., ICIP 2019: causal effect of a network's features",
    2: "Boreiko et al., GCPR 2022: sparse visual counterfactuals",
    3: "Kim et al., TIP 2022: Robust Perturbation",
    4: "Huang et al., ICPR 2020: halftoning against adversarial examples",
    5: "Chakraborty et al., CVPR Workshops 2022: NISSIM, MOD and VID of Grad-CAM under FGSM",
}
VERDICTS = ("reproduced", "same direction", "not reproduced", "not testable here")  # of aecompanion.report.claims
REGISTERS = sorted(Path(__file__).parent.glob("paper*_displays.yaml"))  # for the fingerprint: what is worded here
KINDS = {".png": "figures", ".gif": "figures", ".csv": "tables"}  # folders of results/

NOTES = {
    1: "**What is reconstructed.** The paper is open access (arXiv 1902.03380), but its text, figures and tables have "
    "not been worked in yet; used are its abstract, reading notes and the released notebooks. C1 to C9 are "
    "companion experiments in the form of those notebooks, with the method the paper describes; X1.7 quotes the "
    "numbers that could be verified. **Phantoms.** All chest images are drawn (on real lung outlines, with sizes, "
    "places and co-occurrence of findings from the NIH tables); they are not radiographs, and nothing here speaks "
    "about patients. The network has several labels per image; the paper's has a softmax. **What is missing.** In a "
    "trial the network's own probability ranked cases by their true effect as well as the best row of X1.6, and the "
    "plain sum of the probabilities detected FGSM and PGD better than the effect in C8. That the box matters most "
    "under the exact intervention follows from how phantoms are made.",
    2: "**What is reconstructed.** The paper is open access (arXiv 2205.07972), but its text has not been worked in "
    "yet; used are its abstract, the authors' released codes and an independent implementation. Certain are the "
    "method and the form of Fig. 4, 9 and 10 (F2.4, F2.9, F2.10); S2 to S11 stand for the other displays, and no "
    "number of the paper is compared. **User study.** People judged realism, meaning and subtlety in the paper; "
    "that cannot be repeated here, and object masks (background share) and an independent network (realism) stand "
    "in its place. **How to read S2.** Balls of different p are compared at radii that reach the same mean "
    "confidence on validation images. l1 is run by APGD, l1.5 and l2 by Auto-Frank-Wolfe, as in the paper. Fréchet "
    "distances are taken in the features of a small network trained here; they are no FIDs. **How to read S3 and "
    "S10.** The mean lead of Auto-Frank-Wolfe is made by a few images. Robust accuracy in l1 is overstated by ten "
    "steps: with 100 it fell to between a quarter and two fifths in a trial.",
    3: "**What is reconstructed.** The paper's text (doi 10.1109/TIP.2021.3130526) was not at hand; its abstract, the "
    "authors' slides and their released code (VOC only) were. T3.2's numbers are the slides'; which networks and "
    "images they rest on is unknown. **How to read T3.2.** The rows named MP, EP and RP share start, resolution, "
    "steps, noise and an area weight that is 100 times MP's published one and a fifth of RP's, so their order is "
    "not that of the published methods, which deleted about alike in a trial. MP (start 1) has its published start "
    "with that weight, and both together leave a share of its masks where they began, because a sure network gives "
    "them no gradient. **Data.** Scenes are composed of MNIST digits and photographs, chest phantoms are drawn; "
    "explained are only pairs whose image every network labels exactly right (phantoms: but for one other label).",
    4: "**What is reconstructed.** Only the abstract, Fig. 1 and the abstract of the thesis behind the paper (doi "
    "10.1109/ICPR48806.2021.9412472) were at hand. Established are the method, the names of the three attacks, "
    "three top-5 numbers (80.97, 78.77 and 81.56 % of the hybrid model under FGSM, I-FGSM and PGD) and “about 10 % "
    "better on average”. Architecture, magnitudes, the kind of halftone, the baselines and all displays but F4.1 "
    "are reconstructed or ours. **How to read T4.2 and T4.3.** Their attacks were crafted on an undefended network "
    "and only transferred, the one threat model that gives the published profile. T4.5 has the attacks that know "
    "the defence; quote neither alone. **How to read T4.5 and X4.3.** These attacks keep the last iterate and aim "
    "at top-1, so what they leave is an upper bound: in a trial a stronger one left .20 top-1 instead of .49 at "
    "4/255, and one aimed at the best five .37 top-5 instead of .63 at 8/255.",
    5: "**What is reconstructed.** The paper is open access (arXiv 2204.05427), but its text and tables have not been "
    "worked in yet; displays follow its figures and published notes. **What is missing.** MOD has no noise floor "
    "and no ceiling here: in a trial random signs of equal size made 43 to 80 % of the white-box MOD at ε = .1 and "
    "62 to 98 % of the black-box one, and maps of two people were .18 (Xception) to .41 (VGG) apart without any "
    "attack, so the order of networks by MOD may be that of their maps. The mean SSIM values also depend on the "
    "size and the rendering of the maps.",
}


def suffix(display: str) -> str:
    """Displays are figures (.png) unless their id or entry says table (.csv)."""
    return displays.entry(display).get("suffix", ".csv" if display.startswith("T") else ".png")


def publish_displays() -> list[dict]:
    """Copy every registered display and its card to results/figures and results/tables; return the cards.

    Raises FileNotFoundError naming the notebook of a display that was not made.
    """
    cards = []

    def collect(kind: str, folder: Path) -> None:
        folder.mkdir()
        for display in displays.register():
            if KINDS[suffix(display)] == kind:
                for ending in (suffix(display), ".json"):
                    shutil.copyfile(
                        paths.find(displays.place(display, ending)), folder / f"{displays.stem(display)}{ending}"
                    )
                file = folder / f"{displays.stem(display)}.json"
                card = worded(json.loads(file.read_text()))
                file.write_text(json.dumps(card, indent=1) + "\n")
                cards.append(card | {"file": f"{kind}/{displays.stem(display)}{suffix(display)}"})

    for kind in sorted(set(KINDS.values())):
        paths.save(f"results/{kind}", lambda folder, kind=kind: collect(kind, folder))
    order = list(displays.register())
    return sorted(cards, key=lambda card: order.index(card["id"]))


def worded(card: dict) -> dict:
    """A card with the title of its display and what the original shows, as the register words them now."""
    what = displays.entry(card["id"])
    words = {"id": card["id"], "title": what["title"], "notebook": card["notebook"], "original": what["original"]}
    return words | {name: value for name, value in card.items() if name not in words}


def profile_of(root: Path = paths.ROOT) -> str | None:
    """The profile whose side tree build/profiles/NAME this is, None in the checkout itself."""
    return root.name if root.parts[-3:-1] == ("build", "profiles") else None


def heading(profile: str | None) -> list[str]:
    """Title of the page; a profile names its command and warns that wording is the default's."""
    if profile is None:
        return ["# Results", ""]
    return [
        f"# Results of the profile {profile}",
        "",
        f"Made by `make repro PROFILE={profile}`; `profiles/{profile}.yaml` has the data sets and sizes. Statements "
        "are worded for the default's data: where the profile names a folder, read its images for faces, photographs, "
        "objects, scenes and phantoms; every caption names what was used.",
        "",
    ]


def page(cards: list[dict], claims: pd.DataFrame, read_table, *, size: str, profile: str | None = None) -> str:
    """The text of results/README.md; `read_table(file)` returns a published table."""
    lines = [
        *heading(profile),
        f"Generated by `notebooks/7_report/claims_report.ipynb` ({size}); do not edit. Every display names its data, n "
        "and seeds. None of these numbers is the paper's: data and networks are the embedded ones unless a caption "
        "says otherwise. Intervals are 95 % BCa bootstrap intervals over images and training seeds; with three seeds "
        "they are too narrow (about 77 of 100 covered the truth in a simulation with seed effects as large as image "
        "effects), so read a bound near its threshold as undecided.",
    ]
    for paper in sorted({displays.paper_of(card["id"]) for card in cards} | set(claims["paper"])):
        lines += [
            "",
            f"## Paper {paper} · {PAPERS[paper]}",
            *(["", NOTES[paper]] if paper in NOTES else []),
            "",
            "### Claims",
            "",
            verdicts(claims[claims["paper"] == paper]),
        ]
        for card in (card for card in cards if displays.paper_of(card["id"]) == paper):
            lines += ["", f"### {card['id']} · {card['title']}", ""]
            if card["file"].startswith("figures/"):
                lines += [f"![{card['id']}: {card['title']}]({card['file']})", ""]
            else:
                lines += [table_block(card, read_table(card["file"])), ""]
            lines += [f"*Here:* {card['caption']} *Original:* {card['original']} Made by `{card['notebook']}`."]
    return "\n".join(lines) + "\n"


def verdicts(claims: pd.DataFrame, *, reasons: bool = True) -> str:
    """The claims as a markdown table, with or without the column of reasons."""
    shown = pd.DataFrame(
        {
            "id": claims["id"],
            "claim": claims["statement"],
            "strength": claims["strength"],
            "paper": [number(value) for value in claims["reported"]],
            "ours [95 % interval]": [interval_text(row) for row in claims.itertuples()],
            "verdict": [bold(verdict) for verdict in claims["verdict"]],
            "reason": claims["reason"],
        }
    )
    return tables.markdown(shown if reasons else shown.drop(columns="reason"))


def interval_text(row) -> str:
    return f"{number(row.ours)} [{number(row.ci_low)}, {number(row.ci_high)}]"


def number(value) -> str:
    """Three significant digits; empty for a missing value, 0 for numerical noise."""
    if value is None or pd.isna(value):
        return ""
    return "0" if abs(value) < 1e-6 else f"{value:.3g}"


def table_block(card: dict, table: pd.DataFrame) -> str:
    """Short tables are shown, long ones are folded."""
    text = tables.markdown(table)
    if len(table) <= 12:
        return text
    return f"<details><summary>{len(table)} rows ({card['file']})</summary>\n\n{text}\n\n</details>"


def readme_table(claims: pd.DataFrame, public: pd.DataFrame | None = None) -> str:
    """The claims of the project's README: how many got which verdict, then a folded table per paper with the paper's
    numbers, the default's and the public profile's.
    """
    lines = [counts(claims, public), ""]
    for paper, rows in claims.groupby("paper"):
        shown = verdicts(rows, reasons=False) if public is None else side_by_side(rows, public)
        title = f"Paper {paper} · {PAPERS[paper]} ({len(rows)} claims)"
        lines += [f"<details><summary>{title}</summary>", "", shown, "", "</details>", ""]
    return "\n".join(lines)


def counts(claims: pd.DataFrame, public: pd.DataFrame | None = None) -> str:
    """Verdicts per paper as a markdown table: all claims, in brackets those that must hold; a column per run."""
    runs = {"embedded": claims} if public is None else {"embedded": claims, "public": public}
    found = {"paper": [str(paper) for paper in sorted(claims["paper"].unique())]}
    for name, run in runs.items():
        for verdict in VERDICTS:
            here = run[run["verdict"] == verdict]
            cells = [here[here["paper"].astype(str) == paper] for paper in found["paper"]]
            found[f"{name}: {verdict}"] = [f"{len(cell)} ({(cell['strength'] == 'must').sum()})" for cell in cells]
    return tables.markdown(pd.DataFrame(found))


def side_by_side(claims: pd.DataFrame, public: pd.DataFrame) -> str:
    """The claims as a markdown table with the numbers of two runs."""
    other = public.set_index("id").reindex(claims["id"])
    found = {
        "id": claims["id"],
        "claim": claims["statement"],
        "strength": claims["strength"],
        "paper": [number(value) for value in claims["reported"]],
    }
    for name, run in (("embedded", claims), ("public", other)):
        found[f"{name} [95 % interval]"] = [
            interval_text(row) if pd.notna(row.ours) else "" for row in run.itertuples()
        ]
        found[f"{name}: verdict"] = [bold(verdict) for verdict in run["verdict"]]
    return tables.markdown(pd.DataFrame({name: list(values) for name, values in found.items()}))


def bold(verdict) -> str:
    """A verdict that stands out unless it is "reproduced"; empty for a missing one."""
    if pd.isna(verdict):
        return ""
    return verdict if verdict == "reproduced" else f"**{verdict}**"


def insert(text: str, table: str, mark: str = "claims") -> str:
    """`text` with the part between the two marks of that name replaced. Raises ValueError if a mark is missing."""
    start, end = text.find(f"<!-- {mark}:"), text.find(f"<!-- end of {mark} -->")
    if start < 0 or end < start:
        marks = f"`<!-- {mark}:` and `<!-- end of {mark} -->`"
        raise ValueError(f"README.md: the marks {marks} are missing or out of order")
    return f"{text[: text.index('-->', start) + 3]}\n\n{table}\n{text[end:]}"


def main() -> None:
    """Bring the generated tables of README.md in step with results/."""
    readme, results = paths.ROOT / "README.md", paths.ROOT / "results"
    public = results / "public" / "claims.csv"
    found = readme_table(pd.read_csv(results / "claims.csv"), pd.read_csv(public) if public.exists() else None)
    text = insert(readme.read_text(), found)
    adaptive = pd.read_csv(results / "tables" / f"{displays.stem('T4.5')}.csv")
    text = insert(text, tables.markdown(paper4.transfer_beside_adaptive(adaptive)), "adaptive")
    ranking = pd.read_csv(results / "tables" / f"{displays.stem('X1.6')}.csv")
    balls = pd.read_csv(results / "tables" / f"{displays.stem('T2.2')}.csv")
    text = insert(text, tables.markdown(paper2.in_short(balls)), "balls")
    text = insert(text, tables.markdown(paper1.ranking_in_short(ranking)), "effects")
    deletion, distortion = (pd.read_csv(results / "tables" / f"{displays.stem(name)}.csv") for name in ("T3.2", "T3.1"))
    text = insert(text, tables.markdown(paper3.in_short(deletion, distortion)), "masks")
    part = readme.with_name(".part.README.md")
    part.write_text(text)
    part.replace(readme)


if __name__ == "__main__":
    main()
