"""The near cache: a hit before botocore's request pipeline."""
