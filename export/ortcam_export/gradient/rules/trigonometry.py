"""Trigonometric and hyperbolic functions, and their inverses."""

from __future__ import annotations

from ortcam_export.gradient.table import elementwise

elementwise("Tan", lambda g, y, x: g * (1 + y * y))
elementwise("Asin", lambda g, y, x: g / ((1 - x) * (1 + x)).sqrt())
elementwise("Acos", lambda g, y, x: -g / ((1 - x) * (1 + x)).sqrt())
elementwise("Atan", lambda g, y, x: g / (1 + x * x))
elementwise("Sinh", lambda g, y, x: g * x.apply("Cosh"))
elementwise("Cosh", lambda g, y, x: g * x.apply("Sinh"))
elementwise("Asinh", lambda g, y, x: g / (1 + x * x).sqrt())
elementwise("Acosh", lambda g, y, x: g / ((x - 1) * (x + 1)).sqrt())
elementwise("Atanh", lambda g, y, x: g / ((1 - x) * (1 + x)))
