"""One part of each kind, added to gristmill from outside: nothing of gristmill is touched.

lengths     a stage; its command, its section in settings files and its help follow from its record
shouting    a signal family
odds        a function that rules may call
overlap     a scoring method
shares      an exporter
paragraphs  a reader
"""
