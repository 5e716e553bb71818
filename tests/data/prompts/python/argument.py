import json


def load(path, encoding="utf-8"):
    with open(‸, encoding=encoding) as file:
        return json.load(file)
