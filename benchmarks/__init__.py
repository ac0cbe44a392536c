"""Speed of dsconv beside other libraries: ``python -m benchmarks``."""
