def pytest_addoption(parser):
    parser.addoption("--soak", action="store_true", help="run the random loops ten times as long")
