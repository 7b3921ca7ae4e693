"""From a study in YAML to trials that are run, recorded and tracked."""
