"""Claims of Boreiko et al., GCPR 2022, about Auto-Frank-Wolfe and its rivals, with their estimators.

Objectives are compared by the median of the differences on the same images, because a mean of log confidences is made
by the few images that are hardly convinced. Less than NATS apart is no difference that a picture could show: the
confidence changes by less than a fiftieth of itself.
"""

import numpy as np

from aecompanion.evaluate.intervals import least
from aecompanion.papers.counterfactual.tables import lead, paired, paired_median
from aecompanion.report.claims import claim
from aecompanion.report.cubes import cube

NATS = 0.02


@claim("P2.13", "T2.3", "expected", "> 0",
       "p = 1.5, matched radius: Auto-Frank-Wolfe reaches a higher objective than the rule 2/(k+2) (median of paired "
       "differences, nats)", p=1.5, radius="matched", methods=["AFW", "FW"], margin=NATS)
@claim("P2.14", "T2.3", "expected", "> 0",
       "p = 1.5, matched radius: Auto-Frank-Wolfe reaches a higher objective than the same with momentum .9 "
       "(median of paired differences, nats)", p=1.5, radius="matched", methods=["AFW", "FW + momentum"], margin=NATS)
@claim("P2.15", "T2.3", "expected", "> 0",
       "p = 1.5, matched radius: Auto-Frank-Wolfe reaches a higher objective than a constant step of .75 "
       "(median of paired differences, nats)", p=1.5, radius="matched", methods=["AFW", "FW, constant step"],
       margin=NATS)
@claim("P2.16", "T2.3", "report", "> 0",
       "p = 1.5, half of the radius: Auto-Frank-Wolfe above the rule 2/(k+2) (median of paired differences, nats)",
       p=1.5, radius="half", methods=["AFW", "FW"], margin=NATS)
@claim("P2.17", "T2.3", "report", "> 0",
       "p = 1.5, half of the radius: Auto-Frank-Wolfe above the rule with momentum (median of paired differences, "
       "nats)", p=1.5, radius="half", methods=["AFW", "FW + momentum"], margin=NATS)
@claim("P2.18", "T2.4", "expected", "> -0.15",
       "p = 2, matched radius: Auto-Frank-Wolfe within .15 nats of APGD (median of paired differences)", p=2.0,
       radius="matched", methods=["AFW", "APGD"])
@claim("P2.19", "T2.4", "report", "> 0",
       "p = 2, matched radius: Auto-Frank-Wolfe above APGD (median of paired differences, nats)", p=2.0,
       radius="matched", methods=["AFW", "APGD"], note="the authors' own Fréchet distances are nearly equal",
       margin=NATS)
@claim("P2.20", "T2.4", "report", "> 0",
       "p = 2, half of the radius: Auto-Frank-Wolfe above APGD (median of paired differences, nats)", p=2.0,
       radius="half", methods=["AFW", "APGD"], margin=NATS)
@claim("P2.21", "T2.4", "expected", "> 0",
       "p = 2, matched radius: Auto-Frank-Wolfe above fixed steps, the best point of each (median of paired "
       "differences, nats)", p=2.0, radius="matched", methods=["AFW", "PGD"], margin=NATS)
@claim("P2.22", "T2.4", "expected", "> 0",
       "p = 2, matched radius: Auto-Frank-Wolfe above the rule 2/(k+2) (median of paired differences, nats)", p=2.0,
       radius="matched", methods=["AFW", "FW"], margin=NATS)
@claim("P2.48", "T2.3", "report", "> 0",
       "p = 1.5, {radius} radius: Auto-Frank-Wolfe above rules that adapt nothing, both with the schedule that did "
       "best on validation images (median of paired differences, nats)", p=1.5,
       over=[{"radius": "matched"}, {"radius": "half"}], methods=["AFW, own best", "FW, own best"], margin=NATS)
def methods_differ(tables, *, p: float, radius: str, methods: list[str]):
    """Median over seeds and images of the log confidence of the first method minus the second, nats."""
    optimisers = tables["optimisers"]
    rows = optimisers[(optimisers["p"] == p) & (optimisers["radius"] == radius)]
    return cube(rows, "value", [{"method": method} for method in methods]), paired_median


@claim("P2.50", "X2.8", "report", "> 0",
       "p = 1.5, {radius} radius: Auto-Frank-Wolfe leads the rule 2/(k+2) from a tenth of the steps on (least median "
       "of paired differences at 1/10, 1/4, 1/2 and all of the steps, nats)",
       over=[{"radius": "matched"}, {"radius": "half"}], p=1.5, methods=["AFW", "FW"], margin=NATS)
def always_ahead(tables, *, p: float, radius: str, methods: list[str]):
    """The least of the median differences after 1/10, 1/4, 1/2 and all of the steps, nats."""
    rows = tables["trajectories"]
    steps = rows["step"].max()
    asked = sorted({max(round(share * steps), 1) for share in (0.1, 0.25, 0.5, 1.0)})
    values = np.stack([lead(rows, p=p, radius=radius, methods=methods, step=step) for step in asked], axis=-1)
    return values, least(lambda v: np.median(v[:, :, 0] - v[:, :, 1], axis=(0, 1)))


@claim("P2.23", "T2.5", "report", "< 0.1",
       "p = 1.5: the four variants of the step size lie within .1 nats (largest minus smallest mean)", p=1.5,
       radius="matched")
def schedules_differ(tables, *, p: float, radius: str):
    """Largest mean minus smallest mean over the variants of the step size, nats."""
    schedules = tables["schedules"]
    rows = schedules[(schedules["p"] == p) & (schedules["radius"] == radius)]
    values = cube(rows, "value", [{"schedule": name} for name in rows["schedule"].unique()])
    return values, lambda v: float(np.ptp(v.mean((0, 1))))


@claim("P2.24", "F2.6", "report", "< 0.2", "Further starts bring less than .2 nats (mean gain of the best)")
def restart_gain(tables):
    """Mean gain of the best of all starts over the first, nats."""
    restarts = tables["restarts"]
    return np.stack(
        [cube(restarts.assign(only=0), name, [{"only": 0}])[..., 0] for name in ("best", "first")], -1
    ), paired


@claim("P2.25", "F2.6", "report", "> 0.1",
       "Different starts end at different images (distance over size of the change above .1)")
def restart_distance(tables):
    """Mean distance between counterfactuals of different starts, as a share of the change's size."""
    restarts = tables["restarts"]
    return cube(restarts.assign(only=0), "apart", [{"only": 0}]), lambda v: float(v.mean())


@claim("P2.31", "F2.8", "expected", "< 0.1",
       "Confidence hardly ever falls as the radius grows, {kind} (share of images that lose more than .01 somewhere)",
       over=[{"kind": "l1.5"}, {"kind": "l2"}])
def falling_steps(tables, *, kind: str):
    """Share of images whose confidence falls by more than .01 somewhere as the radius grows."""
    sweep = tables["sweep"]
    rows = sweep[sweep["kind"] == kind]
    values = cube(rows, "confidence", [{"step": step} for step in sorted(rows["step"].unique())])
    return values, lambda v: float((np.diff(v, axis=-1) < -0.01).any(-1).mean())
