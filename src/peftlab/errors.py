"""The one exception that peftlab raises for bad input."""


class PeftlabError(ValueError):
    """Input that cannot be used; the message names the value and the remedy in one sentence.

    The command line prints the message and exits with code 2; in a notebook it is the last line
    of the traceback. Errors inside peftlab itself are never of this class.
    """
