"""Runs openai-python's own tests of its resources against a running daemon: suite.py URL [FILE].

Its sdist is downloaded in the installed version. Its tests are made for a server that answers
anything, so they are changed in two places: models are called "attune", and a response without
arguments gets a model and an input. Prints a table of what passes, and why the rest does not;
exit code 1: something failed that was not refused by name. FILE: what came of each test, as JSON.
"""

import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree

FILES = [
    "tests/api_resources/chat/test_completions.py",
    "tests/api_resources/test_completions.py",
    "tests/api_resources/test_responses.py",
    "tests/api_resources/test_models.py",
]
REPLY = 'model="attune", input="string"'
CHANGES = [
    (r'"gpt-[^"]*"', '"attune"'),
    (r"(responses(?:\.with_\w+)?\.create\()\)", rf"\1{REPLY})"),
    (r"(responses(?:\.with_\w+)?\.create\(\s*)stream=True,(\s*\))", rf"\1{REPLY}, stream=True,\2"),
]
# What a client of the API sees of a refusal.
ERROR = re.compile(r"Error code: (\d+) - (.*)")


def download(folder: Path) -> Path:
    name = f"openai-{version('openai')}"
    archive = folder / f"{name}.tar.gz"
    if not archive.exists():
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:"]
        subprocess.run([*pip, name.replace("-", "=="), "-d", str(folder)], check=True)
    return archive


def unpack(archive: Path, folder: Path) -> Path:
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    root = folder / archive.name.removesuffix(".tar.gz")
    for file in FILES:
        text = (root / file).read_text()
        for pattern, by in CHANGES:
            text = re.sub(pattern, by, text)
        (root / file).write_text(text)
    return root


def test(root: Path, url: str) -> ElementTree.Element:
    report = root / "report.xml"
    options = ["-q", "--tb=short", "-p", "no:cacheprovider", "-o", "addopts=", f"--junitxml={report}"]
    env = {**os.environ, "TEST_API_BASE_URL": f"{url}/v1"}
    subprocess.run(
        [sys.executable, "-m", "pytest", *options, *FILES],
        **{"cwd": root, "env": env, "stdout": sys.stderr},
    )
    return ElementTree.parse(report).getroot()


def outcome(case: ElementTree.Element) -> tuple[bool, str]:
    """Whether it is as it should be, and why it does not pass; empty: it passes."""
    bad = next((one for one in case if one.tag in ("failure", "error")), None)
    if bad is None:
        return True, ""
    text = bad.get("message", "")
    found = ERROR.search(text)
    if found is None:
        return False, f"{text} {bad.text}".replace("\n", " ")[:200]
    status, message = found.groups()
    return status in ("400", "404", "405"), f"{status}: {message}"


def main() -> int:
    cache = Path(sys.prefix) / "sdist"
    cache.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        report = test(unpack(download(cache), Path(folder)), sys.argv[1])
    rows: dict[tuple[str, str], list[str]] = defaultdict(list)
    passed = unexpected = 0
    each: dict[str, str] = {}
    for case in report.iter("testcase"):
        is_right, why = outcome(case)
        each[f"{case.get('classname')} {case.get('name')}"] = why
        passed += why == ""
        unexpected += not is_right
        module = case.get("classname", "").split(".")
        place = ".".join(part.removeprefix("test_") for part in module[2:-1])
        name = re.sub(r"^test_|\[.*", "", case.get("name", ""))
        rows[place, why].append(re.sub(r"^(?:method|raw_response|streaming_response)_", "", name))
    print(f"openai-python {version('openai')}: {passed} of {sum(map(len, rows.values()))} pass.\n")
    print("| tests of | what | tests | why not |\n|---|---|---|---|")
    for (place, why), names in sorted(rows.items()):
        what = ", ".join(f"`{one}`" for one in sorted(set(names)))
        reason = "pass" if why == "" else why.replace("|", "\\|")
        print(f"| {place} | {what} | {len(names)} | {reason} |")
    for file in sys.argv[2:]:
        Path(file).write_text(json.dumps(each))
    return 1 if unexpected or not passed else 0


sys.exit(main())
