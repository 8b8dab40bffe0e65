"""A small dataset's contract with one column of every kind; the fixtures copy it into a repository of its own."""

import pandera.polars as pa


class Toys(pa.DataFrameModel):
    kind: str = pa.Field(isin=["a", "b", "ü"], description="Which toy", metadata={"unit": "code"})
    code: str = pa.Field(nullable=True, str_matches=r"^[A-Z]{3}$", description="Its maker", metadata={"example": "ABC"})
    count: int = pa.Field(in_range=(0, 150), description="How many", metadata={"unit": "pieces"})
    size: int = pa.Field(isin=[1, 2, 3], description="Size class")
    amount: float = pa.Field(nullable=True, in_range=(-1000, 1000), description="Price", metadata={"unit": "EUR"})
    weight: float = pa.Field(gt=0, lt=50, description="Weight", metadata={"unit": "kg", "example": 1.5})
    free: float = pa.Field(description="Any number at all", metadata={"personal": True})
    broken: int = pa.Field(in_range=(0, 1), description="The label")
    fate: str = pa.Field(description="What became of it")
    price: float = pa.Field(description="What it sold for", metadata={"unit": "EUR"})
