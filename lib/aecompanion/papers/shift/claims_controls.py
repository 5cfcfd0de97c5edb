"""Claims of paper 5 on maps that move though the answer does not (`sanity.map_attack`, X5.8)."""

from aecompanion.evaluate.intervals import largest, least
from aecompanion.papers.shift.controls import control_cube, fixed_share, unnoticed_share
from aecompanion.report.claims import claim

BOTH = [{"level": 0.01}, {"level": 0.05}]


@claim("P5.64", "X5.8", "report", "> 0.5",
       "An attack on the map that keeps class and confidence makes more than half of FGSM's white-box MOD at "
       "ε = {level}, own class (least share over networks)", over=BOTH,
       note="whatever MOD says of a changed answer, so much of it needs none")
def mod_at_fixed_prediction(tables, *, level: float):
    """MOD of the attack on the map over MOD of white-box FGSM at one level, the least over networks."""
    return control_cube(tables["controls"], level), least(fixed_share)


@claim("P5.66", "X5.8", "report", "< 0.5",
       "Noise that the network does not notice makes less than half of FGSM's white-box MOD at ε = {level}, own class "
       "(largest share over networks)", over=BOTH,
       note="images whose prediction random signs of this size leave as it is, Clopper-Pearson bound at least .9")
def mod_unnoticed(tables, *, level: float):
    """MOD of random signs over MOD of white-box FGSM on the images that do not notice them, the largest one."""
    return control_cube(tables["controls"], level), largest(unnoticed_share)
