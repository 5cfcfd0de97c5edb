"""Tables as displays: CSV with four decimals, so that two runs of the same code give the same bytes."""

from pathlib import Path

import pandas as pd

from aecompanion.report import displays


def save(display: str, table: pd.DataFrame, **card) -> Path:
    """Save a table as the display with this id; `card` is described in `report.displays.save`."""
    return displays.save(
        display, ".csv", lambda path: table.to_csv(path, index=False, float_format="%.4f", lineterminator="\n"), **card
    )


def markdown(table: pd.DataFrame, decimals: int = 3) -> str:
    """The table as GitHub markdown; floats rounded, missing values empty."""

    def cell(value) -> str:
        if isinstance(value, float):
            return "" if pd.isna(value) else f"{value:.{decimals}f}"
        return "" if value is None else str(value).replace("|", "\\|").replace("\n", " ")

    rows = [list(map(str, table.columns)), ["---"] * len(table.columns)]
    rows += [[cell(value) for value in row] for row in table.itertuples(index=False)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
