"""How a notebook becomes a stage: paths, parameters, runs, fingerprints, profiles and plans."""
