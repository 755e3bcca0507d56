"""Audit of a result: checks of look-ahead, survivorship bias, folds, data and naive explanations of the skill."""
