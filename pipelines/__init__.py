"""The road: one Beam graph per stage, the stage contract, the command line, the demo, the audit and the report.

engine    what a stage promises, and the one driver that holds it to that
stages    one file or folder a stage
report    what people look at
commands  the command line
"""
