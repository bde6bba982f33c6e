"""Teacher, pseudo classifiers, distillation, grids of runs."""
