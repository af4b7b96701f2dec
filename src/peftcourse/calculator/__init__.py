"""The memory estimate as it is shown: tables for a terminal, data for the calculator's page."""
