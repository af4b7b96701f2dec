"""One module per method: a frozen configuration and the layer it makes."""
