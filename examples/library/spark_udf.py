"""A rule set as a function over columns in Spark: `frame.withColumn("kept", kept("text"))`.

python examples/library/spark_udf.py
"""

import pandas as pd
import pyarrow as pa

import gristmill as gm


def gopher_keeps(texts: pd.Series) -> pd.Series:
    """Whether the Gopher rules keep each text; for `pyspark.sql.functions.pandas_udf`."""
    fate = gm.decide({"text": pa.array(texts, pa.string())}, "gopher")
    return pd.Series(fate["kept"].to_pylist())


def languages(texts: pd.Series) -> pd.Series:
    """The likeliest language of each text."""
    return pd.Series([(gm.language(text) or [("und", 0.0)])[0][0] for text in texts])


if __name__ == "__main__":
    from pyspark.sql import SparkSession
    from pyspark.sql.functions import pandas_udf

    spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
    frame = spark.createDataFrame([("the mill stands by the river",), ("der Müller mahlt das Korn",)], ["text"])
    told = frame.withColumn("kept", pandas_udf(gopher_keeps, "boolean")("text"))
    told.withColumn("language", pandas_udf(languages, "string")("text")).show()
