"""Takes a picture of ghost text: a real Neovim in a real terminal (tmux), its screen as an SVG.

`picture.py NEOVIM SVG` opens a file of tests/data/try with the configuration of init.lua, types what a
user would, waits for the ghost, and draws what stands on the screen, colours and all. Takes the
server's binary from INFILL_BIN; runs in the repository's root.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unicodedata
from html import escape

COLUMNS, ROWS = 80, 20
CELL_WIDTH, CELL_HEIGHT, MARGIN = 8.4, 18, 12
FOREGROUND, BACKGROUND = "#e0e2ea", "#14161b"
EXAMPLE = "tests/data/try/unfinished.go"
PATIENCE = 30


class Terminal:
    """A tmux of our own, with one window."""

    def __init__(self, folder, command):
        self.socket = os.path.join(folder, "tmux")
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", str(COLUMNS), "-y", str(ROWS), *command)
        self.tmux("set", "-g", "status", "off")

    def tmux(self, *arguments):
        done = subprocess.run(["tmux", "-S", self.socket, *arguments], check=True, capture_output=True, text=True)
        return done.stdout

    def type(self, *keys):
        self.tmux("send-keys", *keys)

    def screen(self):
        """The rows, with escape sequences for the colours."""
        return self.tmux("capture-pane", "-p", "-e").rstrip("\n").split("\n")

    def wait_for(self, text):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            rows = self.screen()
            if any(text in re.sub("\x1b\\[[0-9;]*m", "", row) for row in rows):
                return rows
            time.sleep(0.05)
        sys.exit("never on the screen: %s\n%s" % (text, "\n".join(rows)))

    def cursor(self):
        return tuple(map(int, self.tmux("display", "-p", "#{cursor_x} #{cursor_y}").split()))


def palette(number):
    """The colour of one of the 256."""
    if number < 16:
        level = 255 if number > 7 else 192
        return "#%02x%02x%02x" % tuple(level * (number >> bit & 1) for bit in range(3))
    if number < 232:
        number -= 16
        return "#%02x%02x%02x" % tuple(0 if not part else 55 + 40 * part for part in (number // 36, number // 6 % 6, number % 6))
    return "#%02x%02x%02x" % ((8 + 10 * (number - 232),) * 3)


def restyle(style, codes):
    """The style after one escape sequence."""
    codes = [int(code or 0) for code in codes.split(";")]
    while codes:
        code = codes.pop(0)
        if code == 0:
            style = {}
        elif code in (1, 3, 4, 7):
            style = {**style, {1: "bold", 3: "italic", 4: "underline", 7: "reverse"}[code]: True}
        elif code in (38, 48):
            name = "fg" if code == 38 else "bg"
            if codes.pop(0) == 2:
                style = {**style, name: "#%02x%02x%02x" % tuple(codes[:3])}
                codes = codes[3:]
            else:
                style = {**style, name: palette(codes.pop(0))}
        elif code in (39, 49):
            style = {key: value for key, value in style.items() if key != ("fg" if code == 39 else "bg")}
        elif 30 <= code <= 37 or 40 <= code <= 47:
            style = {**style, "fg" if code < 40 else "bg": palette(code % 10)}
    return style


def runs(rows):
    """Row, column, text and style of what is drawn alike; a style lasts into the next row."""
    style = {}
    for number, row in enumerate(rows):
        column = 0
        for piece in re.split("(\x1b\\[[0-9;]*m)", row):
            if piece.startswith("\x1b["):
                style = restyle(style, piece[2:-1])
            elif piece:
                yield number, column, piece, style
                column += sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in piece)


def draw(rows, cursor):
    width, height = COLUMNS * CELL_WIDTH + 2 * MARGIN, ROWS * CELL_HEIGHT + 2 * MARGIN
    boxes, texts = [], []
    for number, column, text, style in runs(rows):
        front, back = style.get("fg", FOREGROUND), style.get("bg", BACKGROUND)
        if style.get("reverse"):
            front, back = back, front
        left, top, length = MARGIN + column * CELL_WIDTH, MARGIN + number * CELL_HEIGHT, len(text) * CELL_WIDTH
        if back != BACKGROUND:
            boxes.append('<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s"/>' % (left, top, length, CELL_HEIGHT, back))
        if text.strip():
            looks = ' font-weight="bold"' * style.get("bold", False) + ' font-style="italic"' * style.get("italic", False)
            texts.append(
                '<text x="%.1f" y="%.1f" fill="%s" textLength="%.1f"%s xml:space="preserve">%s</text>'
                % (left, top + CELL_HEIGHT * 0.75, front, length, looks, escape(text))
            )
    left, top = MARGIN + cursor[0] * CELL_WIDTH, MARGIN + cursor[1] * CELL_HEIGHT
    boxes.append('<rect x="%.1f" y="%d" width="2" height="%d" fill="%s"/>' % (left, top, CELL_HEIGHT, FOREGROUND))
    return "\n".join(
        [
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" width="%.0f"' % (width, height, width),
            '     font-family="ui-monospace, Menlo, Consolas, DejaVu Sans Mono, monospace" font-size="14">',
            "<title>Ghost text in Neovim</title>",
            '<rect width="100%%" height="100%%" rx="8" fill="%s"/>' % BACKGROUND,
            *boxes,
            *texts,
            "</svg>",
            "",
        ]
    )


def main(neovim, target):
    here = os.path.dirname(os.path.abspath(__file__))
    with tempfile.TemporaryDirectory() as folder:
        file = shutil.copy(EXAMPLE, folder)
        look = "set termguicolors background=dark laststatus=2 number scrolloff=1 tabstop=4 | let &statusline = \" %f%=%{v:lua.require'infill'.statusline()} \""
        command = [neovim, "--clean", "-n", "-u", os.path.join(here, "init.lua"), "-c", "cd %s | %s" % (folder, look), file]
        names = ("XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
        settings = ["%s=%s/.xdg" % (name, folder) for name in names]
        terminal = Terminal(folder, ["env", "COLORTERM=truecolor", *settings, *command])
        try:
            terminal.wait_for("Infill")
            terminal.type("46G", "zb", "A")
            rows = terminal.wait_for("return nil")
            # What came beside it (the time of the answer) settles, too.
            time.sleep(0.5)
            rows = terminal.screen()
            picture = draw(rows, terminal.cursor())
        finally:
            terminal.tmux("kill-server")
    with open(target, "w") as out:
        out.write(picture)


main(*sys.argv[1:])
