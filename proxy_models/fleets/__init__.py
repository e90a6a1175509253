"""Many small models as one program.

`fleet` trains them, `pool` holds their tokens, `order` says who reads what when.
"""
