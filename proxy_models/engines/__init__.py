"""Language models that answer: `engine` is the interface, `open` picks one, `cache` keeps what was paid for."""
