"""Benchmarks: contenders beside their floor and their peers. See RESULTS.md; run with `python -m tests.benchmarks`."""

STAGES = {
    "assign": "tests.benchmarks.assign",
    "zonal": "tests.benchmarks.zonal",
    "windows": "tests.benchmarks.windows",
    "train-aether": "tests.benchmarks.train_aether",
    "embedraster": "tests.benchmarks.embedraster",
    "crops": "tests.benchmarks.crops",
    "tokens": "tests.benchmarks.tokens",
    "encode": "tests.benchmarks.encode",
    "cluster": "tests.benchmarks.cluster",
    "similar": "tests.benchmarks.similar",
    "loss": "tests.benchmarks.loss",
    "urbanclip": "tests.benchmarks.urbanclip",
    "graph": "tests.benchmarks.graph",
}
