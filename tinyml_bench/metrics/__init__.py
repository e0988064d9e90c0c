"""Every figure: its unit and direction, how samples make it, and how uncertain it is."""
