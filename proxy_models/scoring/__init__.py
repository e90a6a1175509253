"""What small models say of documents: `scorers` lists the methods, `pair` scores by two models, `selection` cuts."""
