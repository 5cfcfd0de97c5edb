"""The types of parameters, and reading, checking and composing their values.

A parameter is declared once, in its notebook's cell tagged "parameters": `seeds: "Seeds" = [1]  # training seeds`, with
its type (one of the names below, as a string, so that the cell needs no import), its value at the small tutorial size,
its unit and its meaning. params.yaml says what differs from that at the default size, a profile what differs from
params.yaml. What binds parameters of several notebooks is in `pipeline.conditions`.
"""

import ast
import difflib
import functools
import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Optional  # noqa: F401 (notebooks say "Optional[Names]")

import yaml
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from aecompanion.pipeline import conditions
from aecompanion.pipeline.notebooks import sources
from aecompanion.pipeline.paths import ROOT


def grey_levels(value: Any) -> Any:
    """The float k/255 for the text "k/255"; everything else as it is."""
    found = re.fullmatch(r"(\d+) */ *255", value) if isinstance(value, str) else None
    return int(found[1]) / 255 if found else value


def distinct(values: list) -> list:
    if len(set(values)) < len(values):
        raise PydanticCustomError("distinct", "list should not hold a value twice")
    return values


def odd(value: int) -> int:
    if value % 2 == 0:
        raise PydanticCustomError("odd", "input should be odd")
    return value


# The vocabulary. Checks are strict: 2.0 and "2" are no whole numbers, True is no number.


class AtLeast:
    """`AtLeast[3]`: a whole number from 3 on."""

    def __class_getitem__(cls, least: int) -> Any:
        return Annotated[int, Field(ge=least)]


class Between:
    """`Between[1, 8]`: a whole number from 1 to 8."""

    def __class_getitem__(cls, ends: tuple[int, int]) -> Any:
        return Annotated[int, Field(ge=ends[0], le=ends[1])]


def several(kind: Any, *, least: int = 1, most: int | None = None) -> Any:
    """A list of that kind."""
    return Annotated[list[kind], Field(min_length=least, max_length=most)]


def different(kind: Any, *, least: int = 1) -> Any:
    """A list of that kind without repetition."""
    return Annotated[several(kind, least=least), AfterValidator(distinct)]


Natural = AtLeast[0]
Positive = AtLeast[1]
Even = Annotated[int, Field(ge=2, multiple_of=2)]
Odd = Annotated[int, Field(ge=3), AfterValidator(odd)]
Seeds = different(Natural)
Widths = several(Positive)  # channels of successive layers
Resamples = AtLeast[100]  # of the images, for an interval
Side = AtLeast[2]  # of a mask, cells
Channels = Literal[1, 3]  # grey or RGB

Fraction = Annotated[float, Field(ge=0, le=1)]
ProperFraction = Annotated[float, Field(ge=0, lt=1)]
Fractions = different(Fraction, least=2)
Chances = several(Fraction, least=2, most=2)
Normalisation = several(Fraction, most=3)  # mean or standard deviation per channel, pixel units
Share = Annotated[float, Field(gt=0, lt=1)]
Confidence = Annotated[float, Field(gt=0, lt=1)]
Confidences = different(Confidence, least=2)
Rate = Annotated[float, Field(gt=0, le=1)]  # of learning
Weight = Annotated[float, Field(ge=0)]  # of a term of a loss
Weights = different(Weight)
PositiveWeight = Annotated[float, Field(gt=0)]
Spread = Annotated[float, Field(ge=0, le=0.5)]  # of noise, pixel units
Strength = Annotated[float, Field(gt=0, le=0.5)]  # of a blurred reference, share of the image's side
Eps = Annotated[float, Field(ge=0, le=1), BeforeValidator(grey_levels)]  # of an attack, pixel units: 0.01 or 8/255
EpsList = different(Eps)
Radius = Annotated[float, Field(gt=0), BeforeValidator(grey_levels)]  # of an lp-ball, pixel units

Name = str
Names = different(str)
FewNames = several(str, most=4)
PATH = "path"
Folder = File = Annotated[str | None, PATH]  # of the reader's: `aecompanion run -p` takes it from the current folder
NetworkWeights = Annotated[str | None, PATH, "pretrained", "none"]  # a file of the reader's, or one of these words
Device = Annotated[str, Field(pattern=r"^(cpu|mps|cuda(:\d+)?)$")]
Part = Literal["train", "test"]  # of a folder of images
Unreadable = Literal["error", "skip"]  # what a broken file does
Dots = Literal["floyd_steinberg", "jarvis", "stucki", "atkinson", "bayer"]
Fill = Literal["mean", "ring", "black", "white", "blur", "inpaint"]
Fills = different(Fill)
Modes = different(Literal["own_pred", "clean_pred", "true_label"])
Families = different(Literal["googlenet", "resnet"], least=0)  # beside VGG
FamilyNetworks = dict[Literal["vgg", "googlenet", "resnet"], str]  # "package.module:factory" of each

TOP_LEVEL = {"threads": Positive, "device": Device, "precision": Literal["float32", "bfloat16"]}  # of params.yaml
# of a profile: what it lies over; whether to fetch data that are missing; files by path, which must have their hashes
PROFILE = {"extends": str, "download": bool, "files": dict[str, dict[Literal["sha256", "source"], str]]}
NOTEBOOKS = "notebooks"  # what a profile extends to start from the notebooks' own values
LONGEST = 200  # letters of a value that a message repeats


class Parameter(NamedTuple):
    """A declared parameter: its type and the notebook's own value."""

    type: Any
    value: Any


def declared(source: Path) -> dict[str, Parameter]:
    """The parameters of a notebook by name, in their order. Raises ValueError for a line without a type of this
    vocabulary.
    """
    return _declared(source, source.stat().st_mtime_ns)


@functools.cache
def _declared(source: Path, _changed: int) -> dict[str, Parameter]:
    cells = json.loads(source.read_text())["cells"]
    code = ("".join(cell["source"]) for cell in cells if "parameters" in cell["metadata"].get("tags", []))
    found = {}
    for statement in ast.parse("\n".join(code)).body:
        match statement:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=ast.Constant(value=str(kind)), value=ast.expr()):
                value = eval(compile(ast.Expression(statement.value), source.name, "eval"), {"__builtins__": {}})
            case _:
                line = ast.unparse(statement)
                raise ValueError(f'{source.name}: {line!r} declares no parameter, expected name: "Type" = value')
        try:
            found[name] = Parameter(eval(kind, globals()), value)
        except NameError:
            raise ValueError(f"{source.name}: {name} is of type {kind!r}, which `pipeline.parameters` lacks") from None
    return found


def sections() -> dict[str, dict[str, Parameter]]:
    """What every notebook declares; the names of notebooks, stages and sections of params.yaml are the same."""
    return {source.stem: declared(source) for source in sources()}


def load(file: Path) -> dict[str, Any]:
    """params.yaml or a profile, each value checked. Raises ValueError naming file, section and parameter."""
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, ValueError) as error:  # no YAML, no UTF-8, no such date
        raise ValueError(f"{file.name}: not valid YAML ({' '.join(str(error).split())})") from error
    if not isinstance(values, dict):
        raise ValueError(f"{file.name}: holds a {type(values).__name__}, expected a mapping of sections")
    known, top = sections(), TOP_LEVEL | PROFILE
    for name, content in values.items():
        if name in top:
            values[name] = check_value(content, top[name], f"{file.name}: {name}")
        elif name not in known:
            (near,) = difflib.get_close_matches(str(name), [*top, *known], 1, cutoff=0)
            expected = f"a notebook or one of {', '.join(top)} (nearest: {near})"
            raise ValueError(f"{file.name}: section {name!r} is unknown, expected {expected}")
        elif content is not None:
            values[name] = check_section(name, content, known[name], file.name)
    return values


def check_section(section: str, values: Any, known: dict[str, Parameter], where: str) -> dict[str, Any]:
    """The values, each as its declared type has it. Raises ValueError naming a parameter, its value and what was
    expected.
    """
    if not isinstance(values, dict):
        raise ValueError(f"{where}: section {section} is {values!r}, expected a mapping of parameters")
    for name in values:
        if name not in known:
            raise ValueError(
                f"{where}: {section}.{name} is not a parameter, expected one of: {', '.join(known) or 'none'}"
            )
    return {name: check_value(value, known[name].type, f"{where}: {section}.{name}") for name, value in values.items()}


def check_value(value: Any, kind: Any, where: str) -> Any:
    """The value as the type has it ("8/255" becomes a float). Raises ValueError."""
    try:
        return TypeAdapter(kind, config=ConfigDict(strict=True)).validate_python(value)
    except ValidationError as error:
        # A union reports one problem per member; a range problem says more than "should be None".
        problems = sorted(error.errors(), key=lambda problem: problem["type"] in ("none_required",))
        message, said = problems[0]["msg"], repr(value)
        said = said if len(said) <= LONGEST else f"{said[:LONGEST]} …"
        raise ValueError(f"{where} is {said}: {message[0].lower()}{message[1:]}") from None


def composed(name: str | None = None) -> dict[str, Any]:
    """params.yaml, or with a name profiles/NAME.yaml laid over what it extends, checked as a whole: what differs from
    the notebooks' own values, by section.

    Raises FileNotFoundError for an unknown profile, ValueError for values that break a type or a condition.
    """
    values = layered(name)
    conditions.check(complete(values), f"{name or 'params'}.yaml")
    return values


def layered(name: str | None) -> dict[str, Any]:
    """The same without the conditions, which the layers below a profile need not satisfy."""
    if name is None:
        return load(ROOT / "params.yaml")
    file = ROOT / "profiles" / f"{name}.yaml"
    if not file.exists():
        known = ", ".join(sorted(each.stem for each in file.parent.glob("*.yaml")))
        raise FileNotFoundError(f"profiles/{name}.yaml is missing, expected one of: {known}")
    overlay = load(file)
    below = overlay.pop("extends", None)
    if below == name:
        raise ValueError(f"profiles/{name}.yaml: extends itself, expected another profile or {NOTEBOOKS!r}")
    if below == NOTEBOOKS:
        return compose(layered(None), dict.fromkeys(sections()) | overlay)
    return compose(layered(below), overlay)


def compose(base: dict[str, Any], overlay: dict[str, Any]) -> dict[str, Any]:
    """`base` with a profile laid over it: keys of a section replace the base's; a section set to null is emptied, so
    that the notebook's own values hold.
    """
    both = {name: dict(content) if isinstance(content, dict) else content for name, content in base.items()}
    for name, content in overlay.items():
        laid = (both.get(name) or {}) | content if isinstance(content, dict) else content
        both[name] = {} if laid is None else laid
    return both


def complete(values: dict[str, Any]) -> dict[str, Any]:
    """Composed parameters with the notebooks' own values for what sections leave out, and the top of the file."""
    own = {section: {name: each.value for name, each in known.items()} for section, known in sections().items()}
    top = {name: content for name, content in values.items() if name in TOP_LEVEL}
    return {section: given | (values.get(section) or {}) for section, given in own.items()} | top
