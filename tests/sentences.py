"""What a user reads who asked for something that is not possible."""


def assert_one_sentence(capsys, message):
    """Nothing on stdout, and on stderr one line, an error with these words."""
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert len(printed.err.splitlines()) == 1
    assert message in printed.err
