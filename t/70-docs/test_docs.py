# SPDX-License-Identifier: Apache-2.0
"""What the pages say is so: their commands run, the files that they name exist, their examples of config pass `entente check`.

Each ```sh block is run, unless `<!-- not run: why -->` stands on the line before it. Blocks of a page run in their order, in one scratch
folder that looks like the source tree after `make build`, with these substitutions, all of them here:
  build/entente  is a link to the program under test (ENTENTE_BUILD), which is also first in PATH as `entente`; so is build/sim
  make build     becomes `true`: it is built
  make run       becomes `build/entente serve`, which is what it does once everything is built
The network is a loopback of the block's own where the kernel allows (so ports of the pages are free and nothing leaves the machine).
"""
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM = os.path.join(ROOT, os.environ.get("ENTENTE_BUILD", "build"), "entente")
BLOCK_SECONDS = 120
# A word of a block, and what its output must show: exit codes of `curl` alone say little.
SHOWS = [
    ("make run", '"object":"chat.completion"'),
    ("status:500@every:2", "x-entente-provider: second"),
    ("--http2-prior-knowledge", "HTTP/2"),
    ("rate:2s@3", "retry-after: 2"),
    ("entente_exchanges_total", "entente_exchanges_total"),
]
ISOLATE = """
import fcntl, os, socket, struct, sys
s = socket.socket()
fcntl.ioctl(s, 0x8914, struct.pack("16sH14s", b"lo", 1 | 0x40, b""))
s.close()
os.execvp(sys.argv[1], sys.argv[1:])
"""


def pages():
    found = ["README.md", "CHANGELOG.md", "SECURITY.md", "CONTRIBUTING.md", "src/README.md"]
    found += [os.path.relpath(p, ROOT) for p in sorted(glob.glob(os.path.join(ROOT, "docs", "**", "*.md"), recursive=True))]
    return [p for p in found if os.path.exists(os.path.join(ROOT, p))]


def text_of(page):
    with open(os.path.join(ROOT, page), encoding="utf-8") as f:
        return f.read()


def blocks(page, languages):
    """(line, language, text, why it is not run or None) of each fenced block."""
    lines, at = text_of(page).split("\n"), 0
    while at < len(lines):
        opened = re.match(r"( *)```(\w*)", lines[at])
        if not opened:
            at += 1
            continue
        end = next(i for i in range(at + 1, len(lines) + 1) if i == len(lines) or lines[i].strip() == "```")
        before = lines[at - 1].strip() if at else ""
        marked = re.match(r"<!-- not run: (.+) -->$", before)
        if opened[2] in languages:
            yield at + 1, opened[2], "\n".join(line[len(opened[1]):] for line in lines[at + 1:end]) + "\n", marked[1] if marked else None
        at = end + 1


def outside_fences(page):
    return re.sub(r"^ *```.*?^ *```$", lambda m: re.sub(r"[^\n]", "", m[0]), text_of(page), flags=re.M | re.S)


PAGES = pages()
SH = [(p, line, text, why) for p in PAGES for line, _, text, why in blocks(p, ("sh", "bash", "shell", "console"))]
YAML = [(p, line, text) for p in PAGES for line, _, text, _ in blocks(p, ("yaml", "yml"))]


def named(cases):
    return ["%s:%d" % case[:2] for case in cases]


def needs_the_program():
    if not os.path.exists(PROGRAM):
        pytest.skip("the program is not built")


def isolated():
    """The beginning of a command that runs with a loopback of its own; empty where that is not allowed."""
    prefix = ["unshare", "-rn", sys.executable, "-c", ISOLATE]
    done = subprocess.run(prefix + ["true"], capture_output=True, check=False) if shutil.which("unshare") else None
    return prefix if done and done.returncode == 0 else []


@pytest.fixture(scope="module")
def alone():
    return isolated()


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """By page, a folder that looks like the source tree."""
    made = {}

    def get(page):
        if page not in made:
            folder = made[page] = str(tmp_path_factory.mktemp("docs"))
            for name in os.listdir(ROOT):
                if not name.startswith((".", "build")):
                    os.symlink(os.path.join(ROOT, name), os.path.join(folder, name))
            os.makedirs(os.path.join(folder, "build", "t", "harness"))
            for name in ("entente", "entente-verify", "sim", "t/harness/make-books"):
                os.symlink(os.path.join(os.path.dirname(PROGRAM), name), os.path.join(folder, "build", name))
        return made[page]
    return get


def run_block(text, folder, prefix):
    text = re.sub(r"\bmake run\b", "build/entente serve", re.sub(r"^make build\b", "true", text, flags=re.M))
    env = {k: v for k, v in os.environ.items() if not re.search(r"(?i)_proxy$|^ENTENTE|_KEY$", k)}
    env.update(PATH=os.path.join(folder, "build") + os.pathsep + env.get("PATH", ""), EXISTING_KEY="sk-existing", HOME=folder)
    with tempfile.TemporaryFile() as output:  # no pipe: what a failed block left running would keep it open
        process = subprocess.Popen(prefix + ["sh", "-eu", "-c", text], cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                                   start_new_session=True)
        try:
            code = process.wait(BLOCK_SECONDS)
        except subprocess.TimeoutExpired:
            code = None
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
        output.seek(0)
        return code, output.read().decode(errors="replace")


@pytest.mark.parametrize("page, line, text, why", SH, ids=named(SH))
def test_commands_of_a_page_do_what_it_says(page, line, text, why, scratch, alone):
    if why:
        return  # the page gives its reason, which is in the file for all to see
    needs_the_program()
    if "build/sim" in text and not os.path.exists(os.path.join(os.path.dirname(PROGRAM), "sim")):
        pytest.skip("build/sim is not built")
    missing = [c for c in ("jq", "curl", "hledger", "ledger", "bean-check") if re.search(r"(^|[|(]\s*)%s " % c, text, re.M) and not shutil.which(c)]
    if missing:
        pytest.skip("%s is not installed" % ", ".join(missing))
    if not alone and re.search(r":80\d\d\b|:40\d\d\b|entente serve|make run", text):
        pytest.skip("no network namespace here, so ports of the page may be in use")
    code, output = run_block(text, scratch(page), alone)
    assert code is not None, "did not end within %d s:\n%s" % (BLOCK_SECONDS, output)
    assert code == 0, "exit %d:\n%s\n--- of ---\n%s" % (code, output, text)
    for word, shown in SHOWS:
        if word in text:
            assert shown in output, output


def test_every_command_that_is_not_run_says_why():
    for page in PAGES:
        for found in re.finditer(r"<!-- not run:(.*?)-->", text_of(page), re.S):
            assert len(found[1].split()) >= 3, "%s: %s" % (page, found[0])
            assert re.match(r"\n```(sh|bash|shell|console)\n", text_of(page)[found.end():]), "%s: %s stands before no block" % (page, found[0])


# ---- files; links are in test_tables.py ----

@pytest.mark.parametrize("page", PAGES)
def test_files_that_a_page_names_exist(page):
    if page == "CHANGELOG.md":
        return  # tells of the past, too
    named_files = re.findall(r"`((?:src|t|docs|bench|fuzz|tools)/[\w./*{},-]+)`", outside_fences(page))
    options = [re.sub(r"\{[^}]*\}|\b[A-Z]+\b", "*", n).rstrip("/") for n in named_files]  # NAME stands for any
    missing = [n for n, pattern in zip(named_files, options) if not glob.glob(os.path.join(ROOT, pattern)) and not glob.glob(os.path.join(ROOT, pattern + ".*"))]
    assert not missing, missing


# ---- examples of config ----

def check_config(path, alone):
    with open(path, encoding="utf-8") as f:
        text = f.read()
    env = {**os.environ, **{name: "not-a-real-one-%d" % i for i, name in enumerate(sorted(set(re.findall(r"env:(\w+)", text))))}}
    words = ["price", "check", path] if re.search(r"^books:", text, re.M) else ["check", "--config", path]
    return subprocess.run(alone + [PROGRAM, *words], env=env, capture_output=True, text=True, check=False, timeout=60)


WHOLE = [c for c in YAML if re.search(r"^books:", c[2], re.M) or (re.search(r"^providers:", c[2], re.M) and re.search(r"^models:", c[2], re.M))]
PARTS = [c for c in YAML if c not in WHOLE]


@pytest.mark.parametrize("page, line, text", WHOLE, ids=named(WHOLE))
def test_whole_config_of_a_page_passes_the_check(page, line, text, tmp_path, alone):
    needs_the_program()
    path = tmp_path / "entente.yaml"
    path.write_text(text, encoding="utf-8")
    done = check_config(str(path), alone)
    unreadable = [message for message in done.stderr.splitlines() if not re.search(r"(No such file|cannot be read|not written yet|\.pem)", message)]
    assert done.returncode == 0 or not unreadable, done.stderr


@pytest.mark.parametrize("page, line, text", PARTS, ids=named(PARTS))
def test_part_of_a_config_on_a_page_is_yaml_with_keys_that_exist(page, line, text):
    yaml = pytest.importorskip("yaml")
    needs_the_program()
    top = yaml.safe_load(text)
    with open(os.path.join(ROOT, "docs", "config.md"), encoding="utf-8") as f:
        known = f.read()
    for key in top if isinstance(top, dict) else ():
        assert re.search(r"\b%s\b" % re.escape(str(key)), known), "%s is not in docs/config.md" % key


EXAMPLES = sorted(glob.glob(os.path.join(ROOT, "docs", "examples", "*.yaml")))


@pytest.mark.parametrize("path", EXAMPLES, ids=[os.path.basename(p) for p in EXAMPLES])
def test_example_config_passes_the_check(path, alone):
    needs_the_program()
    done = check_config(path, alone)
    assert done.returncode == 0, done.stderr


# ---- commands and json ----

def test_commands_that_pages_name_exist():
    needs_the_program()
    listed = subprocess.run([PROGRAM, "--help"], capture_output=True, text=True, check=False)
    known = set(re.findall(r"^  ([a-z]+) ", listed.stdout + listed.stderr, re.M))
    assert "serve" in known
    for page in ("README.md", "docs/guide.md", "docs/operations.md"):
        if page in PAGES:
            for command in re.findall(r"`entente ([a-z]+)", outside_fences(page)):
                assert command in known, "%s: entente %s" % (page, command)


def test_every_command_explains_itself():
    needs_the_program()
    listed = subprocess.run([PROGRAM, "--help"], capture_output=True, text=True, check=False)
    for command in re.findall(r"^  ([a-z]+) ", listed.stdout + listed.stderr, re.M):
        done = subprocess.run([PROGRAM, command, "--help"], capture_output=True, text=True, check=False, timeout=20)
        assert done.returncode == 0 and "usage: entente " + command in done.stdout, "entente %s --help: exit %d, %s" % (command, done.returncode, done.stderr)


@pytest.mark.parametrize("page", PAGES)
def test_json_on_a_page_is_json(page):
    for line, _, text, _ in blocks(page, ("json",)):
        for document in [text] if text.lstrip().startswith(("[", "{\n")) else text.strip().split("\n"):
            try:
                json.loads(document)
            except ValueError as e:
                raise AssertionError("%s:%d: %s" % (page, line, e)) from e
