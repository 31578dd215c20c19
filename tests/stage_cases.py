"""Parameters of every stage, some of them odd, for tests that go through all stages."""

ODD = 'it\'s "odd" $HOME `x` \\ ; & ü\n-'
CASES = [
    ("samplecity", {"out": ODD, "seed": 0, "compact": True}),
    ("grid", {"extent": "-5.5,1,2,3", "extent_crs": "EPSG:4326", "out": "x.gpkg", "grid_size": 1e-3}),
    ("prepare", {"cities": ["a b.json", "-c.json"]}),
    (
        "train",
        {"out": "o", "overrides": ["a=-1", "b=x y"], "imagery_bands": [4, 3, 2], "learning_rate": 1e-5, "seed": 7},
    ),
    ("embed", {"checkpoint": "c", "columns": True, "poi_name": ODD, "out": "o.gpkg"}),
    ("embedpois", {"checkpoint": "c", "pois": "p", "poi_tags": ["a", "-b"], "out": "o.gpkg"}),
    ("embedraster", {"checkpoint": "c", "out": "o.tif", "dtype": "int8", "cog": True, "stride": 12.5}),
    ("cluster", {"embeddings": "-a b'c.parquet", "fields": ["--x", "y z", "$HOME"], "clusters": 3}),
    ("similar", {"embeddings": "name=a.csv", "ids": ["-1", "2"], "embeddings_columns": ["A*", "b"]}),
    ("search", {"query": ODD, "checkpoint": "c", "embeddings": "e"}),
    ("attend", {"checkpoint": "c", "pois": "p", "imagery": "i", "poi_rows": [1, 2]}),
    (
        "evaluate",
        {"embeddings": ["a=b.csv", "c"], "targets": ["log:x", "o*"], "label_shares": [1, 0.5], "settled": 0.0},
    ),
    ("predict", {"embeddings": "e", "target": "log:price", "level": 95}),
    ("ablate", {"regions": "r", "targets": ["x"], "sweeps": ["lambda_image=0,0.2,0.5"]}),
    ("transfer", {"cities": ["a", "b"], "targets": ["x"], "z_scores": True}),
    ("caption", {"captioners": ["openai:m@http://x/v1?price=1", "y"], "imagery": "i", "out": "c.parquet"}),
    ("describe", {"captions": "c.parquet", "regions": "r.gpkg", "out": "d.gpkg"}),
    ("importcheckpoint", {"checkpoint": "f.pth", "out": "o", "leave_out": ["head."]}),
    ("inspect", {"checkpoint": "c"}),
    ("check", {"report": "r.html"}),
]
