"""What a step minimises: the loss of the head, its weights by sample, and soft labels of a teacher."""
